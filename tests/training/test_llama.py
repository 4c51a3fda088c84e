"""The packed model computes what transformers and PEFT compute for each document alone."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from models import tiny_llama
from packs import ALL, EXACT, random_rows, shifted
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from topicgen.models import find_base
from topicgen.training.base import load_base
from topicgen.training.llama import PackedLlama
from topicgen.training.lora import Adapter
from topicgen.training.packing import Fill, packs
from topicgen.training.rows import TokenRow
from topicgen.training.settings import MODULES, TrainingSettings

PREFIX = (0, 17, 4, 99)
VOCABULARY = 160
SETTINGS = TrainingSettings(lora_r=3, lora_alpha=6)
Gradients = dict[str, torch.Tensor]


def packed(folder: Path) -> PackedLlama:
    model = load_base(find_base(str(folder)), SETTINGS, EXACT, torch.device("cpu"), torch.float64)
    shifted(model.adapter)
    return model


def reference_model(folder: Path) -> LlamaForCausalLM:
    """transformers' model in float64 throughout: its own norm computes in float32 whatever the type."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64)
    for module in model.modules():
        if isinstance(module, LlamaRMSNorm):
            module.forward = partial(F.rms_norm, normalized_shape=(64,), weight=module.weight, eps=1e-6)
    return model


def one_by_one(folder: Path, adapter: Adapter, rows: list[TokenRow]) -> tuple[float, Gradients]:
    """Summed loss of the topic tokens and gradients of the adapter, by transformers and PEFT, a document at a time."""
    base = reference_model(folder)
    config = LoraConfig(r=3, lora_alpha=6, target_modules=list(MODULES), task_type="CAUSAL_LM")
    model = get_peft_model(base, config, autocast_adapter_dtype=False)
    parameters = {name.replace(".default", ""): p for name, p in model.named_parameters() if "lora_" in name}
    with torch.no_grad():
        for name, parameter in adapter.named().items():
            parameters[name].copy_(parameter)
    total = 0.0
    for row in rows:
        ids = torch.tensor([[*PREFIX, *row.ids]])
        labels = ids.clone()
        labels[:, : len(PREFIX) + row.answer] = -100
        logits = model(input_ids=ids).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits, labels[0, 1:], ignore_index=-100, reduction="sum")
        loss.backward()
        total += loss.item()
    return total, {name: p.grad for name, p in parameters.items() if p.grad is not None}


def in_packs(
    model: PackedLlama, rows: list[TokenRow], capacity: int, fill: Fill | None = None
) -> tuple[float, Gradients]:
    model.adapter.gather()  # clears those of an earlier call
    total = 0.0
    for pack in packs(PREFIX, rows, capacity, fill):
        loss = model.loss(pack)
        loss.backward()
        total += loss.item()
    return total, {name: p.grad.clone() for name, p in model.adapter.named().items() if p.grad is not None}


def require_equal(ours: tuple[float, Gradients], theirs: tuple[float, Gradients], tolerance: float) -> None:
    assert ours[0] == pytest.approx(theirs[0], rel=tolerance)
    assert ours[1].keys() == theirs[1].keys()
    for name, gradient in theirs[1].items():
        error = (ours[1][name] - gradient).norm() / gradient.norm()
        assert gradient.norm() > 0, name
        assert error < tolerance, f"{name}: {error}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("tiny"), vocab_size=VOCABULARY, num_hidden_layers=3)


@pytest.mark.parametrize("config", [{}, {"tie_word_embeddings": True, "head_dim": 32, "num_key_value_heads": 4}])
def test_loss_and_gradients_of_a_pack_equal_those_of_the_documents_alone(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    folder = tiny_llama(tmp_path, vocab_size=VOCABULARY, num_hidden_layers=3, **config)
    model, rows = packed(folder), random_rows(7, VOCABULARY)
    assert len(packs(PREFIX, rows, 4096)) == 1
    require_equal(in_packs(model, rows, 4096), one_by_one(folder, model.adapter, rows), 1e-6)


def test_several_packs_and_filled_shapes_change_nothing(folder: Path) -> None:
    model, rows = packed(folder), random_rows(9, VOCABULARY, seed=2)
    whole = in_packs(model, rows, 4096)
    require_equal(in_packs(model, rows, 48), whole, 1e-9)
    require_equal(in_packs(model, rows, 64, Fill(64, 16)), whole, 1e-9)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputed_layers_change_nothing(folder: Path, dropout: float) -> None:
    rows, settings = random_rows(5, VOCABULARY, seed=3), replace(SETTINGS, lora_dropout=dropout)

    def with_recomputed(layers: int) -> tuple[float, Gradients]:
        model = load_base(find_base(str(folder)), settings, EXACT, torch.device("cpu"), torch.float64).train()
        shifted(model.adapter)
        model.recompute = layers
        torch.manual_seed(1)
        return in_packs(model, rows, 4096)

    kept = with_recomputed(0)
    for layers in (1, ALL):
        require_equal(with_recomputed(layers), kept, 1e-9)


def test_a_document_never_sees_another(folder: Path) -> None:
    model = packed(folder).eval()
    first, second, third = random_rows(3, VOCABULARY, seed=4)
    [pair], [other] = packs(PREFIX, [first, second], 4096), packs(PREFIX, [third, second], 4096)
    with torch.no_grad():
        ours, theirs = model.logits(pair), model.logits(other)
    answers = len(second.ids) - second.answer
    assert torch.allclose(ours[-answers:], theirs[-answers:], atol=1e-12)


def test_training_starts_from_the_base_model(folder: Path) -> None:
    model = load_base(find_base(str(folder)), SETTINGS, EXACT, torch.device("cpu"), torch.float64)
    rows = random_rows(4, VOCABULARY, seed=5)
    reference = reference_model(folder)
    [pack] = packs(PREFIX, rows, 4096)
    with torch.no_grad():
        alone = [reference(torch.tensor([[*PREFIX, *row.ids]])).logits[0] for row in rows]
        expected = torch.cat([a[len(PREFIX) + row.answer - 1 : -1] for a, row in zip(alone, rows, strict=True)])
        assert torch.allclose(model.logits(pack), expected, atol=1e-9)
