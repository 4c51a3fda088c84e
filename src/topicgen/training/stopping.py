"""SIGTERM and Ctrl-C in, the wish to end after the step that is under way out."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from topicgen.errors import TerminatedError


class StopSignal:
    """The first signal to stop that this process got; a second one ends it at once."""

    def __init__(self) -> None:
        self._number: int | None = None

    @property
    def came(self) -> bool:
        """Whether to stop."""
        return self._number is not None

    def end(self) -> NoReturn:
        """Ends as the signal would have.

        Raises:
            KeyboardInterrupt: After Ctrl-C.
            TerminatedError: After SIGTERM.
        """
        raise KeyboardInterrupt if self._number == signal.SIGINT else TerminatedError

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Notes signals while it lasts; outside the main thread the caller's handlers stay."""
        try:
            before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not the main thread
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        again, self._number = self.came, number
        if again:
            self.end()
