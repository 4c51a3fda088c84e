"""Rows as they are written, from within."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

from topicgen.serving.failures import RequestFailure
from topicgen.serving.streaming import Item, _submit


async def full_disk() -> AsyncIterator[Item]:
    raise OSError(28, "No space left on device")
    yield  # type: ignore[unreachable]


def test_a_body_that_cannot_be_kept_ends_the_answer() -> None:
    async def entries() -> list[Any]:
        ahead: asyncio.Queue[Any] = asyncio.Queue()
        await _submit(cast(Any, SimpleNamespace()), full_disk(), cast(Any, SimpleNamespace()), ahead)
        return [ahead.get_nowait() for _ in range(ahead.qsize())]

    failure, end = asyncio.run(entries())
    assert isinstance(failure, RequestFailure)
    assert failure.status_code == 500
    assert end is None
