"""OpenAI's ``POST /v1/chat/completions``: the user's last message is the document, its topic the answer."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from topicgen.records import Document
from topicgen.serving.bodies import StrictRoute
from topicgen.serving.failures import invalid
from topicgen.serving.schemas import ChatRequest
from topicgen.serving.service import Service, service_of
from topicgen.serving.streaming import RowsResponse
from topicgen.serving.topics import FAILURES

router = APIRouter(route_class=StrictRoute)


@router.post("/v1/chat/completions", responses=FAILURES)
async def complete(body: ChatRequest, request: Request) -> Response:
    """Answers with the topic of the last message of the user; with `n`, as many distinct topics as were found."""
    service = service_of(request)
    work = service.work(body.model, body.n or 1)
    document = service.document(document_of(body), 1)
    [topic] = await service.batcher.topics([document], work)
    answers = [ranked.topic for ranked in topic.topics] or [topic.topic]
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": work.model}
    usage = await asyncio.to_thread(usage_of, service, work.model, document, answers)
    if body.stream:
        with_usage = bool(body.stream_options and body.stream_options.include_usage)
        return RowsResponse(_chunks(head, answers, usage if with_usage else None), media_type="text/event-stream")
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": answer, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
        for index, answer in enumerate(answers)
    ]
    return JSONResponse({**head, "object": "chat.completion", "choices": choices, "usage": usage})


def document_of(body: ChatRequest) -> str:
    """The text of the last message of the user; raises RequestFailure (422) when there is none."""
    message = next((message for message in reversed(body.messages) if message.role == "user"), None)
    if message is None or message.content is None:
        raise invalid("messages: there is no message of the user, which is the document")
    if isinstance(message.content, str):
        return message.content
    if any(part.type != "text" or part.text is None for part in message.content):
        raise invalid("messages: the message of the user has parts that are not text")
    return "\n".join(part.text or "" for part in message.content)


def usage_of(service: Service, model: str, document: Document, answers: Sequence[str]) -> dict[str, int]:
    """Tokens of the document and of the topics; those of the prompt around the document are not counted."""
    tokenizer = service.generators[model].model.tokenizer
    asked, *written = (len(tokenizer.encode(text, add_special_tokens=False)) for text in (document.text, *answers))
    return {"prompt_tokens": asked, "completion_tokens": sum(written), "total_tokens": asked + sum(written)}


async def _chunks(head: dict[str, Any], answers: Sequence[str], usage: dict[str, int] | None) -> AsyncIterator[bytes]:
    def event(choices: Sequence[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**head, "object": "chat.completion.chunk", "choices": choices, **more}
        return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()

    for index, answer in enumerate(answers):
        yield event([{"index": index, "delta": {"role": "assistant", "content": answer}, "finish_reason": None}])
        yield event([{"index": index, "delta": {}, "finish_reason": "stop"}])
    if usage:
        yield event([], usage=usage)
    yield b"data: [DONE]\n\n"
