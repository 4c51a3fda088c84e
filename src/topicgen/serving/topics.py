"""``POST /v1/topics``: documents in, their topics out, as one answer or as JSON lines."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field, TypeAdapter, ValidationError

from topicgen.serving.admission import NDJSON, is_ndjson
from topicgen.serving.bodies import StrictRoute
from topicgen.serving.failures import invalid, what_is_wrong
from topicgen.serving.schemas import MOST_TOPICS, ErrorAnswer, TopicsAnswer, TopicsRequest
from topicgen.serving.service import row_of, service_of
from topicgen.serving.streaming import Item, items_of_lines, rows_response

_TOPICS: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=1, le=MOST_TOPICS)])
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        401: "no token",
        403: "foreign Host or Origin",
        404: "no such model",
        408: "the body came too slowly",
        413: "the body is too large",
        415: "the body is of another type",
        422: "the body does not fit",
        500: "the model failed",
        503: "no room, or the server stops; Retry-After says when to ask again",
    }.items()
}


class TopicsRoute(StrictRoute):
    """Takes JSON lines past the parser, which would read the whole body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def choose(request: Request) -> Response:
            if not is_ndjson(request.headers.get("content-type")):
                return await handler(request)
            return await answer_lines(request)

        return choose


router = APIRouter(route_class=TopicsRoute)


@router.post(
    "/v1/topics",
    response_model=TopicsAnswer,
    response_model_exclude_none=True,
    responses=FAILURES | {200: {"content": {NDJSON: {"schema": {"type": "string"}}}}},
)
async def write_topics(body: TopicsRequest, request: Request) -> Response:
    """Writes a topic for every document.

    With `Accept: application/x-ndjson` the answer is one row a line, as the topics are written. A body of
    `application/x-ndjson` (one text or {"id", "text"} a line; `topics` and `model` as query parameters) may have any
    number of documents and is answered in the same way. A line that cannot be read gets a line with `error`.
    """
    service = service_of(request)
    given = [body.documents] if isinstance(body.documents, str) else body.documents
    if len(given) > service.settings.max_documents:
        most = service.settings.max_documents
        raise invalid(f"{len(given):,} documents; a request has at most {most:,}, JSON lines any number")
    work = service.work(body.model, body.topics)
    documents = [service.document(one, number) for number, one in enumerate(given, 1)]
    if is_ndjson(request.headers.get("accept")):

        async def items() -> AsyncIterator[Item]:
            for document in documents:
                yield document

        return await rows_response(service, items(), work)
    topics = await service.batcher.topics(documents, work)
    return JSONResponse({"model": work.model, "topics": [row_of(topic, body.topics > 1) for topic in topics]})


async def answer_lines(request: Request) -> Response:
    """The answer to a body of JSON lines."""
    service = service_of(request)
    query = request.query_params
    try:
        topics = _TOPICS.validate_python(query.get("topics", "1"))
    except ValidationError as error:
        raise invalid(f"topics: {what_is_wrong(error.errors())}") from None
    work = service.work(query.get("model"), topics)
    return await rows_response(service, items_of_lines(service, request), work)
