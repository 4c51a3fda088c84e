"""A progress bar on stderr with documents a second and time left; nothing where stderr is no terminal."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class ProgressBar:
    """Counts documents.

    Args:
        visible: Whether to draw anything.
        count: Counts all documents of the input, if that is possible; runs beside the work, in a thread.
    """

    def __init__(self, visible: bool, count: Callable[[], int] | None = None) -> None:
        self._bar: RichProgress | None = None
        self._count = count
        if visible:
            self._bar = _rich_bar()
            self._task = self._bar.add_task("documents", total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            if self._count is not None:
                threading.Thread(target=self._find_total, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _find_total(self) -> None:
        # What cannot be counted is reported when it is read; the bar then shows no time left.
        with suppress(Exception):
            if self._count is not None and self._bar is not None:
                self._bar.update(self._task, total=self._count())

    def advance(self, documents: int) -> None:
        """So many documents more are done."""
        if self._bar is not None:
            self._bar.advance(self._task, documents)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Takes the bar off the terminal while something else is written to it."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()


def _rich_bar() -> "RichProgress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: object) -> Text:
            speed = getattr(task, "finished_speed", None) or getattr(task, "speed", None)
            return Text(f"{speed:.1f}/s" if speed else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=60,
    )
