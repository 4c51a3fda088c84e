"""What can be wrong with a request -> an answer in OpenAI's form of errors, without internals."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

LONGEST_MESSAGE = 500
_MARKS = ("body", "query", "str", "InputDocument")  # what pydantic names besides the fields
_TYPES = {401: "authentication_error", 403: "permission_error", 500: "server_error", 503: "overloaded_error"}


class RequestFailure(HTTPException):
    """A request that is not answered as its sender hoped: status, one line for people, a word for programs."""

    def __init__(self, status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code = code

    @property
    def body(self) -> dict[str, Any]:
        """What the answer says."""
        kind = _TYPES.get(self.status_code, "invalid_request_error")
        message = self.detail[:LONGEST_MESSAGE]
        return {"error": {"message": message, "type": kind, "param": None, "code": self.code}}

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.body, self.status_code, self.headers)


def invalid(message: str) -> RequestFailure:
    """A body or parameter that does not fit: 422."""
    return RequestFailure(422, message, "invalid_request")


def overloaded(message: str, seconds: int) -> RequestFailure:
    """A request that may be sent again later: 503."""
    return RequestFailure(503, message, "overloaded", {"Retry-After": str(seconds)})


def what_is_wrong(errors: Sequence[Any]) -> str:
    """One line about the first error of pydantic's list; of the branches of a union the one that went deepest."""
    deepest = max(errors, key=lambda error: len(error["loc"]))
    if deepest["type"] == "json_invalid":
        return f"the body is not JSON: {deepest.get('ctx', {}).get('error', 'it ends early')}"
    names = [str(part) for part in deepest["loc"] if part not in _MARKS]
    where = ".".join(name for name in names if "[" not in name)  # such as list[...], a branch of a union
    return f"{where or 'the body'}: {deepest['msg']}"


def install_failures(app: FastAPI) -> None:
    """Lets the app answer all failures in this form."""

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return invalid(what_is_wrong(error.errors())).response()

    async def failed(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if not isinstance(error, RequestFailure):
            error = RequestFailure(error.status_code, error.detail, "http_error", error.headers)
        return error.response()

    app.add_exception_handler(RequestValidationError, refused)
    app.add_exception_handler(HTTPException, failed)


def as_line(failure: RequestFailure, line: int) -> str:
    """The failure as a line among JSON lines."""
    return json.dumps(failure.body | {"line": line}, ensure_ascii=False)
