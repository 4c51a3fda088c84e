"""The engine on ONNX Runtime, compared with the exact one and with itself, on processors that it runs on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from completions import SOME, best, prompts
from models import copy_of_mini, tiny_llama
from passages import PASSAGES

from topicgen import GenerationSettings, TopicGenerator, UserError
from topicgen.engines import Completion, CT2Engine, OnnxEngine, choice
from topicgen.engines import onnx as module
from topicgen.errors import UsageError
from topicgen.models import find_model

ABSTRACTS = Path(__file__).parents[3] / "shared" / "data" / "topics.parquet"


COMPUTES = pytest.mark.skipif(module.lacking() is not None, reason="the engine does not run on this machine")


@pytest.fixture(scope="module")
def engine(cache: Path) -> OnnxEngine:
    if needs := module.lacking():
        pytest.skip(f"the onnx engine needs {needs}")
    return OnnxEngine(find_model("mini"))


def ids(completions: list[Completion]) -> list[tuple[int, ...]]:
    return [completion.ids for completion in completions]


def same(ours: list[Completion], theirs: list[Completion]) -> float:
    return sum(a == b for a, b in zip(ids(ours), ids(theirs), strict=True)) / len(ours)


def test_topics_and_their_probabilities_are_those_of_float32(engine: OnnxEngine, exact: TopicGenerator) -> None:
    inputs = prompts(exact.model)
    ours, theirs = best(engine, inputs), best(exact.engine, inputs)
    assert same(ours, theirs) >= 0.7  # short texts, whose tokens are nearly as likely as others
    for one, other in zip(ours, theirs, strict=True):
        if one.ids == other.ids:
            assert one.finished == other.finished
            assert one.score == pytest.approx(other.score, abs=0.02)
            assert len(one.logprobs) == len(one.ids) + one.finished


@pytest.mark.skipif(not ABSTRACTS.is_file(), reason="no ../shared/data")
def test_topics_of_long_texts_are_those_of_float32(engine: OnnxEngine, exact: TopicGenerator) -> None:
    import pyarrow.parquet as pq

    texts = pq.read_table(ABSTRACTS, columns=["abstract"]).column(0).to_pylist()
    inputs = prompts(exact.model, [*texts[:30], " ".join(texts[30:34])[:3000]])
    assert max(map(len, inputs)) > 500
    assert same(best(engine, inputs), best(exact.engine, inputs)) >= 0.95


@pytest.mark.parametrize("beams", [2, 4])
def test_beam_search_finds_what_the_exact_engine_finds(engine: OnnxEngine, exact: TopicGenerator, beams: int) -> None:
    inputs, settings = prompts(exact.model, SOME), GenerationSettings(beams=beams)
    pairs = zip(engine.generate(inputs, settings), exact.engine.generate(inputs, settings), strict=True)
    alike = 0
    for ours, theirs in pairs:
        assert len(ours) == len(theirs) == beams
        assert [c.score for c in ours] == sorted((c.score for c in ours), reverse=True)
        alike += ours[0].ids == theirs[0].ids
    assert alike >= 0.7 * len(inputs)


def test_topics_do_not_depend_on_what_is_written_beside_them(engine: OnnxEngine) -> None:
    inputs = prompts(find_model("mini"))
    whole = best(engine, inputs)
    alone = [best(engine, [prompt])[0] for prompt in inputs[:12]]
    assert ids(alone) == ids(whole[:12])
    assert ids(best(engine, inputs[::-1]))[::-1] == ids(whole)
    assert ids(best(engine, inputs, batch_tokens=300)) == ids(whole)
    assert ids(best(OnnxEngine(find_model("mini"), threads=3), inputs)) == ids(whole)


def test_deterministic_runs_give_the_same_numbers_whatever_is_beside(engine: OnnxEngine) -> None:
    inputs = prompts(find_model("mini"), SOME)
    whole = best(engine, inputs, deterministic=True)
    assert whole == best(OnnxEngine(find_model("mini"), threads=1), inputs, deterministic=True)
    assert whole[3:5] == best(engine, inputs[3:5], deterministic=True)


def test_topics_are_cut_at_the_longest_length(engine: OnnxEngine) -> None:
    inputs = prompts(find_model("mini"), SOME)
    whole, cut = best(engine, inputs), best(engine, inputs, max_topic_tokens=2)
    for one, other in zip(cut, whole, strict=True):
        assert one.ids == other.ids[:2]
        assert one.finished == (len(other.ids) < 2)


def test_a_topic_is_never_empty(engine: OnnxEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The likeliest first token is made the one that ends a topic."""
    inputs = prompts(find_model("mini"), SOME[:3])
    first = best(engine, inputs[:1])[0].ids[0]
    monkeypatch.setattr(engine, "_stop", first)
    [completion] = best(engine, inputs[:1])
    assert completion.ids and completion.ids[0] != first
    assert all(c.ids and c.ids[0] != first for c in engine.generate(inputs[:1], GenerationSettings(beams=2))[0])


def test_samples_depend_on_the_seed(engine: OnnxEngine) -> None:
    inputs = prompts(find_model("mini"), SOME[:4])
    drawn = [ids(best(engine, inputs, temperature=1.5, seed=seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_prompts_of_one_token_and_of_none(engine: OnnxEngine) -> None:
    assert engine.generate([], GenerationSettings()) == []
    [[completion]] = engine.generate([[0]], GenerationSettings())
    assert completion.ids


@COMPUTES
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"num_key_value_heads": 4, "head_dim": 32},
        {"num_key_value_heads": 1, "tie_word_embeddings": True},
        {"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 10000.0}},
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
                "rope_theta": 500.0,
            }
        },
    ],
    ids=["grouped", "wide heads", "one head", "linear", "llama3"],
)
def test_other_shapes_of_llama_have_the_probabilities_of_float32(
    tmp_path: Path, own_cache: Path, config: dict[str, object]
) -> None:
    """Of random models int8 changes tokens; the probability of the first token is compared."""
    model = find_model(str(tiny_llama(tmp_path / "model", initializer_range=0.1, **config)))
    inputs = prompts(model, PASSAGES[:20])
    ours, theirs = best(OnnxEngine(model), inputs), best(CT2Engine(model, precision="float32"), inputs)
    near = [abs(a.logprobs[0] - b.logprobs[0]) < 0.1 for a, b in zip(ours, theirs, strict=True) if a.ids[0] == b.ids[0]]
    assert len(near) >= 14
    assert all(near)


@COMPUTES
def test_form_is_built_once_and_anew_when_damaged(tmp_path: Path, own_cache: Path) -> None:
    model = find_model(str(tiny_llama(tmp_path / "model")))
    inputs = prompts(model, PASSAGES[:3])
    first = best(OnnxEngine(model), inputs)
    [folder] = own_cache.iterdir()
    weights = folder / "weights.bin"
    whole, changed = weights.read_bytes(), weights.stat().st_mtime_ns
    assert best(OnnxEngine(model), inputs) == first
    assert weights.stat().st_mtime_ns == changed
    weights.write_bytes(whole[:-1000] + bytes(1000))
    assert best(OnnxEngine(model), inputs) == first
    assert weights.read_bytes() == whole


@COMPUTES
def test_what_it_cannot_compute_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="int8, not in float32"):
        OnnxEngine(find_model("mini"), precision="float32")
    rope = {"rope_type": "yarn", "factor": 2.0, "rope_theta": 10000.0}
    with pytest.raises(UserError, match="rotary embeddings default, linear and llama3, not 'yarn'"):
        OnnxEngine(find_model(str(copy_of_mini(tmp_path / "yarn", rope_parameters=rope))))
    with pytest.raises(UserError, match="LlamaForCausalLM"):
        OnnxEngine(find_model(str(copy_of_mini(tmp_path / "other", architectures=["GPT2LMHeadModel"]))))
    narrow = find_model(str(tiny_llama(tmp_path / "narrow", head_dim=24)))
    with pytest.raises(UserError, match="heads of a multiple of 16 numbers, not 24"):
        OnnxEngine(narrow)
    assert choice.choose_engine(narrow) == "ct2"
    with pytest.raises(UserError, match="a prompt is longer than its 1024 tokens"):
        OnnxEngine(find_model("mini")).generate([[0] * 1025], GenerationSettings())


def test_what_the_machine_lacks_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "processor_flags", lambda: frozenset({"avx2"}))
    with pytest.raises(UserError, match="needs a processor with AVX-512 VNNI or AVX-VNNI; ct2 runs on every one"):
        OnnxEngine(find_model("mini"))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install onnx onnxruntime"):
        OnnxEngine(find_model("mini"))


@pytest.mark.parametrize(
    ("flags", "precision", "expected"),
    [
        ({"avx2"}, "auto", "ct2"),
        ({"avx2", "avx512_vnni"}, "auto", "onnx"),
        ({"avx2", "avx_vnni"}, "int8", "onnx"),
        ({"avx2", "avx_vnni"}, "float32", "ct2"),
    ],
)
def test_auto_takes_it_for_processors_that_multiply_8_bit_numbers(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], precision: str, expected: str
) -> None:
    monkeypatch.setattr(module, "processor_flags", lambda: frozenset(flags))
    assert choice.choose_engine(find_model("mini"), precision) == expected  # type: ignore[arg-type]


def test_auto_leaves_models_that_it_cannot_compute_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "processor_flags", lambda: frozenset({"avx512_vnni"}))
    rope = {"rope_type": "yarn", "factor": 2.0, "rope_theta": 10000.0}
    assert choice.choose_engine(find_model(str(copy_of_mini(tmp_path / "yarn", rope_parameters=rope)))) == "ct2"


@COMPUTES
def test_failure_of_one_worker_ends_all_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, filled = OnnxEngine(find_model("mini"), threads=2), []
    embedded = engine._sessions.embedded

    def fail_once(ids: object) -> object:
        filled.append(1)
        if len(filled) == 5:
            raise RuntimeError("broken")
        return embedded(ids)  # type: ignore[arg-type]

    monkeypatch.setattr(engine._sessions, "embedded", fail_once)
    with pytest.raises(RuntimeError, match="broken"):
        best(engine, prompts(find_model("mini")) * 20)
    assert len(filled) < 60


def test_each_document_has_its_own_room_for_a_topic(engine: OnnxEngine) -> None:
    short, long = [0, 819, 412], [0] + [700] * 1020
    settings = GenerationSettings(max_topic_tokens=100, deterministic=True)
    [[alone]], [[beside], [cut]] = engine.generate([short], settings), engine.generate([short, long], settings)
    assert alone == beside
    assert len(cut.ids) <= 4


@pytest.mark.parametrize("beams", [1, 3])
def test_prompts_of_few_tokens_and_of_many_at_once(engine: OnnxEngine, beams: int) -> None:
    whole = prompts(find_model("mini"))[-1]
    inputs = [whole[:length] for length in (1, 2, 3, 4, 5, 7, 9, 13, len(whole))]
    settings = GenerationSettings(beams=beams)
    together = engine.generate(inputs, settings)
    alone = [engine.generate([prompt], settings)[0] for prompt in inputs]
    assert [ids(found) for found in together] == [ids(found) for found in alone]


@COMPUTES
def test_ctrl_c_ends_a_long_call_soon(cache: Path) -> None:
    code = (
        "import signal; from topicgen import TopicGenerator\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where a shell started this behind it
        "generator = TopicGenerator.load('mini', engine='onnx')\n"
        "generator.generate(['warm'])\n"
        "print('ready', flush=True)\n"
        "generator.generate([f'{i} ' + 'a text about glaciers and rivers ' * 60 for i in range(20000)])\n"
    )
    environment = {**os.environ, "TOPICGEN_CACHE": str(cache)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(1)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    try:
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert time.monotonic() - began < 20
    assert "KeyboardInterrupt" in told
