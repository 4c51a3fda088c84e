"""The documents of a collection with their topics in, its first themes out."""

import datetime
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from topicgen.config import GenerationSettings
from topicgen.embed import Embedder
from topicgen.records import Topic
from topicgen.themes.births import Namer
from topicgen.themes.duplicates import merged_topics
from topicgen.themes.grouping import group
from topicgen.themes.layout import layout
from topicgen.themes.naming import names
from topicgen.themes.records import Member
from topicgen.themes.registry import Registry
from topicgen.themes.space import Space

Generate = Callable[[Sequence[str], GenerationSettings], Sequence[Topic]]
NAMING = GenerationSettings(deterministic=True)


def namer(generate: Generate | None) -> Namer:
    """What names groups: a model, such as ``TopicGenerator.generate``, or without one their most central topics."""
    if generate is None:
        return lambda groups: names(groups, None)
    return partial(names, write=lambda texts: [topic.topic for topic in generate(texts, NAMING)])


def found_themes(
    members: Sequence[Member],
    name: Namer,
    *,
    themes: int | None = None,
    granularity: float | None = None,
    embedder: Embedder | None = None,
    settings: dict[str, Any] | None = None,
    inputs: Sequence[str] = (),
) -> Registry:
    """The themes of a collection.

    Args:
        members: Its documents, at least one.
        name: Writes the names.
        themes: How many; None chooses the number.
        granularity: See ``group``.
        embedder: What stands beside the offline vectors.
        settings: Kept for people; see ``Registry.create``.
        inputs: Kept for people.

    Raises:
        UsageError: As for ``group``.
        UserError: When a library of the extra ``themes`` is missing.
    """
    topics = [member.topic for member in members]
    topics = [topics[i] for i in merged_topics(topics)]
    texts = [member.text for member in members]
    space = Space.fit(topics, texts, embedder=embedder)
    vectors = space.encode(topics, texts)
    grouping = group(vectors, themes=themes, granularity=granularity)
    return Registry.create(
        members,
        space,
        vectors,
        grouping,
        layout(vectors, grouping),
        name,
        settings={"themes": themes, "granularity": granularity, **(settings or {})},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        inputs=inputs,
        topics=topics,
    )
