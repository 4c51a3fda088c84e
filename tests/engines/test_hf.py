"""The engine on transformers, compared with the CPU engine; on a GPU it computes in bfloat16."""

import subprocess
import sys
from pathlib import Path

import pytest
from completions import SOME, best, prompts
from models import copy_of_mini
from passages import PASSAGES
from safetensors.numpy import save_file

from topicgen import GenerationSettings, TopicGenerator, UserError
from topicgen.engines import ENGINES, Completion, HFEngine, choice
from topicgen.engines.hf_batches import TransformersBatches
from topicgen.engines.onnx import lacking
from topicgen.engines.weights import read_tensors
from topicgen.models import ModelFolder, find_model

ONNX = pytest.mark.skipif(lacking() is not None, reason="the onnx engine does not run on this machine")
GPU = pytest.importorskip("torch").cuda.is_available()
CLOSE = 0.2 if GPU else 1e-3
FEW = SOME[:8]
SHARE = 0.8 if GPU else 0.98


@pytest.fixture(scope="module")
def hf(mini: ModelFolder) -> HFEngine:
    return HFEngine(mini, threads=1)  # two threads on a busy machine wait for each other


@pytest.fixture(scope="module")
def inputs(mini: ModelFolder) -> list[tuple[int, ...]]:
    return prompts(mini, SOME)


@pytest.fixture(scope="module")
def greedy(hf: HFEngine, inputs: list[tuple[int, ...]]) -> list[Completion]:
    return best(hf, inputs)


def equal(left: list[Completion], right: list[Completion]) -> float:
    return sum(a.ids == b.ids for a, b in zip(left, right, strict=True)) / len(left)


def test_topics_are_those_of_the_cpu_engine(exact: TopicGenerator, hf: HFEngine) -> None:
    ours = [topic.topic for topic in TopicGenerator(exact.model, hf).generate(FEW)]
    theirs = [topic.topic for topic in exact.generate(FEW)]
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) >= SHARE * len(FEW)


def test_probabilities_are_those_of_the_cpu_engine(
    exact: TopicGenerator, inputs: list[tuple[int, ...]], greedy: list[Completion]
) -> None:
    theirs = best(exact.engine, inputs)
    assert equal(greedy, theirs) >= SHARE
    for one, other in zip(greedy, theirs, strict=True):
        if one.ids == other.ids:
            assert one.finished == other.finished
            assert one.logprobs == pytest.approx(other.logprobs, abs=CLOSE)


def test_one_number_is_the_mean(hf: HFEngine, inputs: list[tuple[int, ...]], greedy: list[Completion]) -> None:
    plain = [one for [one] in hf.generate(inputs[:8], GenerationSettings())]
    assert all(len(one.logprobs) == 1 for one in plain)
    assert [one.score for one in plain] == pytest.approx([one.score for one in greedy[:8]], abs=CLOSE)


@pytest.mark.parametrize("settings", [{"batch_tokens": 100}, {"deterministic": True}], ids=str)
def test_topics_do_not_depend_on_batches(
    hf: HFEngine, inputs: list[tuple[int, ...]], greedy: list[Completion], settings: dict[str, int]
) -> None:
    assert equal(best(hf, inputs[:16], **settings), greedy[:16]) >= SHARE


def test_completion_is_no_longer_than_asked_for(
    hf: HFEngine, inputs: list[tuple[int, ...]], greedy: list[Completion]
) -> None:
    cut = best(hf, inputs[:16], max_topic_tokens=2)
    assert all(1 <= len(one.ids) <= 2 and len(one.logprobs) == len(one.ids) + one.finished for one in cut[:16])
    assert any(not one.finished for one in cut)
    if not GPU:
        assert [one.ids for one in cut] == [one.ids[:2] for one in greedy[:16]]


def test_beams_are_those_of_the_cpu_engine(
    exact: TopicGenerator, hf: HFEngine, inputs: list[tuple[int, ...]], greedy: list[Completion]
) -> None:
    settings = GenerationSettings(beams=4)
    ours, theirs = hf.generate(inputs[:16], settings), exact.engine.generate(inputs[:16], settings)
    shared = 0
    for several, others, alone in zip(ours, theirs, greedy, strict=False):
        scores = [completion.score for completion in several]
        assert 1 <= len(several) <= 4 and scores == sorted(scores, reverse=True)
        assert len({completion.ids for completion in several}) == len(several)
        known = {completion.ids: completion.score for completion in [*others, alone]}
        shared += several[0].ids == others[0].ids
        for completion in several:
            if completion.ids in known:
                assert completion.score == pytest.approx(known[completion.ids], abs=CLOSE)
    assert shared >= 12


def test_sampling_depends_on_the_seed_alone(hf: HFEngine, inputs: list[tuple[int, ...]]) -> None:
    import torch

    def sampled(seed: int, temperature: float = 1.0) -> list[tuple[int, ...]]:
        return [one.ids for one in best(hf, inputs[:8], temperature=temperature, seed=seed)]

    before = torch.get_rng_state()
    first = sampled(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert sampled(1) == first != sampled(2)
    if not GPU:
        assert sampled(1, 0.001) == [one.ids for one in best(hf, inputs[:8])]


def test_long_document_is_read_as_far_as_there_is_room(exact: TopicGenerator, hf: HFEngine) -> None:
    text, settings = " ".join(PASSAGES * 5), GenerationSettings(max_passages=1)
    [ours], [theirs] = TopicGenerator(exact.model, hf).generate([text], settings), exact.generate([text], settings)
    assert (ours.status, theirs.status) == ("truncated", "truncated")
    assert ours.topic and (GPU or ours.topic == theirs.topic)


def test_long_document_has_the_topics_of_the_same_passages(exact: TopicGenerator, hf: HFEngine) -> None:
    text = " ".join(PASSAGES * 2)
    settings = GenerationSettings(topics=2, max_topic_tokens=4)
    [ours], [theirs] = TopicGenerator(exact.model, hf).generate([text], settings), exact.generate([text], settings)
    assert (ours.status, len(ours.topics)) == ("ok", 2)
    assert len(ours.passages) > 1
    if not GPU:
        assert [p.topic for p in ours.passages] == [p.topic for p in theirs.passages]


def test_no_prompts_give_no_completions(hf: HFEngine) -> None:
    assert hf.generate([], GenerationSettings()) == []


def test_batch_that_does_not_fit_is_halved(
    hf: HFEngine, inputs: list[tuple[int, ...]], greedy: list[Completion], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    run, room = TransformersBatches._run, 3

    def small(
        engine: TransformersBatches, given: list[tuple[int, ...]], settings: GenerationSettings
    ) -> list[list[Completion]]:
        if len(given) > room:
            raise torch.OutOfMemoryError
        return run(engine, given, settings)

    monkeypatch.setattr(TransformersBatches, "_run", small)
    assert equal(best(hf, inputs[:8]), greedy[:8]) >= SHARE
    room = 0
    with pytest.raises(UserError, match="needs more memory than the GPU has"):
        best(hf, inputs[:8])


def test_damaged_weights_are_refused_on_one_line(tmp_path: Path) -> None:
    folder = copy_of_mini(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match="transformers cannot load it") as refused:
        HFEngine(find_model(str(folder)))
    assert "\n" not in str(refused.value)


def test_missing_weights_are_not_made_up(tmp_path: Path, mini: ModelFolder) -> None:
    tensors = read_tensors(mini)
    del tensors["model.layers.3.mlp.up_proj.weight"]
    folder = copy_of_mini(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack 'model\.layers\.3\.mlp\.up_proj\.weight'"):
        HFEngine(find_model(str(folder)))


def test_missing_libraries_are_named_with_the_line_that_installs_them(
    mini: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"transformers needs the extra 'train': pip install 'topicgen\[train\]'"):
        HFEngine(mini)


def test_loading_says_nothing(mini: ModelFolder, capfd: pytest.CaptureFixture[str]) -> None:
    best(HFEngine(mini, threads=1), prompts(mini, PASSAGES[:2]))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("gpu", "large", "quantised", "engine"), [
    (True, True, False, "hf"),
    (True, False, True, "hf"),
    (True, False, False, "ct2"),
    (False, True, True, "ct2"),
])  # fmt: skip
def test_engine_is_chosen_by_the_machine_and_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool, large: bool, quantised: bool, engine: str
) -> None:
    monkeypatch.setattr(choice, "_has_gpu", lambda: gpu)
    monkeypatch.setattr(choice, "suits", lambda model, precision: False)
    monkeypatch.setattr(choice, "LARGE_BYTES", 0 if large else 10**12)
    kind = {"quant_method": "bitsandbytes"} if quantised else None
    model = find_model(str(copy_of_mini(tmp_path / "model", quantization_config=kind)))
    assert choice.choose_engine(model) == engine


def test_engines_are_known_by_name() -> None:
    assert list(ENGINES) == ["onnx", "ct2", "hf", "vllm", "openai"]
    assert all(engine.name == name for name, engine in ENGINES.items())
    assert TopicGenerator.load("mini", engine="hf", threads=1).engine.name == "hf"


@pytest.mark.parametrize("engine", ["ct2", pytest.param("onnx", marks=ONNX)])
def test_other_engines_need_no_torch(engine: str) -> None:
    code = f"""
import sys
sys.modules.update(torch=None, transformers=None, peft=None)
from topicgen import TopicGenerator
generator = TopicGenerator.load("mini", engine={engine!r})
print(generator.engine.name, bool(generator.generate(["Bees make honey."])[0].topic))
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == [engine, "True"]
