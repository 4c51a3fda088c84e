"""What the routes share: models, queue, settings, counters."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request

from topicgen.config import GenerationSettings, WriterSettings
from topicgen.generate import TopicGenerator
from topicgen.records import Document, Topic
from topicgen.rows import topic_row
from topicgen.serving.admission import Flight
from topicgen.serving.batching import Batcher, Work
from topicgen.serving.failures import RequestFailure, invalid
from topicgen.serving.grouping import GroupingThread
from topicgen.serving.metrics import Metrics
from topicgen.serving.schemas import InputDocument, ThemeDocument
from topicgen.serving.settings import ServerSettings

_FIELDS = ("id", "topic", "score", "status", "topics")


@dataclass(frozen=True)
class Service:
    """One server."""

    generators: Mapping[str, TopicGenerator]
    settings: ServerSettings
    batcher: Batcher
    grouping: GroupingThread
    flight: Flight
    metrics: Metrics
    created: int

    def work(self, model: str | None, topics: int) -> Work:
        """What to compute; raises RequestFailure (404) for a model that is not served."""
        name = next(iter(self.generators)) if model is None else model
        if name not in self.generators:
            raise RequestFailure(404, f"no such model; there are {', '.join(self.generators)}", "model_not_found")
        settings = self.settings
        return Work(
            name,
            GenerationSettings(topics=topics, deterministic=settings.deterministic, second_look=settings.second_look),
        )

    def document(self, given: str | InputDocument | ThemeDocument, position: int) -> Document:
        """A document of a request; raises RequestFailure (422) for one that is too long."""
        text, identifier = (given, str(position)) if isinstance(given, str) else (given.text, given.id)
        most = self.settings.max_characters
        if len(text) > most:
            raise invalid(f"document {position} has {len(text):,} characters, at most {most:,} are read")
        return Document(identifier, text, source="request", position=position)


def service_of(request: Request) -> Service:
    """The service that a request was sent to."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


def row_of(topic: Topic, several: bool) -> dict[str, object]:
    """The row of a topic in an answer."""
    row = topic_row(topic, WriterSettings(several=several), {})
    return {name: row[name] for name in _FIELDS if name in row}
