"""Collections wait here for the one thread that groups them, beside the thread of the engine."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from topicgen.serving.failures import overloaded

MOST = 4  # collections, the one in work included
RETRY = 10  # seconds
T = TypeVar("T")


class GroupingThread:
    """One thread with a short queue; what has begun is finished even if its client leaves."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="themes")
        self._jobs = 0

    async def run(self, work: Callable[[], T]) -> T:
        """The result of the work; raises RequestFailure (503) when too many collections wait."""
        if self._jobs >= MOST:
            raise overloaded("too many collections at once; try again later", RETRY)
        loop = asyncio.get_running_loop()
        job = self._thread.submit(work)
        self._jobs += 1

        def over(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(self._leave)

        job.add_done_callback(over)
        return await asyncio.wrap_future(job)

    def _leave(self) -> None:
        self._jobs -= 1

    def close(self) -> None:
        """Ends the thread after what it works on."""
        self._thread.shutdown(wait=False, cancel_futures=True)
