"""What of the engine on vLLM is seen without vLLM; and, where vLLM is installed, the topics it writes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from models import copy_of_mini, replace

from topicgen import GenerationSettings, TopicGenerator, UserError
from topicgen.engines import VLLMEngine
from topicgen.errors import UsageError
from topicgen.models import ModelFolder, find_model

PARAGRAPHS = Path(__file__).parents[2].joinpath("data/input.txt").read_text(encoding="utf-8").strip().split("\n\n")
pytestmark = pytest.mark.enable_socket  # the processes of vLLM talk over the loopback interface
needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")


def test_missing_vllm_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match=r"vllm needs the extra 'vllm': pip install 'topicgen\[vllm\]'"):
        TopicGenerator.load("mini", engine="vllm")


def test_precision_it_lacks_is_wrong_usage(mini: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in bf16, float32 or fp8, not in int8"):
        VLLMEngine(mini, precision="int8")
    four_bits = find_model(str(copy_of_mini(tmp_path / "nf4", quantization_config={"quant_method": "bitsandbytes"})))
    with pytest.raises(UsageError, match="its weights are quantised"):
        VLLMEngine(four_bits, precision="fp8")


def test_end_of_topics_that_the_tokenizer_lacks_is_named(tmp_path: Path) -> None:
    folder = copy_of_mini(tmp_path / "endless")
    replace(folder / "prompt.json", (folder / "prompt.json").read_text().replace("<|end_of_text|>", "<|gone|>"))
    with pytest.raises(UserError, match=r"no token '<\|gone\|>', which ends a topic"):
        VLLMEngine(find_model(str(folder)))


@pytest.fixture(scope="module")
def on_vllm(cache: Path) -> Iterator[TopicGenerator]:
    """Shared by the tests: to start vLLM takes a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")  # a build for CPUs would reserve nearly all memory,
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # and share a core with its own processes
        yield TopicGenerator.load("mini", engine="vllm", precision="float32")


@needs_vllm
@pytest.mark.slow
def test_topics_and_scores_are_those_of_the_cpu_engine(on_vllm: TopicGenerator, exact: TopicGenerator) -> None:
    """With the second look, which is a beam search."""
    ours, reference = (list(generator.generate(PARAGRAPHS)) for generator in (on_vllm, exact))
    equal = [(a, b) for a, b in zip(ours, reference, strict=True) if a.topic == b.topic]
    assert len(equal) >= 0.9 * len(PARAGRAPHS)
    assert all(a.score == pytest.approx(b.score, abs=0.001) for a, b in equal)


@needs_vllm
@pytest.mark.slow
def test_several_topics_are_those_of_the_cpu_engine(on_vllm: TopicGenerator, exact: TopicGenerator) -> None:
    """Twelve beams: more probabilities of one token than vLLM gives by default."""
    settings = GenerationSettings(topics=5)
    ours, reference = (list(generator.generate(PARAGRAPHS[:4], settings)) for generator in (on_vllm, exact))
    assert all(len(topic.topics) == 5 for topic in ours)
    assert sum(a.topic == b.topic for a, b in zip(ours, reference, strict=True)) >= 3
    shared = sum(
        len({r.topic for r in a.topics} & {r.topic for r in b.topics}) for a, b in zip(ours, reference, strict=True)
    )
    assert shared >= 16


@needs_vllm
@pytest.mark.slow
def test_sampled_topics_depend_on_the_seed_and_not_on_the_neighbours(on_vllm: TopicGenerator) -> None:
    prompts = [prompt.ids for prompt in on_vllm.encode(PARAGRAPHS[:4])]
    settings = GenerationSettings(temperature=1.5, seed=3)
    drawn = on_vllm.engine.generate(prompts, settings)
    assert [c[0].ids for c in on_vllm.engine.generate(prompts[2:], settings)] == [c[0].ids for c in drawn[2:]]
    other = on_vllm.engine.generate(prompts, GenerationSettings(temperature=1.5, seed=4))
    assert [c[0].ids for c in other] != [c[0].ids for c in drawn]


@needs_vllm
@pytest.mark.slow
def test_deterministic_gives_every_token_its_probability(on_vllm: TopicGenerator) -> None:
    prompts = [prompt.ids for prompt in on_vllm.encode(PARAGRAPHS[:3])]
    found = on_vllm.engine.generate(prompts, GenerationSettings(deterministic=True, token_logprobs=True))
    assert [len(c.logprobs) for (c,) in found] == [len(c.ids) + c.finished for (c,) in found]
    alone = on_vllm.engine.generate(prompts[1:2], GenerationSettings(deterministic=True, token_logprobs=True))
    assert alone == found[1:2]


@needs_vllm
@pytest.mark.slow
def test_standard_output_has_rows_alone(on_vllm: TopicGenerator, notes: Path) -> None:
    """vLLM and its processes log on standard output by default."""
    notes.write_text("\n\n".join(PARAGRAPHS[:2]), encoding="utf-8")
    line = f"-m topicgen generate {notes} --engine vllm --precision float32 --format jsonl --no-cache"
    run = subprocess.run([sys.executable, *line.split()], capture_output=True, text=True, check=True)
    assert [json.loads(row)["status"] for row in run.stdout.splitlines()] == ["ok", "ok"]
