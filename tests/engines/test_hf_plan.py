"""How the hf engine computes a model, by its weights, the GPU and the wished precision; no GPU is asked."""

from pathlib import Path

import pytest
from models import copy_of_mini

from topicgen import TopicGenerator, UserError
from topicgen.engines import HFEngine
from topicgen.engines.hf_plan import GB, on_gpu
from topicgen.engines.packed_weights import weight_bytes
from topicgen.errors import UsageError
from topicgen.models import ModelFolder, find_model

HOPPER, ADA, TURING = (9, 0), (8, 9), (7, 5)
NF4 = {"quant_method": "bitsandbytes"}
LLAMA_3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


@pytest.fixture
def llama(tmp_path: Path) -> ModelFolder:
    return find_model(str(copy_of_mini(tmp_path / "llama", **LLAMA_3_8B)))


@pytest.fixture
def in_4_bits(tmp_path: Path) -> ModelFolder:
    return find_model(str(copy_of_mini(tmp_path / "nf4", quantization_config=NF4, **LLAMA_3_8B)))


def test_weights_are_counted(llama: ModelFolder) -> None:
    assert weight_bytes(llama, "bf16") / 1e9 == pytest.approx(16.06, abs=0.01)
    assert weight_bytes(llama, "fp8") / 1e9 == pytest.approx(9.08, abs=0.01)


@pytest.mark.parametrize(("wished", "free", "capability", "precision", "packed"), [
    ("auto", 79, HOPPER, "bf16", True),
    ("bf16", 24, ADA, "bf16", True),
    ("fp8", 16, ADA, "fp8", True),
    ("nf4", 79, HOPPER, "nf4", False),
    ("auto", 16, HOPPER, "nf4", False),
    ("auto", 16, TURING, "bf16", False),
    ("nf4", 16, TURING, "nf4", False),
])  # fmt: skip
def test_whole_weights(
    llama: ModelFolder, wished: str, free: int, capability: tuple[int, int], precision: str, packed: bool
) -> None:
    plan = on_gpu(llama, wished, capability, free * GB)  # type: ignore[arg-type]
    assert (plan.precision, plan.packed) == (precision, packed)
    assert plan.reason


@pytest.mark.parametrize(("free", "capability", "precision", "packed"), [
    (24, ADA, "bf16", True),
    (16, ADA, "nf4", False),
    (79, TURING, "nf4", False),
])  # fmt: skip
def test_nf4_weights_are_made_dense_where_they_fit(
    in_4_bits: ModelFolder, free: int, capability: tuple[int, int], precision: str, packed: bool
) -> None:
    plan = on_gpu(in_4_bits, "auto", capability, free * GB)
    assert (plan.precision, plan.packed) == (precision, packed)
    assert ("made dense" in plan.reason) == packed


@pytest.mark.parametrize(("wished", "free", "capability", "error", "message"), [
    ("int8", 79, HOPPER, UsageError, "in bf16, fp8 or nf4, not in int8"),
    ("fp8", 79, TURING, UserError, "compute capability 8.9, this one has 7.5"),
    ("bf16", 16, HOPPER, UserError, "do not fit into the 16 GB that the GPU has free; use fp8 or nf4"),
    ("fp8", 8, HOPPER, UserError, "do not fit into the 8 GB"),
])  # fmt: skip
def test_what_cannot_be_is_said(
    llama: ModelFolder, wished: str, free: int, capability: tuple[int, int], error: type[UserError], message: str
) -> None:
    with pytest.raises(error, match=message):
        on_gpu(llama, wished, capability, free * GB)  # type: ignore[arg-type]


def test_nf4_weights_on_an_old_gpu_are_not_made_dense(in_4_bits: ModelFolder) -> None:
    with pytest.raises(UserError, match=r"compute capability 7\.5, so that transformers runs it, and not in bf16"):
        on_gpu(in_4_bits, "bf16", TURING, 79 * GB)


def test_other_architectures_are_left_to_transformers(tmp_path: Path) -> None:
    model = find_model(str(copy_of_mini(tmp_path / "model", architectures=["GemmaForCausalLM"])))
    plan = on_gpu(model, "auto", HOPPER, 79 * GB)
    assert (plan.precision, plan.packed) == ("bf16", False)


def test_precision_of_a_gpu_is_wrong_usage_without_one(mini: ModelFolder) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match="precision fp8 needs a GPU"):
        HFEngine(mini, precision="fp8")


def test_precision_of_another_engine_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="ct2 engine computes in int8 or float32, not in fp8"):
        TopicGenerator.load("mini", engine="ct2", precision="fp8")
