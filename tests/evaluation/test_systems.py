"""Systems: models that run, models that fail, references against each other."""

from collections.abc import Sequence

from passages import PASSAGES

from topicgen import GenerationSettings, TopicGenerator
from topicgen.engines.base import Completion, Engine
from topicgen.evaluation.systems import failures, reference_systems, run_model, stable_shares, write_topics
from topicgen.records import Example

TEXTS = PASSAGES[:12]  # of many lengths
ALONE = GenerationSettings(deterministic=True)


def test_deterministic_topics_do_not_depend_on_order_or_batches(generator: TopicGenerator) -> None:
    topics = write_topics(generator, TEXTS, ALONE)
    shares = stable_shares(generator, TEXTS, topics, ALONE)
    assert shares == {"documents": len(TEXTS), "rerun": 1, "shuffled": 1, "batch_size": 1}


def test_deterministic_topics_do_not_depend_on_the_number_of_threads(generator: TopicGenerator) -> None:
    three = TopicGenerator.load("mini", threads=3)
    assert write_topics(three, TEXTS, ALONE) == write_topics(generator, TEXTS, ALONE)


def test_a_topic_that_changes_lowers_the_share(generator: TopicGenerator) -> None:
    topics = write_topics(generator, TEXTS[:4], ALONE)
    assert stable_shares(generator, TEXTS[:4], ["other", *topics[1:]], ALONE)["rerun"] == 0.75


class Fragile(Engine):
    """The engine of another, which fails on prompts of one length."""

    def __init__(self, engine: object, length: int) -> None:
        self._engine, self._length = engine, length
        self.max_prompt_tokens = engine.max_prompt_tokens  # type: ignore[attr-defined]
        self.name = "fragile"

    def generate(self, prompts: Sequence[Sequence[int]], settings: GenerationSettings) -> list[list[Completion]]:
        if any(len(prompt) == self._length for prompt in prompts):
            raise RuntimeError("no memory for this one")
        return self._engine.generate(prompts, settings)  # type: ignore[attr-defined,no-any-return]


def test_a_document_on_which_the_model_fails_is_empty_and_counted(generator: TopicGenerator) -> None:
    texts = ["Glaciers lose mass faster when soot darkens them.", "One short text.", "Night trains are back in Europe."]
    lengths = [len(prompt.ids) for prompt in generator._encoder.encode(texts)]
    broken = TopicGenerator(generator.model, Fragile(generator.engine, lengths[1]))
    system = run_model("broken", broken, [Example(str(i), text) for i, text in enumerate(texts)], ALONE)
    assert [bool(topic) for topic in system.topics] == [True, False, True]
    assert system.failed == 1


def test_a_document_without_text_is_no_failure() -> None:
    assert failures(["", ""], [Example("a", " "), Example("b", "text")]) == 1


def test_references_are_scored_against_each_other() -> None:
    examples = [Example("a", "t", ("one", "two")), Example("b", "t", ("three",))]
    first, second = reference_systems(["topic", "other"], examples)
    assert (first.name, list(first.topics), list(first.references or ())) == (
        "reference topic",
        ["one", ""],
        [("two",), ()],
    )
    assert list(second.references or ()) == [("one",), ()]
    assert reference_systems(["topic"], examples) == []
