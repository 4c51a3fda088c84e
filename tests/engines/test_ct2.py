"""What the engine writes, compared with itself."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from completions import SOME, best, prompts
from hypothesis import given
from hypothesis import strategies as st
from passages import PASSAGES

from topicgen import GenerationSettings, TopicGenerator
from topicgen.engines import Completion, CT2Engine
from topicgen.engines.ct2 import LENGTH_SPREAD, groups
from topicgen.models import find_model
from topicgen.prompt import PromptEncoder


@pytest.fixture(scope="module")
def generator(cache: Path) -> TopicGenerator:
    return TopicGenerator.load("mini", engine="ct2")


@pytest.fixture(scope="module")
def inputs(exact: TopicGenerator) -> list[tuple[int, ...]]:
    return prompts(exact.model, SOME)


@pytest.fixture(scope="module")
def greedy(exact: TopicGenerator, inputs: list[tuple[int, ...]]) -> list[Completion]:
    return best(exact.engine, inputs)


def ids(completions: Sequence[Completion]) -> list[tuple[int, ...]]:
    return [completion.ids for completion in completions]


@pytest.mark.parametrize("batch_tokens", [1, 100, 100_000])
def test_float32_topics_do_not_depend_on_batches(
    exact: TopicGenerator, inputs: list[tuple[int, ...]], greedy: list[Completion], batch_tokens: int
) -> None:
    assert ids(best(exact.engine, inputs, batch_tokens=batch_tokens)) == ids(greedy)


def test_float32_topics_do_not_depend_on_order(
    exact: TopicGenerator, inputs: list[tuple[int, ...]], greedy: list[Completion]
) -> None:
    assert ids(best(exact.engine, inputs[::-1]))[::-1] == ids(greedy)
    assert ids(best(exact.engine, inputs[5:9])) == ids(greedy[5:9])


def test_float32_topics_do_not_depend_on_threads(
    exact: TopicGenerator, inputs: list[tuple[int, ...]], greedy: list[Completion]
) -> None:
    other = CT2Engine(exact.model, threads=3, precision="float32")
    assert ids(best(other, inputs)) == ids(greedy)


def test_int8_topics_are_the_same_in_every_run(generator: TopicGenerator) -> None:
    inputs = prompts(generator.model, SOME)
    assert best(generator.engine, inputs) == best(CT2Engine(generator.model), inputs)


def test_score_is_the_same_with_and_without_the_probability_of_each_token(
    exact: TopicGenerator, inputs: list[tuple[int, ...]], greedy: list[Completion]
) -> None:
    plain = [one for [one] in exact.engine.generate(inputs, GenerationSettings())]
    assert ids(plain) == ids(greedy)
    assert [one.score for one in plain] == pytest.approx([other.score for other in greedy], abs=1e-5)
    assert [one.finished for one in plain] == [other.finished for other in greedy]


def test_completion_is_no_longer_than_asked_for(generator: TopicGenerator) -> None:
    inputs = prompts(generator.model, SOME)
    cut = best(generator.engine, inputs, max_topic_tokens=2)
    assert all(1 <= len(c.ids) <= 2 for c in cut)
    assert any(not c.finished and len(c.logprobs) == 2 for c in cut)
    for one, whole in zip(cut, best(generator.engine, inputs), strict=True):
        assert one.finished == (whole.finished and len(whole.ids) <= 1)


def test_score_is_the_geometric_mean_of_probabilities(generator: TopicGenerator) -> None:
    for completion in best(generator.engine, prompts(generator.model, SOME)):
        assert len(completion.logprobs) == len(completion.ids) + completion.finished
        assert all(logprob <= 0 for logprob in completion.logprobs)
        assert 0 < completion.score <= 1
    assert Completion((1, 2), (math.log(0.5), math.log(0.125)), False).score == pytest.approx(0.25)


def sampled(engine: CT2Engine, texts: Sequence[str] = PASSAGES[:8], **settings: Any) -> list[tuple[int, ...]]:
    given = {"temperature": 1.0} | settings
    return ids(best(engine, prompts(find_model("mini"), texts), **given))


def test_sampling_depends_on_the_seed(generator: TopicGenerator) -> None:
    first = sampled(generator.engine, seed=1)
    assert sampled(generator.engine, seed=1) == first
    assert sampled(CT2Engine(generator.model), seed=1) == first
    assert sampled(generator.engine, seed=2) != first
    assert sampled(generator.engine, temperature=0) != first


def test_sampling_at_low_temperature_takes_the_likeliest(exact: TopicGenerator) -> None:
    likeliest, cold = sampled(exact.engine, temperature=0), sampled(exact.engine, temperature=0.001)
    assert sum(a == b for a, b in zip(likeliest, cold, strict=True)) >= len(cold) - 1


def test_several_completions_come_likeliest_first(generator: TopicGenerator) -> None:
    for completions in generator.engine.generate(prompts(generator.model)[:6], GenerationSettings(beams=12)):
        scores = [completion.score for completion in completions]
        assert len(completions) >= 5
        assert scores == sorted(scores, reverse=True)
        assert len({completion.ids for completion in completions}) == len(completions)


def test_score_of_one_of_several_is_that_of_its_tokens(
    exact: TopicGenerator, inputs: list[tuple[int, ...]], greedy: list[Completion]
) -> None:
    several = exact.engine.generate(inputs[:16], GenerationSettings(beams=8))
    shared = [
        (alone.score, completion.score)
        for alone, completions in zip(greedy[:16], several, strict=True)
        for completion in completions
        if completion.ids == alone.ids
    ]
    assert len(shared) > 8
    for alone_score, score in shared:
        assert score == pytest.approx(alone_score, abs=1e-3)


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
