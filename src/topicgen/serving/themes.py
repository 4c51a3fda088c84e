"""``POST /v1/themes``: a collection in, its themes and a map out."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request

from topicgen.config import GenerationSettings
from topicgen.records import Document, Topic
from topicgen.serving.batching import Work
from topicgen.serving.bodies import StrictRoute
from topicgen.serving.failures import invalid
from topicgen.serving.schemas import ThemesAnswer, ThemesRequest
from topicgen.serving.service import Service, service_of
from topicgen.serving.topics import FAILURES
from topicgen.themes.dates import read_dates
from topicgen.themes.files import registry_trends, theme_rows
from topicgen.themes.founding import found_themes, namer
from topicgen.themes.records import Member
from topicgen.themes.registry import Registry

AT_ONCE = 256  # documents of a collection that wait for topics

router = APIRouter(route_class=StrictRoute)


@router.post("/v1/themes", response_model=ThemesAnswer, responses=FAILURES)
async def make_themes(body: ThemesRequest, request: Request) -> dict[str, Any]:
    """Groups documents into themes and sub-themes, names them, and lays them out on a map.

    Topics are written for documents that bring none. A document without text and topic has no theme.
    """
    service = service_of(request)
    _check(body, service)
    work = service.work(body.model, 1)
    topics = await _topics(body, service, work)
    dates = read_dates([document.date for document in body.documents])
    members = [
        Member(document.id, topic, document.text, "request", position, date)
        for position, (document, topic, date) in enumerate(zip(body.documents, topics, dates, strict=True), 1)
        if topic.strip()
    ]
    if not members:
        raise invalid("documents: none has a topic, or a text to write one for")
    loop = asyncio.get_running_loop()

    def generate(texts: Sequence[str], generation: GenerationSettings) -> list[Topic]:
        """Asks the engine's thread, by way of the queue, for the thread that groups."""
        prompts = [Document(str(number), text) for number, text in enumerate(texts)]
        written = service.batcher.topics(prompts, Work(work.model, generation))
        return asyncio.run_coroutine_threadsafe(written, loop).result(service.settings.request_seconds)

    def group() -> dict[str, Any]:
        name = namer(generate)
        return _answer(found_themes(members, name, themes=body.themes, granularity=body.granularity), body, topics)

    return await service.grouping.run(group)


def _check(body: ThemesRequest, service: Service) -> None:
    settings = service.settings
    if len(body.documents) > settings.max_theme_documents:
        raise invalid(f"{len(body.documents):,} documents; at most {settings.max_theme_documents:,} are grouped")
    if body.themes is not None and body.granularity is not None:
        raise invalid("give a number of themes or a granularity, not both")
    identifier, count = Counter(document.id for document in body.documents).most_common(1)[0]
    if count > 1:
        raise invalid(f"{count} documents have the id {identifier!r}; ids must differ")


async def _topics(body: ThemesRequest, service: Service, work: Work) -> list[str]:
    """The topics that came with the documents, and those of the others."""
    found = [document.topic for document in body.documents]
    missing = [
        (index, service.document(document, index + 1))
        for index, document in enumerate(body.documents)
        if not (document.topic or "").strip()
    ]
    for start in range(0, len(missing), AT_ONCE):
        part = missing[start : start + AT_ONCE]
        written = await service.batcher.topics([document for _, document in part], work)
        for (index, _), topic in zip(part, written, strict=True):
            found[index] = topic.topic
    return [topic or "" for topic in found]


def _answer(registry: Registry, body: ThemesRequest, topics: Sequence[str]) -> dict[str, Any]:
    placed = {row.member.id: row for row in registry.documents}
    trends = registry_trends(registry)
    documents = []
    for document, topic in zip(body.documents, topics, strict=True):
        row = placed.get(document.id)
        place = {name: getattr(row, name, None) for name in ("theme", "subtheme", "x", "y")}
        documents.append({"id": document.id, "topic": topic, **place})
    return {"themes": theme_rows(registry), "documents": documents, "trends": trends.as_dict() if trends else None}
