"""Documents of all requests in, batches to the engine, their topics back to each request.

One thread owns the engine. While a batch runs, documents gather for the next one; while the engine is idle, the first
document waits a few milliseconds for others. Requests take turns, so that a long one does not hold up the short ones.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from topicgen.config import GenerationSettings
from topicgen.errors import UserError
from topicgen.generate import TopicGenerator
from topicgen.records import Document, Topic
from topicgen.serving.failures import RequestFailure, overloaded
from topicgen.serving.metrics import Metrics
from topicgen.serving.settings import ServerSettings
from topicgen.terminal import say

LONGEST_RETRY = 60  # seconds
FAILURES = 3  # batches in a row, after which the engine is called broken
_SMOOTHING = 0.2


@dataclass(frozen=True, slots=True)
class Work:
    """What documents must have in common to be computed together."""

    model: str
    generation: GenerationSettings


@dataclass(slots=True)
class _Waiting:
    document: Document
    topic: asyncio.Future[Topic]


class Ticket:
    """The documents of one request that wait for the engine; ``close`` frees their places."""

    def __init__(self, batcher: "Batcher", work: Work) -> None:
        self._batcher = batcher
        self.work = work
        self.waiting: deque[_Waiting] = deque()

    def submit(self, documents: Sequence[Document]) -> list[asyncio.Future[Topic]]:
        """Futures of the topics; raises RequestFailure (503) when so many documents have no place in the queue."""
        return self._batcher.enqueue(self, documents)

    def close(self) -> None:
        """Takes back what is not yet computed."""
        self._batcher.forget(self)


class Batcher:
    """The queue in front of the engines of all models."""

    def __init__(self, generators: Mapping[str, TopicGenerator], settings: ServerSettings, metrics: Metrics) -> None:
        self._generators = generators
        self._settings = settings
        self._metrics = metrics
        self._tickets: deque[Ticket] = deque()  # those with waiting documents, the next in turn first
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._rate = 10.0  # documents a second
        self._failures = 0
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="engine")

    @property
    def broken(self) -> bool:
        """Whether the last batches all failed."""
        return self._failures >= FAILURES

    async def topics(self, documents: Sequence[Document], work: Work) -> list[Topic]:
        """The topics of documents, in their order.

        Raises:
            RequestFailure: 503 when the queue has no room, 500 when the engine fails.
        """
        ticket = Ticket(self, work)
        try:
            return list(await asyncio.gather(*ticket.submit(documents)))
        finally:
            ticket.close()

    async def room(self) -> None:
        """Waits until the queue takes another document."""
        while self._waiting >= self._settings.queue_documents:
            self._taken.clear()
            await self._taken.wait()

    async def run(self) -> None:
        """Computes batches until it is cancelled."""
        while True:
            if not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
                await asyncio.sleep(self._settings.gather_seconds)
            if batch := self._next_batch():
                await self._compute(*batch)

    def close(self) -> None:
        """Ends the engine's thread after the batch that runs."""
        self._engine.shutdown(wait=False, cancel_futures=True)

    def enqueue(self, ticket: Ticket, documents: Sequence[Document]) -> list[asyncio.Future[Topic]]:
        """See ``Ticket.submit``."""
        if self._waiting + len(documents) > self._settings.queue_documents:
            seconds = min(LONGEST_RETRY, max(1, math.ceil(self._waiting / self._rate)))
            raise overloaded("the queue is full; try again later", seconds)
        if not ticket.waiting and documents:
            self._tickets.append(ticket)
        loop = asyncio.get_running_loop()
        entries = [_Waiting(document, loop.create_future()) for document in documents]
        ticket.waiting.extend(entries)
        self._count(len(entries))
        self._arrived.set()
        return [entry.topic for entry in entries]

    def forget(self, ticket: Ticket) -> None:
        """See ``Ticket.close``."""
        if ticket.waiting:
            self._tickets.remove(ticket)
            self._count(-len(ticket.waiting))
            ticket.waiting.clear()

    def _count(self, change: int) -> None:
        self._waiting += change
        self._metrics.waiting.set(self._waiting)
        if change < 0:
            self._taken.set()

    def _next_batch(self) -> tuple[Work, list[_Waiting]] | None:
        """Documents of the same work as those of the ticket whose turn it is, one of each ticket in turn."""
        if not self._tickets:
            return None
        work, size = self._tickets[0].work, self._settings.batch_documents
        alike = [ticket for ticket in self._tickets if ticket.work == work]
        batch: list[_Waiting] = []
        served: list[Ticket] = []
        while alike and len(batch) < size:
            served = alike[: size - len(batch)]
            batch += [ticket.waiting.popleft() for ticket in served]
            alike = [ticket for ticket in alike[len(served) :] + served if ticket.waiting]
        order = [*(ticket for ticket in self._tickets if ticket.work != work), *alike]
        self._tickets = deque(ticket for ticket in order if ticket.waiting)
        self._count(-len(batch))
        return work, batch

    async def _compute(self, work: Work, batch: list[_Waiting]) -> None:
        wanted = [entry for entry in batch if not entry.topic.done()]
        if not wanted:
            return
        began = time.monotonic()
        documents = [entry.document for entry in wanted]
        generate = self._generators[work.model].generate
        try:
            topics = await asyncio.get_running_loop().run_in_executor(
                self._engine, generate, documents, work.generation
            )
        except Exception as error:  # noqa: BLE001 - whatever an engine raises concerns these documents only
            await self._retry(work, wanted, error)
            return
        seconds = max(time.monotonic() - began, 1e-6)
        self._failures = 0
        self._rate += _SMOOTHING * (len(wanted) / seconds - self._rate)
        self._metrics.batches.observe(len(wanted))
        self._metrics.engine_seconds.inc(seconds)
        for entry, topic in zip(wanted, topics, strict=True):
            self._metrics.documents.labels(work.model, topic.status).inc()
            if not entry.topic.done():
                entry.topic.set_result(topic)

    async def _retry(self, work: Work, batch: list[_Waiting], error: Exception) -> None:
        """Computes the halves of a batch that failed, so that no document fails for another."""
        self._metrics.engine_failures.inc()
        if len(batch) > 1:
            half = len(batch) // 2
            await self._compute(work, batch[:half])
            await self._compute(work, batch[half:])
            return
        self._failures += 1
        say(f"a document failed: {error if isinstance(error, UserError) else f'{type(error).__name__}: {error}'}")
        if not batch[0].topic.done():
            failure = RequestFailure(500, "the model failed; the server's log says why", "engine_failed")
            batch[0].topic.set_exception(failure)
