"""The queue in front of the engine: what runs together, in which order, and what is given back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from serving.servers import PATIENCE

from topicgen import GenerationSettings, Topic, TopicGenerator
from topicgen.records import Document
from topicgen.serving.batching import Batcher, Ticket, Work
from topicgen.serving.failures import RequestFailure
from topicgen.serving.metrics import Metrics
from topicgen.serving.settings import ServerSettings

ONE = Work("mini", GenerationSettings(max_topic_tokens=2, second_look=False))
TWO = Work("mini", GenerationSettings(max_topic_tokens=3, second_look=False))


class Watched:
    """The generator, which notes its batches, fails where it is told to, and can be held up by a gate."""

    def __init__(self, generator: TopicGenerator) -> None:
        self._generator = generator
        self.batches: list[list[str]] = []

    def generate(self, documents: Sequence[Document], settings: GenerationSettings) -> list[Topic]:
        self.batches.append([document.id for document in documents])
        if any("poison" in document.text for document in documents):
            raise RuntimeError("the engine chokes")
        return self._generator.generate(documents, settings)


def documents(name: str, count: int) -> list[Document]:
    return [Document(f"{name}{number}", f"{name} keeps {number} bees.") for number in range(count)]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), PATIENCE))


@asynccontextmanager
async def running(batcher: Batcher) -> AsyncIterator[None]:
    task = asyncio.ensure_future(batcher.run())
    try:
        yield
    finally:
        task.cancel()
        batcher.close()


def made(generator: TopicGenerator, **settings: Any) -> tuple[Batcher, Watched]:
    watched = Watched(generator)
    return Batcher({"mini": watched}, ServerSettings(**settings), Metrics()), watched  # type: ignore[dict-item]


def test_documents_of_several_requests_run_together(generator: TopicGenerator) -> None:
    async def test() -> None:
        batcher, watched = made(generator)
        requests = [asyncio.ensure_future(batcher.topics(documents(name, 2), ONE)) for name in "abc"]
        await asyncio.sleep(0)  # lets them all submit
        async with running(batcher):
            topics = await asyncio.gather(*requests)
        assert [[topic.id for topic in row] for row in topics] == [["a0", "a1"], ["b0", "b1"], ["c0", "c1"]]
        assert [sorted(batch) for batch in watched.batches] == [["a0", "a1", "b0", "b1", "c0", "c1"]]

    run(test)


def test_requests_take_turns_so_that_a_long_one_holds_up_nobody(generator: TopicGenerator) -> None:
    async def test() -> None:
        batcher, watched = made(generator, batch_documents=4)
        requests = [asyncio.ensure_future(batcher.topics(documents(n, c), ONE)) for n, c in (("long", 9), ("s", 1))]
        await asyncio.sleep(0)
        async with running(batcher):
            await asyncio.gather(*requests)
        assert [sorted(batch) for batch in watched.batches] == [
            ["long0", "long1", "long2", "s0"],
            ["long3", "long4", "long5", "long6"],
            ["long7", "long8"],
        ]

    run(test)


def test_documents_of_other_settings_run_apart_and_in_turn(generator: TopicGenerator) -> None:
    async def test() -> None:
        batcher, watched = made(generator, batch_documents=2)
        asks = [("a", 4, ONE), ("b", 2, TWO)]
        requests = [asyncio.ensure_future(batcher.topics(documents(n, c), work)) for n, c, work in asks]
        await asyncio.sleep(0)
        async with running(batcher):
            await asyncio.gather(*requests)
        assert watched.batches == [["a0", "a1"], ["b0", "b1"], ["a2", "a3"]]

    run(test)


def test_a_full_queue_refuses_and_has_room_again_after_a_cancelled_request(generator: TopicGenerator) -> None:
    async def test() -> None:
        batcher, watched = made(generator, queue_documents=4, max_documents=4)
        waiting = asyncio.ensure_future(batcher.topics(documents("a", 3), ONE))
        await asyncio.sleep(0)
        with pytest.raises(RequestFailure) as raised:
            await batcher.topics(documents("b", 2), ONE)
        assert raised.value.status_code == 503
        assert raised.value.headers == {"Retry-After": "1"}
        waiting.cancel()
        await asyncio.wait([waiting])
        async with running(batcher):
            assert len(await batcher.topics(documents("b", 4), ONE)) == 4
        assert [sorted(batch) for batch in watched.batches] == [["b0", "b1", "b2", "b3"]]

    run(test)


def test_room_is_waited_for(generator: TopicGenerator) -> None:
    async def test() -> None:
        batcher, _ = made(generator, queue_documents=2, max_documents=2)
        ticket = Ticket(batcher, ONE)
        ticket.submit(documents("a", 2))
        room = asyncio.ensure_future(batcher.room())
        await asyncio.sleep(0)
        assert not room.done()
        async with running(batcher):
            await room

    run(test)


def test_a_document_that_the_engine_cannot_do_fails_alone(
    generator: TopicGenerator, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test() -> None:
        batcher, _ = made(generator)
        good = asyncio.ensure_future(batcher.topics(documents("a", 5), ONE))
        bad = asyncio.ensure_future(batcher.topics([Document("x", "poison")], ONE))
        await asyncio.sleep(0)
        async with running(batcher):
            assert len(await good) == 5
            with pytest.raises(RequestFailure) as raised:
                await bad
        assert (raised.value.status_code, "chokes" in raised.value.detail) == (500, False)
        assert not batcher.broken

    run(test)
    assert "topicgen: a document failed: RuntimeError: the engine chokes\n" in capsys.readouterr().err


def test_an_engine_that_only_fails_is_called_broken_until_it_works(generator: TopicGenerator) -> None:
    async def test() -> None:
        batcher, _ = made(generator)
        async with running(batcher):
            for _ in range(3):
                with pytest.raises(RequestFailure):
                    await batcher.topics([Document("x", "poison")], ONE)
            assert batcher.broken
            await batcher.topics(documents("a", 1), ONE)
            assert not batcher.broken

    run(test)
