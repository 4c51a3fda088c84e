"""One generate call: inputs, model and output in, a written output and a summary out."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from topicgen.config import GenerationSettings, ReaderSettings, WriterSettings
from topicgen.errors import EXIT_INCOMPLETE, EXIT_OK
from topicgen.generate import TopicGenerator, describe_choice, is_large
from topicgen.progress import ProgressBar
from topicgen.reader import Problems, read_documents
from topicgen.writer import open_writer, output_format


@dataclass
class GenerateJob:
    """What ``topicgen generate`` was asked to do."""

    inputs: Sequence[str]
    reader: ReaderSettings
    generation: GenerationSettings
    output: str | None
    output_format: str | None
    with_text: bool
    escape_formulas: bool
    quarantine: str | None
    force: bool
    model: str
    load_options: dict[str, Any]
    say: Callable[[str], None]
    warn: Callable[[str], None]
    verbose: bool
    progress: bool
    _statuses: Counter[str] = field(default_factory=Counter)

    def run(self) -> int:
        """Checks inputs and output, loads the model, and writes the topics; returns the exit code."""
        problems = Problems(self._quarantine_path())
        written = [Path(self.output)] if self.output else []
        documents = read_documents(
            self.inputs, self.reader, problems, stdin=getattr(sys.stdin, "buffer", None), notify=self.say, skip=written
        )
        form = output_format(self.output, self.output_format, sys.stdout.isatty())
        settings = WriterSettings(
            output_format=form,
            with_text=self.with_text,
            keep=self.reader.carried,
            several=self.generation.topics > 1,
            escape_formulas=self.escape_formulas,
        )
        try:
            with open_writer(self.output, settings, force=self.force, inputs=self.inputs) as writer:
                generator = TopicGenerator.load(self.model, **self.load_options)
                writer.write([])  # only now that all is loaded is an earlier output given up
                if self.verbose:
                    self.say(f"model {generator.model.name}, engine {generator.engine.name}, {self.load_options}")
                if self.load_options["engine"] == "auto" and (self.verbose or is_large(generator.model)):
                    self.say(describe_choice(generator.model, generator.engine))
                began = time.monotonic()
                with ProgressBar(self.progress, self._counter()) as bar:
                    shared = self.output is None and sys.stdout.isatty()
                    for topics in generator.windows(documents, self.generation):
                        if shared:
                            with bar.aside():
                                writer.write(topics)
                        else:
                            writer.write(topics)
                        self._statuses.update(topic.status for topic in topics)
                        bar.advance(len(topics))
                seconds = time.monotonic() - began
        finally:
            problems.close()
            for line in problems.summary():
                self.warn(line)
        for reason, number in generator.engine.failures.items():
            self.warn(f"{number} {'document' if number == 1 else 'documents'} failed: {reason}")
        self._report(seconds)
        return EXIT_INCOMPLETE if problems.failed or self._statuses["failed"] else EXIT_OK

    def _quarantine_path(self) -> Path:
        if self.quarantine:
            return Path(self.quarantine)
        return Path(f"{self.output}.quarantine.jsonl") if self.output else _free_name("quarantine")

    def _counter(self) -> Callable[[], int] | None:
        if "-" in self.inputs:
            return None
        return lambda: sum(1 for _ in read_documents(self.inputs, self.reader, Problems(None)))

    def _report(self, seconds: float) -> None:
        total = self._statuses.total()
        rare = [f"{count} {status}" for status, count in sorted(self._statuses.items()) if status != "ok"]
        where = f" to {self.output}" if self.output else ""
        if self.output or self.verbose:
            speed = f" in {seconds:.1f} s ({total / max(seconds, 1e-9):.1f}/s)"
            self.say(
                f"{total} {'topic' if total == 1 else 'topics'} written{where}{speed}{''.join(f', {r}' for r in rare)}"
            )
        elif rare:
            self.say(", ".join(rare))


def _free_name(stem: str) -> Path:
    """``stem.jsonl`` here, or the first ``stem-2.jsonl``, ... that is not there: no run loses rows."""
    names = (Path(f"{stem}{f'-{number}' if number > 1 else ''}.jsonl") for number in count(1))
    return next(path for path in names if not path.exists())
