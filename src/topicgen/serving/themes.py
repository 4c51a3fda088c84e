"""``POST /v1/themes``: a collection in, its themes and a map out."""

from typing import Any

from fastapi import APIRouter, Request

from topicgen.serving.bodies import StrictRoute
from topicgen.serving.failures import RequestFailure
from topicgen.serving.schemas import ThemesAnswer, ThemesRequest
from topicgen.serving.topics import FAILURES

router = APIRouter(route_class=StrictRoute)


@router.post("/v1/themes", response_model=ThemesAnswer, responses=FAILURES)
async def make_themes(body: ThemesRequest, request: Request) -> dict[str, Any]:
    """Groups documents into themes and sub-themes, names them, and lays them out on a map."""
    raise RequestFailure(501, "not yet", "not_yet")
