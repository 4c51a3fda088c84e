"""Whether the server is well, which models it has, and what it counted."""

from typing import Any

from fastapi import APIRouter, Request, Response

from topicgen.serving.failures import overloaded
from topicgen.serving.metrics import CONTENT_TYPE
from topicgen.serving.schemas import ErrorAnswer, ModelList, State
from topicgen.serving.service import service_of

router = APIRouter()
_REFUSED: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorAnswer, "description": "no token"},
    403: {"model": ErrorAnswer, "description": "foreign Host or Origin"},
    503: {"model": ErrorAnswer, "description": "not ready"},
}


@router.get("/healthz", response_model=State, responses=_REFUSED)
async def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_model=State, responses=_REFUSED)
async def readyz(request: Request) -> dict[str, str]:
    """The server takes requests: it does not stop, and the engine works."""
    if service_of(request).batcher.broken:
        raise overloaded("the engine failed several times in a row; the server's log says why", 30)
    return {"status": "ok"}


@router.get("/v1/models", response_model=ModelList, responses=_REFUSED)
async def models(request: Request) -> dict[str, Any]:
    """The models that are served, in OpenAI's form."""
    service = service_of(request)
    cards = [
        {"id": name, "object": "model", "created": service.created, "owned_by": "topicgen"}
        for name in service.generators
    ]
    return {"object": "list", "data": cards}


@router.get(
    "/metrics",
    response_class=Response,
    responses=_REFUSED | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Counters in Prometheus' format."""
    return Response(service_of(request).metrics.text(), media_type=CONTENT_TYPE)
