"""On a GPU, the fused and compiled path computes what the CPU does in float64, document by document."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from models import tiny_llama
from packs import ALL, EXACT, random_rows
from test_llama import Gradients, in_packs, require_equal

from topicgen.llama import fp8
from topicgen.models import find_base
from topicgen.training.attention import Fused, PerDocument
from topicgen.training.base import load_base
from topicgen.training.llama import PackedLlama
from topicgen.training.packing import Fill, pack, packs
from topicgen.training.rows import TokenRow
from topicgen.training.settings import TrainingSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

PREFIX = (0, 17, 4, 99)
VOCABULARY = 160
SETTINGS = TrainingSettings(lora_r=16, lora_alpha=16)
FILL = Fill(1024, 128)
CUDA = torch.device("cuda")
Result = tuple[float, Gradients]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heads of 64 numbers, as those of the embedded model; weights small enough for rounding to stay rounding."""
    return tiny_llama(
        tmp_path_factory.mktemp("tiny"),
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=3,
        initializer_range=0.05,
    )


@pytest.fixture(scope="module")
def rows() -> list[TokenRow]:
    """More than one block of rows, so that whole, half-seen and empty blocks of the mask are met."""
    return random_rows(120, VOCABULARY)


def model_on(folder: Path, device: torch.device, dtype: torch.dtype, **plan: Any) -> PackedLlama:
    model = load_base(find_base(str(folder)), SETTINGS, replace(EXACT, **plan), device, dtype)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # B must not be zero
        for parameter in model.adapter.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter))
    return model


def on_gpu(model: PackedLlama, rows: list[TokenRow], fill: Fill | None = FILL) -> Result:
    """Summed loss and gradients, in float64 on the CPU."""
    model.adapter.zero_grad()
    total = 0.0
    for part in packs(PREFIX, rows, 4096, fill):
        loss = model.loss(part.to(model.device))
        loss.backward()
        total += loss.item()
    found = {n: p.grad.double().cpu() for n, p in model.adapter.named().items() if p.grad is not None}
    return total, found


@pytest.fixture(scope="module")
def exact(folder: Path, rows: list[TokenRow]) -> Result:
    return in_packs(model_on(folder, torch.device("cpu"), torch.float64), rows, 4096)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return ((ours.double().cpu() - theirs.double().cpu()).norm() / theirs.double().cpu().norm()).item()


def test_several_packs_are_tested(rows: list[TokenRow]) -> None:
    assert len(packs(PREFIX, rows, 4096, FILL)) > 1


@pytest.mark.parametrize("compiled", [True, False])
def test_the_fused_path_in_float32_computes_what_the_processor_does(
    folder: Path, rows: list[TokenRow], exact: Result, compiled: bool
) -> None:
    require_equal(on_gpu(model_on(folder, CUDA, torch.float32, compiled=compiled), rows), exact, 1e-4)


def test_packs_of_another_size_compute_the_same(folder: Path, rows: list[TokenRow], exact: Result) -> None:
    require_equal(on_gpu(model_on(folder, CUDA, torch.float32), rows, Fill(2048, 256)), exact, 1e-4)


def test_bfloat16_is_as_near_as_rounding_allows(folder: Path, rows: list[TokenRow], exact: Result) -> None:
    require_equal(on_gpu(model_on(folder, CUDA, torch.bfloat16, compiled=True), rows), exact, 0.03)


def test_logits_of_the_kept_rows_equal_those_of_the_processor(folder: Path, rows: list[TokenRow]) -> None:
    whole = pack(PREFIX, rows[:40], FILL)
    read = whole.weights > 0
    with torch.no_grad():
        expected = model_on(folder, torch.device("cpu"), torch.float64).logits(whole)[read]
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 0.02)):
        ours = model_on(folder, CUDA, dtype, compiled=True).logits(whole.to(CUDA)).detach().cpu()[read]
        assert relative(ours, expected) < tolerance, dtype


@pytest.mark.parametrize("kept_only", [False, True])
def test_fused_attention_equals_that_of_each_document(rows: list[TokenRow], kept_only: bool) -> None:
    whole = pack(PREFIX, rows[:40], FILL)
    asking = len(whole.kept) if kept_only else len(whole.ids)
    generator = torch.Generator().manual_seed(0)

    def made(heads: int, count: int) -> torch.Tensor:
        return torch.randn(heads, count, 64, generator=generator, dtype=torch.float64).requires_grad_()

    q, k, v = made(4, asking), made(2, len(whole.ids)), made(2, len(whole.ids))
    read = whole.weights > 0 if kept_only else whole.documents > -2
    weight = torch.randn(4, asking, 64, generator=generator, dtype=torch.float64) * read[:, None]

    def outcome(attend: Callable[..., torch.Tensor], device: torch.device, dtype: torch.dtype) -> list[torch.Tensor]:
        inputs = [x.detach().to(device, dtype).requires_grad_() for x in (q, k, v)]
        out = attend(*inputs)
        (out * weight.to(device, dtype)).sum().backward()
        return [out.detach().cpu()[:, read], *(x.grad.cpu() for x in inputs if x.grad is not None)]

    ours = outcome(Fused(whole.to(CUDA), kept_only), CUDA, torch.float32)
    theirs = outcome(PerDocument(whole, kept_only), torch.device("cpu"), torch.float64)
    for name, one, other in zip(("output", "q", "k", "v"), ours, theirs, strict=True):
        assert relative(one, other) < 1e-5, name


def test_a_document_never_sees_another(folder: Path, rows: list[TokenRow]) -> None:
    model = model_on(folder, CUDA, torch.bfloat16, compiled=True).eval()
    same_length = [TokenRow(tuple(reversed(row.ids)), row.answer) for row in rows[:39]]
    ours, theirs = (model.logits(pack(PREFIX, [*first, rows[39]], FILL).to(CUDA)) for first in (rows[:39], same_length))
    first, last = pack(PREFIX, rows[:40], FILL).kept_bounds[-1]
    assert not torch.equal(ours[:first], theirs[:first])
    assert torch.equal(ours[first:last], theirs[first:last])


def test_recomputed_layers_change_nothing(folder: Path, rows: list[TokenRow]) -> None:
    kept, some, again = (model_on(folder, CUDA, torch.float32, compiled=True, recompute=r) for r in (0, 1, ALL))
    expected = on_gpu(kept, rows)
    require_equal(on_gpu(some, rows), expected, 1e-5)
    require_equal(on_gpu(again, rows), expected, 1e-5)


def test_matrices_kept_in_four_bits_compute_what_dense_ones_do(folder: Path, rows: list[TokenRow]) -> None:
    pytest.importorskip("bitsandbytes")
    dense = model_on(folder, CUDA, torch.bfloat16, precision="nf4", compiled=True)
    packed = model_on(folder, CUDA, torch.bfloat16, precision="nf4", compiled=True, packed=True, recompute=ALL)
    require_equal(on_gpu(packed, rows), on_gpu(dense, rows), 0.01)


def product_on_the_processor(
    x: torch.Tensor, x_scale: torch.Tensor, matrix: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    return (x.float() @ matrix.float().t()) * x_scale * scale


def test_fp8_rounds_and_does_no_more(
    folder: Path, rows: list[TokenRow], exact: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is that of the rounding, which a processor can do too: 16 % of the gradient, 15 % on an H200."""
    if torch.cuda.get_device_capability() < fp8.CAPABILITY:
        pytest.skip("no FP8")
    ours = on_gpu(model_on(folder, CUDA, torch.bfloat16, precision="fp8", compiled=True), rows)
    monkeypatch.setattr(fp8, "multiply", product_on_the_processor)
    rounded = in_packs(model_on(folder, torch.device("cpu"), torch.float32, precision="fp8"), rows, 4096)
    assert ours[0] == pytest.approx(exact[0], rel=0.02)
    of_gpu, of_rounding, true = (
        torch.cat([part[name].flatten().double() for name in exact[1]]) for _, part in (ours, rounded, exact)
    )
    assert relative(of_gpu, true) < 1.1 * relative(of_rounding, true)
