"""One generate call: inputs, model and output in, a written output and a summary out."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from topicgen.cache import cache_folder
from topicgen.config import GenerationSettings, OutputFormat, ReaderSettings, WriterSettings
from topicgen.engines.choice import choose_engine, describe_choice, is_large
from topicgen.errors import EXIT_INCOMPLETE, EXIT_OK, TerminatedError, UsageError
from topicgen.generate import TopicGenerator, window_ends
from topicgen.models import ModelFolder, find_model, find_served
from topicgen.outputs import output_path, refuse_input_as_output, same_file
from topicgen.progress import ProgressBar
from topicgen.quarantine import is_quarantine
from topicgen.reader import Problems, check_inputs, read_documents
from topicgen.records import Document
from topicgen.runs.fingerprint import Fingerprint, fingerprint, model_identity, topic_scope
from topicgen.runs.rows import Kept, skip_kept
from topicgen.runs.run import Run, alone, open_run
from topicgen.sources import find_sources
from topicgen.topic_cache import FILE_NAME, TopicCache
from topicgen.writer import Writer, open_writer, output_format


@dataclass(frozen=True)
class Done:
    """Documents by status, those of an earlier run among them, those found in the cache, and the time it took."""

    statuses: Counter[str]
    kept: int
    cached: int
    seconds: float


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
    cache: bool
    say: Callable[[str], None]
    warn: Callable[[str], None]
    verbose: bool
    progress: bool

    def run(self) -> int:
        """Checks inputs and output, loads the model, and writes the topics; returns the exit code."""
        fresh = not self.output and not self.quarantine
        problems = Problems(self._quarantine_path(), fresh=fresh)
        documents = read_documents(
            self.inputs,
            self.reader,
            problems,
            stdin=getattr(sys.stdin, "buffer", None),
            notify=self.say,
            skip=self._outputs(),
        )
        settings = self._writer_settings(self._format())
        refuse_input_as_output(self.output, self.inputs)
        if not fresh:
            self._check_quarantine()
        if self.output and "-" not in self.inputs and output_path(self.output)[1]:
            return self._write_run(self.output, documents, problems, settings)
        with alone(self.output, settings, force=self.force) as forget:
            with ExitStack() as stack:
                writer = stack.enter_context(open_writer(self.output, settings, force=self.force))
                generator, cache = self._load(self._find_model(), stack)
                if cache:
                    cache.freeze()
                forget()
                writer.write([])  # only now that all is loaded is an earlier output given up
                done = self._generate(generator, cache, documents, problems, writer)
            self._report(done)
        return EXIT_INCOMPLETE if problems.failed or done.statuses["failed"] else EXIT_OK

    def estimate(self) -> int:
        """Prints what ``run`` is expected to take on this machine, and writes nothing; returns the exit code."""
        from topicgen.estimate import estimate

        if "-" in self.inputs:
            raise UsageError("-: standard input cannot be sampled; give a file or a folder")
        sources = check_inputs(self.inputs, self.reader, notify=self.say, skip=self._outputs())
        settings = self._writer_settings(self._format())
        generator = TopicGenerator.load(self.model, **self.load_options)
        found = estimate(generator, sources, self.reader, self.generation, settings)
        sys.stdout.write("\n".join(found.lines()) + "\n")
        return EXIT_OK

    def _write_run(
        self, output: str, documents: Iterator[Document], problems: Problems, settings: WriterSettings
    ) -> int:
        """Begins or resumes the run that a file is, or finds it finished."""
        models: list[ModelFolder] = []

        def identify() -> Fingerprint:
            models.append(self._find_model())
            sources = find_sources(self.inputs, self.reader, self._outputs())
            return fingerprint(sources, self._identity(models[0]), self.reader, self.generation, settings)

        with ExitStack() as stack:
            opened = open_run(output, settings, identify, window_ends, force=self.force)
            run = stack.enter_context(opened)
            if run.standing == "finished":
                self.say(f"{output}: is finished, {_counted(run.record.documents)}; use --force to start anew")
                return EXIT_INCOMPLETE if run.record.failed else EXIT_OK
            if run.standing == "resumed":
                self.say(f"{output}: goes on after {_counted(run.kept.documents)} of an earlier run")
            generator, cache = self._load(models[0], stack)
            # A resumed run sees of the cache what it saw before, which is nothing where it had none.
            mark = (run.record.cache_mark or "") if run.standing == "resumed" else None
            if cache:
                mark = cache.freeze(mark)
            if run.standing == "new" and not self.quarantine:
                self._quarantine_path().unlink(missing_ok=True)  # that of an earlier run
            run.begin(self.model, str(self._quarantine_path()), generator.window(self.generation), mark)
            self.generation = replace(self.generation, window=run.record.window)
            try:
                done = self._generate(generator, cache, documents, problems, run, run.kept)
                run.finish(problems)
            except (KeyboardInterrupt, TerminatedError):
                self.say(f"{output}: the same command goes on after {_counted(run.statuses.total())}")
                raise
        self._report(done)
        return EXIT_INCOMPLETE if run.record.failed else EXIT_OK

    def _generate(
        self,
        generator: TopicGenerator,
        cache: TopicCache | None,
        documents: Iterator[Document],
        problems: Problems,
        output: Writer | Run,
        kept: Kept | None = None,
    ) -> Done:
        """Writes the topics of all documents but those that are kept."""
        kept = kept or Kept()
        statuses = Counter(kept.statuses)
        began = time.monotonic()
        shared = self.output is None and sys.stdout.isatty()
        try:
            with ProgressBar(self.progress, self._counter()) as bar:
                skip_kept(documents, kept, str(self.output))
                bar.advance(kept.documents)
                for topics in generator.windows(documents, self.generation, done=kept.documents, cache=cache):
                    with bar.aside() if shared else nullcontext():
                        output.write(topics)
                    statuses.update(topic.status for topic in topics)
                    bar.advance(len(topics))
        finally:
            problems.close()
            for line in problems.summary():
                self.warn(line)
        for reason, number in generator.engine.failures.items():
            self.warn(f"{_counted(number)} failed: {reason}")
        return Done(statuses, kept.documents, cache.found if cache else 0, time.monotonic() - began)

    def _load(self, model: ModelFolder, stack: ExitStack) -> tuple[TopicGenerator, TopicCache | None]:
        """Loads the model, and opens the cache of its topics until the stack is left."""
        generator = TopicGenerator.load(model, **self.load_options)
        generator.engine.require_beams(self.generation.topics)  # before an output is given up
        if self.verbose:
            self.say(f"model {generator.model.name}, engine {generator.engine.name}, {self.load_options}")
        if self.load_options["engine"] == "auto" and (self.verbose or is_large(model)):
            self.say(describe_choice(model, generator.engine))
        if not self.cache or self.generation.temperature > 0:  # a sampled topic is no fact about its text
            return generator, None
        scope = topic_scope(self._identity(model), self.generation)
        return generator, stack.enter_context(closing(TopicCache(cache_folder() / FILE_NAME, scope, self.warn)))

    def _identity(self, model: ModelFolder) -> dict[str, str]:
        engine = self.load_options["engine"]
        name = choose_engine(model, self.load_options["precision"]) if engine == "auto" else engine
        return model_identity(model.digest, name, self.load_options["precision"])

    def _outputs(self) -> list[Path]:
        return [*([Path(self.output)] if self.output else []), self._quarantine_path()]

    def _check_quarantine(self) -> None:
        """Raises UsageError when the quarantine file is something else."""
        path = str(self._quarantine_path())
        refuse_input_as_output(path, self.inputs, "--quarantine")
        if self.output and same_file(path, self.output):
            raise UsageError(f"{path}: is also the output; choose another --quarantine")
        if not is_quarantine(Path(path)):
            raise UsageError(f"{path}: exists already and is no quarantine file; choose another --quarantine")

    def _find_model(self) -> ModelFolder:
        return find_served(self.model) if self.load_options["engine"] == "openai" else find_model(self.model)

    def _format(self) -> OutputFormat:
        return output_format(self.output, self.output_format, sys.stdout.isatty())

    def _writer_settings(self, form: OutputFormat) -> WriterSettings:
        return WriterSettings(
            output_format=form,
            with_text=self.with_text,
            keep=self.reader.carried,
            several=self.generation.topics > 1,
            passages=self.generation.max_passages > 1,
            escape_formulas=self.escape_formulas,
        )

    def _quarantine_path(self) -> Path:
        if self.quarantine:
            return Path(self.quarantine)
        return Path(f"{self.output}.quarantine.jsonl") if self.output else Path("quarantine.jsonl")

    def _counter(self) -> Callable[[], int] | None:
        if "-" in self.inputs:
            return None
        return lambda: sum(1 for _ in read_documents(self.inputs, self.reader, Problems(None)))

    def _report(self, done: Done) -> None:
        total = done.statuses.total()
        rare = [f"{count} {status}" for status, count in sorted(done.statuses.items()) if status != "ok"]
        if self.output or self.verbose:
            now = total - done.kept
            where = f" to {self.output}" if self.output else ""
            earlier = f", {done.kept} of them by an earlier run" if done.kept else ""
            cached = [f"{done.cached} from the cache"] if done.cached else []
            speed = f" in {done.seconds:.1f} s ({now / max(done.seconds, 1e-9):.1f}/s)"
            topics = "1 topic" if total == 1 else f"{total} topics"
            self.say(", ".join([f"{topics} written{where}{earlier}{speed}", *cached, *rare]))
        elif rare:
            self.say(", ".join(rare))


def _counted(documents: int) -> str:
    return "1 document" if documents == 1 else f"{documents} documents"
