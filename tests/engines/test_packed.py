"""topicgen's own generation, compared with transformers on the same weights; on a GPU compiled and captured too."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from adapter_folders import make_adapter
from completions import best, prompts
from models import copy_of_mini, tiny_llama
from passages import PASSAGES

from topicgen import GenerationSettings, UserError
from topicgen.config import GenerationSettings as Settings
from topicgen.engines import Completion, CT2Engine, HFEngine, packed
from topicgen.engines.packed import PackedLlama, load_packed
from topicgen.engines.packed_cache import parts
from topicgen.engines.packed_weights import supports
from topicgen.models import ModelFolder, find_model
from topicgen.prompt import PromptEncoder

CPU = torch.device("cpu")
LOGPROBS = GenerationSettings(token_logprobs=True)
WORDS = [word for text in PASSAGES for word in text.split()]
FRAGMENTS = [" ".join(WORDS[start : start + 14]) for start in range(0, len(WORDS) - 14, 4)]


def loaded(model: ModelFolder, precision: str = "float32", device: torch.device = CPU) -> PackedLlama:
    prefix = PromptEncoder(model.prompt, model.tokenizer, model.context_tokens - 64).prefix
    stop = model.tokenizer.token_to_id(model.prompt.stop)
    assert stop is not None
    return load_packed(model, prefix, stop, device, precision)


@pytest.fixture(scope="module")
def ours(mini: ModelFolder) -> PackedLlama:
    return loaded(mini)


@pytest.fixture(scope="module")
def inputs(mini: ModelFolder) -> list[tuple[int, ...]]:
    return prompts(mini, FRAGMENTS[:200])


@pytest.fixture(scope="module")
def few(inputs: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return inputs[:12]


def ids(found: list[list[Completion]]) -> list[tuple[int, ...]]:
    return [completions[0].ids for completions in found]


def test_topics_and_probabilities_are_those_of_transformers(
    mini: ModelFolder, ours: PackedLlama, inputs: list[tuple[int, ...]]
) -> None:
    theirs = best(HFEngine(mini, threads=1), inputs)
    mine = [one for [one] in ours.generate(inputs, LOGPROBS)]
    same = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.ids == b.ids]
    assert len(inputs) == 200
    assert len(same) >= 0.98 * len(inputs)
    for a, b in same:
        assert a.finished == b.finished
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-3)


def test_beams_are_those_of_transformers(mini: ModelFolder, ours: PackedLlama, few: list[tuple[int, ...]]) -> None:
    settings = GenerationSettings(beams=4)
    mine, theirs = ours.generate(few, settings), HFEngine(mini, threads=1).generate(few, settings)
    assert sum(a == b for a, b in zip(ids(mine), ids(theirs), strict=True)) >= 11
    for several, others in zip(mine, theirs, strict=True):
        scores = [completion.score for completion in several]
        assert len(several) == 4 and scores == sorted(scores, reverse=True)
        known = {completion.ids: completion.score for completion in others}
        shared = [one for one in several if one.ids in known]
        assert len(shared) >= 2
        assert [one.score for one in shared] == pytest.approx([known[one.ids] for one in shared], abs=1e-3)


def test_topics_do_not_depend_on_packs_and_groups(
    ours: PackedLlama, few: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ids(ours.generate(few, GenerationSettings()))
    monkeypatch.setattr(packed, "ROWS", 4)
    monkeypatch.setattr(ours, "_pack_tokens", 50)
    assert ids(ours.generate(few, GenerationSettings())) == whole
    assert ids(ours.generate(few[:6], GenerationSettings(deterministic=True))) == whole[:6]


def test_prompts_without_the_prefix_are_read_whole(ours: PackedLlama, few: list[tuple[int, ...]]) -> None:
    bare = [few[0][1:], few[1], few[0][:1]]
    found = ours.generate(bare, GenerationSettings())
    assert ids(found)[1] == ids(ours.generate([few[1]], GenerationSettings()))[0]
    assert ids(found)[0] == ids(ours.generate([few[0][1:]], GenerationSettings()))[0]
    assert all(completions for completions in found)


def test_completion_is_no_longer_than_asked_for(ours: PackedLlama, few: list[tuple[int, ...]]) -> None:
    whole = ids(ours.generate(few, GenerationSettings()))
    for longest in (1, 2):
        cut = ours.generate(few, replace(LOGPROBS, max_topic_tokens=longest))
        assert ids(cut) == [one[:longest] for one in whole]
        assert all(len(one.logprobs) == len(one.ids) + one.finished for [one] in cut)


def test_sampling_depends_on_the_seed_alone(ours: PackedLlama, few: list[tuple[int, ...]]) -> None:
    def sampled(seed: int, temperature: float = 1.0) -> list[tuple[int, ...]]:
        return ids(ours.generate(few[:4], GenerationSettings(temperature=temperature, seed=seed)))

    before = torch.get_rng_state()
    first = sampled(1)
    torch.rand(3)
    assert sampled(1) == first != sampled(2)
    assert sampled(1, 0.0001) == ids(ours.generate(few[:4], GenerationSettings()))
    torch.set_rng_state(before)


def test_deterministic_samples_do_not_depend_on_neighbours(ours: PackedLlama, few: list[tuple[int, ...]]) -> None:
    settings = GenerationSettings(temperature=1.0, seed=1, deterministic=True)
    assert ids(ours.generate(few[:4], settings))[1:3] == ids(ours.generate(few[1:3], settings))


def test_no_prompts_give_no_completions(ours: PackedLlama) -> None:
    assert ours.generate([], GenerationSettings()) == []


def test_adapter_is_added(tmp_path: Path) -> None:
    base = tiny_llama(tmp_path / "base")
    model = find_model(str(make_adapter(tmp_path / "adapter", str(base))))
    inputs = prompts(model, PASSAGES[:10])
    theirs = best(CT2Engine(model, precision="float32"), inputs)
    mine = [one for [one] in loaded(model).generate(inputs, LOGPROBS)]
    assert [one.ids for one in mine] == [one.ids for one in theirs]
    for a, b in zip(mine, theirs, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-3)


@pytest.mark.parametrize(("precision", "share"), [("bf16", 0.75), ("fp8", 0.4)])
def test_low_precision_stays_near(
    mini: ModelFolder, ours: PackedLlama, few: list[tuple[int, ...]], precision: str, share: float
) -> None:
    exact, rough = (engine.generate(few, Settings()) for engine in (ours, loaded(mini, precision)))
    same = [(a[0], b[0]) for a, b in zip(exact, rough, strict=True) if a[0].ids == b[0].ids]
    assert len(same) >= share * len(few)
    assert [a.score for a, _ in same] == pytest.approx([b.score for _, b in same], abs=0.15)


def test_memory_that_is_too_small_makes_packs_smaller(
    ours: PackedLlama, few: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, group, room = ids(ours.generate(few, Settings())), PackedLlama._group, 100

    def small(self: PackedLlama, *arguments: object) -> list[list[Completion]]:
        if self._pack_tokens > room:
            raise torch.OutOfMemoryError
        return group(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(PackedLlama, "_group", small)
    monkeypatch.setattr(ours, "_pack_tokens", 1000)
    assert ids(ours.generate(few, Settings())) == whole
    room = 0
    with pytest.raises(UserError, match="needs more memory than the GPU has"):
        ours.generate(few, Settings())


def test_packs_hold_nearly_equal_parts() -> None:
    assert parts([10] * 10, 40) == [(0, 4), (4, 8), (8, 10)]
    assert parts([100, 1, 1], 40) == [(0, 1), (1, 3)]
    assert parts([5], 40) == [(0, 1)]


@pytest.mark.parametrize(("config", "plain"), [
    ({}, True),
    ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1.0}}, True),
    ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, False),
    ({"architectures": ["GemmaForCausalLM"]}, False),
    ({"attention_bias": True}, False),
])  # fmt: skip
def test_plain_llamas_are_recognised(tmp_path: Path, config: dict[str, object], plain: bool) -> None:
    assert supports(find_model(str(copy_of_mini(tmp_path / "model", **config)))) == plain


def test_config_that_does_not_fit_the_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lack model\.layers\.6\.self_attn\.q_proj\.weight"):
        loaded(find_model(str(copy_of_mini(tmp_path / "deep", num_hidden_layers=9))))
    with pytest.raises(UserError, match="gate_proj of layer 0 is"):
        loaded(find_model(str(copy_of_mini(tmp_path / "wide", intermediate_size=1024))))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_compiled_and_captured_steps_compute_the_same(
    mini: ModelFolder, inputs: list[tuple[int, ...]], precision: str
) -> None:
    engine = loaded(mini, precision, torch.device("cuda"))
    plain = ids(engine.generate(inputs, Settings()))
    engine._model.fused = True
    for _ in range(3):
        again = ids(engine.generate(inputs, Settings()))
    assert sum(a == b for a, b in zip(plain, again, strict=True)) >= 0.9 * len(inputs)
