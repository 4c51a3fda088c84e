"""Bytes of a body -> strict JSON: no NaN, no nesting without end, no internals in what is said about it."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute

from topicgen.serving.failures import RequestFailure, invalid


def parse_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8; raises RequestFailure (422) for anything else."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError:
        raise invalid("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise invalid(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise invalid("the body is nested too deep") from None
    except ValueError as error:  # a constant, or a number of thousands of digits
        raise invalid(f"the body is not JSON: {str(error).split(';')[0]}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


class StrictRequest(Request):
    """A request whose JSON is parsed as above."""

    async def json(self) -> Any:
        return parse_json(await self.body())


class StrictRoute(APIRoute):
    """A route whose handler gets a StrictRequest, of JSON only (415)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                raise RequestFailure(415, "send JSON, with Content-Type: application/json", "not_json")
            return await handler(StrictRequest(request.scope, request.receive))

        return strict
