"""A run that continues from a saved optimiser does what an uninterrupted one does, bit by bit."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from topicgen.errors import UserError
from topicgen.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from topicgen.training.optimizer_state import (
    flatten_optimizer,
    restore_optimizer,
)

Make = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [torch.nn.Parameter(torch.randn(*shape, generator=generator)) for shape in ((96, 64), (64,))]


def adamw(weights: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    groups = [{"params": weights[:1], "weight_decay": 0.1}, {"params": weights[1:], "lr": 3e-3}]
    return torch.optim.AdamW(groups, lr=1e-2)


def amsgrad(weights: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(weights, lr=torch.tensor(1e-2), amsgrad=True)


def adamw_8bit(weights: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    made = bitsandbytes.optim.AdamW8bit(weights, lr=1e-2)
    assert isinstance(made, torch.optim.Optimizer)
    return made


def train(weights: list[torch.nn.Parameter], optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        sum(((w - torch.randn_like(w)) ** 2).sum() for w in weights).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("make", [adamw, amsgrad, adamw_8bit])
def test_run_continues_bit_for_bit(tmp_path: Path, make: Make) -> None:
    torch.manual_seed(5)
    weights = parameters()
    optimizer = make(weights)
    try:
        train(weights, optimizer, 5)
    except (RuntimeError, NotImplementedError) as error:
        if make is not adamw_8bit:
            raise
        pytest.skip(f"bitsandbytes cannot run here: {error}")
    tensors, values = flatten_optimizer(optimizer)
    tensors |= {f"adapter.{i}": w for i, w in enumerate(weights)}
    path = save_checkpoint(tmp_path, TrainingState(5, tensors, {"optimizer": values}))
    torch.manual_seed(6)
    train(weights, optimizer, 5)

    torch.manual_seed(99)
    saved = load_checkpoint(path)
    again = parameters()
    with torch.no_grad():
        for i, weight in enumerate(again):
            weight.copy_(saved.tensors[f"adapter.{i}"])
    other = make(again)
    restore_optimizer(other, saved.tensors, saved.values["optimizer"])
    torch.manual_seed(6)
    train(again, other, 5)

    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))
    after, expected = flatten_optimizer(other), flatten_optimizer(optimizer)
    assert after[1] == expected[1]
    assert after[0].keys() == expected[0].keys()
    assert all(torch.equal(after[0][name], tensor) for name, tensor in expected[0].items())


def test_state_of_a_new_optimizer_comes_back() -> None:
    tensors, values = flatten_optimizer(adamw(parameters()))
    assert tensors == {}
    other = adamw(parameters())
    restore_optimizer(other, tensors, json.loads(json.dumps(values)))
    assert flatten_optimizer(other)[1] == values


def test_restored_tensors_are_copies() -> None:
    weights = parameters()
    optimizer = adamw(weights)
    train(weights, optimizer, 1)
    tensors, values = flatten_optimizer(optimizer)
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    again = parameters()
    other = adamw(again)
    restore_optimizer(other, before, values)
    train(again, other, 1)
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors.items())


def test_state_of_another_optimizer_is_refused() -> None:
    tensors, values = flatten_optimizer(torch.optim.SGD(parameters(), lr=1.0))
    with pytest.raises(UserError, match="holds the state of SGD, and this run uses AdamW"):
        restore_optimizer(adamw(parameters()), tensors, values)


def test_state_of_other_parameters_is_refused() -> None:
    tensors, values = flatten_optimizer(torch.optim.AdamW(parameters()))
    with pytest.raises(UserError, match="not one of this model's adapter"):
        restore_optimizer(torch.optim.AdamW(parameters()[:1]), tensors, values)


def test_missing_tensor_is_refused() -> None:
    weights = parameters()
    optimizer = adamw(weights)
    train(weights, optimizer, 1)
    _, values = flatten_optimizer(optimizer)
    with pytest.raises(UserError, match=r"optimizer\.state\.0"):
        restore_optimizer(adamw(parameters()), {}, values)


def test_what_json_cannot_hold_is_named() -> None:
    optimizer = adamw(parameters())
    optimizer.param_groups[0]["extra"] = {1, 2}
    with pytest.raises(TypeError, match=r"optimizer\.param_groups\.0\.extra: a checkpoint cannot hold a set"):
        flatten_optimizer(optimizer)
