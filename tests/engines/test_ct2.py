"""What the engine writes, compared with transformers and with itself."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import tiny_llama
from passages import PASSAGES

from topicgen import GenerationSettings, TopicGenerator
from topicgen.engines import Completion, CT2Engine
from topicgen.engines.ct2 import LENGTH_SPREAD, groups
from topicgen.models import ModelFolder, find_model
from topicgen.phrase import clean
from topicgen.prompt import PromptEncoder

ABSTRACTS = Path(__file__).parents[3] / "shared" / "data" / "topics.parquet"
ABSTRACTS_READ = 500


def prompts(model: ModelFolder, texts: Sequence[str] = PASSAGES) -> list[tuple[int, ...]]:
    encoder = PromptEncoder(model.prompt, model.tokenizer, model.context_tokens - 64)
    return [prompt.ids for prompt in encoder.encode(texts)]


def with_transformers(model: ModelFolder, inputs: Sequence[Sequence[int]], batch: int = 8) -> list[Completion]:
    """Greedy completions by the reference implementation, in float32."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    llama = transformers.LlamaForCausalLM.from_pretrained(model.path, dtype=torch.float32).eval()
    stop = model.tokenizer.token_to_id(model.prompt.stop)
    order = sorted(range(len(inputs)), key=lambda number: len(inputs[number]))
    done: dict[int, Completion] = {}
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        longest = max(len(inputs[number]) for number in group)
        padded = torch.tensor([[2] * (longest - len(inputs[n])) + list(inputs[n]) for n in group])
        mask = torch.tensor([[0] * (longest - len(inputs[n])) + [1] * len(inputs[n]) for n in group])
        with torch.inference_mode():
            output = llama.generate(
                input_ids=padded,
                attention_mask=mask,
                max_new_tokens=16,
                min_new_tokens=1,
                do_sample=False,
                eos_token_id=stop,
                pad_token_id=2,
                return_dict_in_generate=True,
                output_logits=True,
            )
        logits = torch.stack(output.logits, dim=1).log_softmax(-1)
        for row, number in enumerate(group):
            ids = output.sequences[row, longest:].tolist()
            length = ids.index(stop) if stop in ids else len(ids)
            read = ids[: length + 1]
            logprobs = tuple(float(logits[row, step, token]) for step, token in enumerate(read))
            done[number] = Completion(tuple(ids[:length]), logprobs, finished=stop in ids)
    return [done[number] for number in range(len(inputs))]


def best(engine: CT2Engine, inputs: Sequence[Sequence[int]], **settings: Any) -> list[Completion]:
    return [completions[0] for completions in engine.generate(inputs, GenerationSettings(**settings))]


def same_ids(ours: Sequence[Completion], theirs: Sequence[Completion]) -> float:
    return sum(a.ids == b.ids for a, b in zip(ours, theirs, strict=True)) / len(ours)


def test_float32_equals_transformers_token_by_token(exact: TopicGenerator) -> None:
    inputs = prompts(exact.model)
    ours, theirs = best(exact.engine, inputs), with_transformers(exact.model, inputs)
    assert same_ids(ours, theirs) >= 0.98
    for one, other in zip(ours, theirs, strict=True):
        if one.ids == other.ids:
            assert one.finished == other.finished
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
            assert one.score == pytest.approx(other.score, abs=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(not ABSTRACTS.exists(), reason=f"needs {ABSTRACTS}")
def test_float32_topics_of_abstracts_equal_those_of_transformers(exact: TopicGenerator) -> None:
    import pyarrow.parquet as pq

    texts = pq.read_table(ABSTRACTS, columns=["abstract"])["abstract"].to_pylist()[:ABSTRACTS_READ]
    inputs = prompts(exact.model, texts)
    decode = exact.model.tokenizer.decode

    def topics(completions: Sequence[Completion]) -> list[str]:
        return [clean(decode(c.ids), finished=c.finished) for c in completions]

    ours = topics(best(exact.engine, inputs))
    theirs = topics(with_transformers(exact.model, inputs, batch=16))
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) >= 0.98 * len(texts)


LLAMA3 = {
    "rope_theta": 500000.0,
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.mark.parametrize(
    "config",
    [
        {"tie_word_embeddings": False},
        {"tie_word_embeddings": True, "num_key_value_heads": 4},
        {"head_dim": 32, "rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}},
        {"rope_parameters": LLAMA3, "tie_word_embeddings": False},
        {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0}},
        {"dtype": "float16"},
    ],
    ids=["untied", "all heads", "wide heads", "llama3", "linear", "float16"],
)
def test_models_of_other_shapes_equal_transformers(tmp_path: Path, config: dict[str, Any]) -> None:
    model = find_model(str(tiny_llama(tmp_path, **config)))
    inputs = prompts(model, [*PASSAGES[:10], " ".join(PASSAGES)])  # differences of rotation show in long prompts
    ours, theirs = best(CT2Engine(model, precision="float32"), inputs), with_transformers(model, inputs)
    assert same_ids(ours, theirs) >= 0.9
    assert ours[-1].ids == theirs[-1].ids
    assert ours[-1].logprobs == pytest.approx(theirs[-1].logprobs, abs=1e-3)


@pytest.mark.parametrize("batch_tokens", [1, 100, 700, 100_000])
def test_float32_topics_do_not_depend_on_batches(exact: TopicGenerator, batch_tokens: int) -> None:
    inputs = prompts(exact.model)
    expected = [c.ids for c in best(exact.engine, inputs)]
    assert [c.ids for c in best(exact.engine, inputs, batch_tokens=batch_tokens)] == expected


def test_float32_topics_do_not_depend_on_order(exact: TopicGenerator) -> None:
    inputs = prompts(exact.model)
    expected = [c.ids for c in best(exact.engine, inputs)]
    assert [c.ids for c in best(exact.engine, inputs[::-1])][::-1] == expected
    assert [c.ids for c in best(exact.engine, inputs[5:9])] == expected[5:9]


def test_float32_topics_do_not_depend_on_threads(exact: TopicGenerator) -> None:
    inputs = prompts(exact.model)
    one, three = (CT2Engine(exact.model, threads=n, precision="float32") for n in (1, 3))
    assert [c.ids for c in best(one, inputs)] == [c.ids for c in best(three, inputs)]


def test_int8_topics_are_the_same_in_every_run(generator: TopicGenerator) -> None:
    inputs = prompts(generator.model)
    assert best(generator.engine, inputs) == best(CT2Engine(generator.model), inputs)


def test_completion_is_no_longer_than_asked_for(generator: TopicGenerator) -> None:
    inputs = prompts(generator.model)
    cut = best(generator.engine, inputs, max_topic_tokens=2)
    assert all(1 <= len(c.ids) <= 2 for c in cut)
    assert any(not c.finished and len(c.logprobs) == 2 for c in cut)
    for one, whole in zip(cut, best(generator.engine, inputs), strict=True):
        assert one.finished == (whole.finished and len(whole.ids) <= 1)


def test_score_is_the_geometric_mean_of_probabilities(generator: TopicGenerator) -> None:
    for completion in best(generator.engine, prompts(generator.model)):
        assert len(completion.logprobs) == len(completion.ids) + completion.finished
        assert all(logprob <= 0 for logprob in completion.logprobs)
        assert 0 < completion.score <= 1
    assert Completion((1, 2), (math.log(0.5), math.log(0.125)), False).score == pytest.approx(0.25)


def sampled(engine: CT2Engine, texts: Sequence[str] = PASSAGES[:8], **settings: Any) -> list[tuple[int, ...]]:
    given = {"temperature": 1.0} | settings
    return [c.ids for c in best(engine, prompts(find_model("mini"), texts), **given)]


def test_sampling_depends_on_the_seed(generator: TopicGenerator) -> None:
    first = sampled(generator.engine, seed=1)
    assert sampled(generator.engine, seed=1) == first
    assert sampled(CT2Engine(generator.model), seed=1) == first
    assert sampled(generator.engine, seed=2) != first
    assert sampled(generator.engine, temperature=0) != first


def test_sampling_at_low_temperature_takes_the_likeliest(exact: TopicGenerator) -> None:
    greedy, cold = sampled(exact.engine, temperature=0), sampled(exact.engine, temperature=0.001)
    assert sum(a == b for a, b in zip(greedy, cold, strict=True)) >= len(greedy) - 1


def test_several_completions_come_likeliest_first(generator: TopicGenerator) -> None:
    for completions in generator.engine.generate(prompts(generator.model)[:6], GenerationSettings(topics=5)):
        scores = [completion.score for completion in completions]
        assert len(completions) >= 5
        assert scores == sorted(scores, reverse=True)
        assert len({completion.ids for completion in completions}) == len(completions)


def test_score_of_one_of_several_is_that_of_its_tokens(exact: TopicGenerator) -> None:
    inputs = prompts(exact.model)
    greedy = best(exact.engine, inputs)
    several = exact.engine.generate(inputs, GenerationSettings(topics=3))
    shared = [
        (alone.score, completion.score)
        for alone, completions in zip(greedy, several, strict=True)
        for completion in completions
        if completion.ids == alone.ids
    ]
    assert len(shared) > len(inputs) / 2
    for alone, among in shared:
        assert among == pytest.approx(alone, abs=1e-3)


def test_no_prompts_give_no_completions(generator: TopicGenerator) -> None:
    assert generator.engine.generate([], GenerationSettings()) == []


def test_longest_prompt_leaves_room_for_a_topic(generator: TopicGenerator) -> None:
    [prompt] = PromptEncoder(
        generator.model.prompt, generator.model.tokenizer, generator.engine.max_prompt_tokens
    ).encode(["boats " * 5_000])
    assert len(prompt.ids) == generator.engine.max_prompt_tokens < generator.model.context_tokens
    [completion] = best(generator.engine, [prompt.ids])
    assert completion.ids


@given(st.lists(st.integers(1, 200), max_size=60), st.integers(1, 600))
def test_groups_hold_each_prompt_once_and_keep_their_limits(lengths: list[int], batch_tokens: int) -> None:
    found = list(groups(lengths, batch_tokens))
    assert sorted(number for group in found for number in group) == list(range(len(lengths)))
    for group in found:
        sizes = [lengths[number] for number in group]
        assert len(group) == 1 or len(group) * max(sizes) <= batch_tokens
        assert max(sizes) - min(sizes) <= LENGTH_SPREAD


def test_groups_are_as_few_as_the_limits_allow() -> None:
    assert [len(group) for group in groups([10] * 25, 100)] == [10, 10, 5]


def test_interrupted_generation_leaves_the_engine_usable(generator: TopicGenerator) -> None:
    class Interrupting:
        """Prompts of which one cannot be read, after others were queued."""

        def __len__(self) -> int:
            return 12

        def __iter__(self) -> Iterator[tuple[int, ...]]:
            return iter(inputs)

        def __getitem__(self, number: int) -> tuple[int, ...]:
            if number == 11:
                raise KeyboardInterrupt
            return inputs[number]

    inputs = sorted(prompts(generator.model)[:12], key=len, reverse=True)
    with pytest.raises(KeyboardInterrupt):
        generator.engine.generate(Interrupting(), GenerationSettings(batch_tokens=1))  # type: ignore[arg-type]
    assert all(c.ids for c in best(generator.engine, inputs))
