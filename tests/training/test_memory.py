"""How a model is computed in the memory that there is."""

from typing import Any

import pytest
import torch

from topicgen.errors import UserError
from topicgen.training.memory import GB, Plan, Sizes, choose, plan
from topicgen.training.settings import TrainingSettings

LLAMA3_8B: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
QUANTISED = LLAMA3_8B | {"quantization_config": {"quant_method": "bitsandbytes"}}


def chosen(gigabytes: float, has_fp8: bool = True, config: dict[str, Any] = LLAMA3_8B, **settings: Any) -> Plan:
    return choose(config, TrainingSettings(**settings), gigabytes * GB, has_fp8)


def test_sizes_are_those_of_the_architecture() -> None:
    sizes = Sizes.of(LLAMA3_8B)
    assert sizes.matrices == 6_979_321_856
    assert sizes.matrices + sizes.embeddings == 8_029_995_008  # all of its weights but the norms
    tied = Sizes.of(LLAMA3_8B | {"tie_word_embeddings": True})
    assert tied.embeddings == sizes.embeddings / 2 == tied.head


@pytest.mark.parametrize("gigabytes", [139, 80])
@pytest.mark.parametrize(("has_fp8", "precision"), [(True, "fp8"), (False, "bf16")])
def test_large_memory_takes_dense_weights_and_no_recomputation(gigabytes: float, has_fp8: bool, precision: str) -> None:
    made = chosen(gigabytes, has_fp8)
    assert (made.precision, made.packed, made.recompute) == (precision, False, 0)
    assert made.compiled
    assert f"{precision}, dense" in made.reason


def test_more_memory_takes_longer_packs() -> None:
    lengths = [chosen(gigabytes).pack_tokens for gigabytes in (40, 80, 139)]
    assert all(length >= TrainingSettings().max_length for length in lengths)
    assert lengths[1] <= lengths[2] == 8192


@pytest.mark.parametrize("config", [LLAMA3_8B, QUANTISED])
@pytest.mark.parametrize("has_fp8", [True, False])
def test_little_memory_takes_four_bits_and_recomputation(config: dict[str, Any], has_fp8: bool) -> None:
    made = chosen(15, has_fp8, config)
    assert (made.precision, made.packed, made.recompute) == ("nf4", True, 32)


def test_quantised_bases_without_fp8_stay_nf4() -> None:
    assert chosen(139, has_fp8=False, config=QUANTISED).precision == "nf4"


def test_the_reason_names_the_chip_where_it_decides() -> None:
    assert chosen(139, has_fp8=False).reason.endswith("; this GPU has no FP8")
    assert chosen(8, config=QUANTISED).reason.endswith("; FP8 needs more memory")
    assert "FP8" not in chosen(139).reason
    assert "FP8" not in chosen(139, has_fp8=False, precision="bf16").reason


@pytest.mark.parametrize("precision", ["auto", "bf16", "nf4"])
def test_too_little_memory_is_one_line_that_says_what_to_do(precision: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen(2, precision=precision)
    message = str(caught.value)
    assert "\n" not in message
    assert "2.0 GB of GPU memory are too few" in message
    assert "--max-length" in message


def test_memory_limits_what_is_used() -> None:
    assert chosen(139, memory="15") == chosen(15)
    assert chosen(15, memory="139") == chosen(15)
    with pytest.raises(UserError, match=r"2\.5 GB of GPU memory are too few"):
        chosen(139, memory="2.5")


@pytest.mark.parametrize("gigabytes", [139, 80, 48, 24, 15, 10, 8])
def test_what_was_chosen_fits_by_the_estimate(gigabytes: float) -> None:
    made = chosen(gigabytes)
    needed = Sizes.of(LLAMA3_8B).needed(made.packed, made.recompute, made.pack_tokens)
    assert needed <= gigabytes * GB


def test_as_many_layers_are_computed_again_as_memory_asks_for() -> None:
    plans = [chosen(gigabytes, precision="bf16", pack_tokens=4096) for gigabytes in (80, 36, 32, 28, 24, 21)]
    counts = [made.recompute for made in plans]
    assert counts == sorted(counts)
    assert counts[0] == 0
    some = [made for made in plans if 0 < made.recompute < 32]
    assert len(some) > 1
    for made in some:
        assert f"{made.recompute} of 32 layers computed again" in made.reason
    assert chosen(80, precision="bf16", recompute=True).recompute == 32
    assert chosen(40, precision="bf16", recompute=False).recompute == 0


def test_a_little_computed_twice_is_better_than_short_packs() -> None:
    """What was measured: short packs cost as much as computing all layers again."""
    sizes = Sizes.of(LLAMA3_8B)
    least = sizes.needed(False, 8, 8192)
    assert sizes.quickest(False, None, (8192, 2048), least) == (8, 8192)
    assert sizes.quickest(False, False, (8192, 2048), least) == (0, 2048)
    assert sizes.quickest(False, None, (8192, 2048), sizes.needed(False, 0, 8192)) == (0, 8192)
    assert sizes.quickest(False, None, (8192, 2048), 1.0) is None


def test_what_was_asked_for_is_obeyed() -> None:
    made = chosen(139, precision="bf16", pack_tokens=1024, recompute=True, compile=False)
    assert made.precision == "bf16"
    assert (made.pack_tokens, made.recompute, made.compiled, made.packed) == (1024, 32, False, False)


def test_examples_longer_than_every_usual_pack_still_fit_into_one() -> None:
    assert chosen(139, max_length=20_000).pack_tokens >= 20_000


def test_shared_layers_need_less_memory_on_each_gpu() -> None:
    with pytest.raises(UserError, match="too few"):
        chosen(14, precision="bf16")
    made = choose(LLAMA3_8B, TrainingSettings(precision="bf16", fsdp=True), 14 * GB, True, shares=4)
    assert (made.precision, made.packed, made.shares) == ("bf16", False, 4)
    assert "shared by 4 processes" in made.reason
    sizes = Sizes.of(LLAMA3_8B)
    whole, share = (sizes.needed(False, 32, 2048, shares) for shares in (1, 4))
    assert whole - share == 2 * sizes.matrices * 3 / 4 - 2 * 3 * sizes.layer


@pytest.mark.parametrize("precision", ["auto", "nf4"])
def test_shared_layers_are_never_kept_in_four_bits(precision: str) -> None:
    with pytest.raises(UserError) as caught:
        choose(QUANTISED, TrainingSettings(precision=precision, fsdp=True), 9 * GB, True, shares=2)
    assert "use more processes" in str(caught.value)


@pytest.mark.parametrize("precision", ["fp8", "nf4", "bf16"])
def test_precisions_of_a_gpu_are_refused_without_one(precision: str) -> None:
    with pytest.raises(UserError, match=f"precision {precision} needs a GPU"):
        plan(LLAMA3_8B, TrainingSettings(precision=precision), torch.device("cpu"))


def test_without_a_gpu_everything_is_float32() -> None:
    made = plan(LLAMA3_8B, TrainingSettings(max_length=3000), torch.device("cpu"))
    assert (made.precision, made.packed, made.compiled) == ("float32", False, False)
    assert made.pack_tokens >= 3000
