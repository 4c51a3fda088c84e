"""One ``topicgen evaluate`` call: a labelled table and systems in, tables, files and a summary out."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from topicgen.baselines import BASELINES
from topicgen.config import EvaluationSettings, GenerationSettings, ReaderSettings
from topicgen.embed import Embedder
from topicgen.errors import UsageError, UserError
from topicgen.evaluation.comparison import compare
from topicgen.evaluation.examples import Labelled, LabelledColumns, read_labelled, read_predictions
from topicgen.evaluation.output import prepare_folder, print_table, write_folder
from topicgen.evaluation.systems import System, failures, reference_systems, run_model
from topicgen.extras import require
from topicgen.generate import TopicGenerator
from topicgen.named_embedders import load_embedder
from topicgen.reader import Problems
from topicgen.records import Example

_LIBRARIES = ("nltk.stem.porter", "rapidfuzz.distance", "sacrebleu.metrics", "jinja2")

Say = Callable[[str], None]


@dataclass
class EvaluateJob:
    """What ``topicgen evaluate`` was asked to do."""

    labelled: str
    columns: LabelledColumns = field(default_factory=LabelledColumns)
    reading: ReaderSettings = field(default_factory=ReaderSettings)
    models: Sequence[str] = ()
    predictions: Sequence[str] = ()
    predictions_column: str | None = None
    baselines: bool = False
    training: str | None = None
    embedder: str | None = None
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    output: str | None = None
    force: bool = False
    load_options: dict[str, Any] = field(default_factory=dict)
    generation: GenerationSettings = field(default_factory=lambda: GenerationSettings(deterministic=True))
    say: Say = lambda _: None
    warn: Say = lambda _: None
    problems: Problems = field(default_factory=Problems)

    def run(self) -> bool:
        """Scores all systems; returns whether every document could be scored."""
        for module in _LIBRARIES:  # a missing one ends the call before a model runs
            require(module, "evaluate")
        folder = prepare_folder(self.output, self.force) if self.output else None
        labelled, found, baselines = self._read()
        embedder = self._embedder(labelled)  # a wrong name ends the call before a model runs
        systems = [*self._run_models(labelled), *found, *baselines]
        comparison = compare(
            systems, labelled.examples, data=Path(self.labelled).name, embedder=embedder, settings=self.settings
        )
        if folder:
            write_folder(folder, comparison, systems, labelled.examples)
            self.say(f"written to {self.output}: metrics.json, predictions.parquet, evaluation.html")
        whole = self.report(labelled, systems)
        print_table(comparison.summary, sys.stdout)
        return whole

    def systems(self) -> tuple[Labelled, list[System]]:
        """Reads the tables, and only then runs the models; gives the topics of all systems, those to compare first.

        Raises:
            UserError: When nothing is to be evaluated, two systems have one name, or a table cannot be read.
        """
        labelled, found, baselines = self._read()
        return labelled, [*self._run_models(labelled), *found, *baselines]

    def _run_models(self, labelled: Labelled) -> list[System]:
        generation = replace(self.generation, seed=self.settings.seed)
        loaded = [(name, TopicGenerator.load(name, **self.load_options)) for name in self.models]
        return [run_model(n, g, labelled.examples, generation, self.settings.stability) for n, g in loaded]

    def _read(self) -> tuple[Labelled, list[System], list[System]]:
        """As ``_read_tables``; what was left out before an error is told too."""
        try:
            return self._read_tables()
        except UserError:
            for line in self.problems.summary():
                self.warn(line)
            raise

    def _read_tables(self) -> tuple[Labelled, list[System], list[System]]:
        """The labelled table, the systems of files and columns, and those without a model and without a file."""
        labelled = read_labelled(self.labelled, self.columns, self.problems, self.say, self.reading)
        examples = labelled.examples
        named = [*self.models, *map(_name_of, self.predictions), *labelled.predictions]
        _require_distinct(named)
        if not named and not self.baselines and len(labelled.reference_columns) < 2:
            raise UsageError("nothing to evaluate: name a --model, --predictions, a --system-column or --baselines")
        found = []
        for path in self.predictions:
            column, reading = self.predictions_column, self.reading
            topics = read_predictions(path, column, examples, self.problems, self.say, reading)
            found.append(System(_name_of(path), "predictions", topics, failures(topics, examples)))
        for name, topics in labelled.predictions.items():
            found.append(System(name, "column", topics, failures(topics, examples)))
        baselines = self.baseline_systems(examples) if self.baselines else []
        baselines += reference_systems(labelled.reference_columns, examples)
        _require_distinct([*self.models, *(system.name for system in found + baselines)])
        return labelled, found, baselines

    def baseline_systems(self, examples: Sequence[Example]) -> list[System]:
        """The baselines that the examples allow; those that learn take the training table, or leave one row out."""
        training = None
        if self.training:
            columns = LabelledColumns(text=self.columns.text, references=self.columns.references)
            training = read_labelled(self.training, columns, self.problems, self.say, self.reading).examples
            if not any(example.references for example in training):
                raise UserError(f"{self.training}: no reference topics to learn from; name them with --topic-column")
        found = []
        learned = any(example.references for example in training or examples)
        for name, baseline in BASELINES.items():
            if name in ("constant", "nearest topic") and not learned:
                continue
            topics = baseline(examples, training)
            if name == "title":  # scored where there is one, rather than as empty elsewhere
                own = [e.references if e.title else () for e in examples]
                found += [System(name, "baseline", topics, references=own)] if any(topics) else []
            else:
                found.append(System(name, "baseline", topics, failures(topics, examples)))
        return found

    def _embedder(self, labelled: Labelled) -> Embedder | None:
        wanted = self.embedder != "none" and any(example.references for example in labelled.examples)
        return load_embedder(self.embedder) if wanted else None

    def report(self, labelled: Labelled, systems: Sequence[System]) -> bool:
        """Says what could not be scored; returns whether there is nothing to say."""
        whole = not self.problems.failed
        if not labelled.reference_columns:
            self.warn(f"{self.labelled}: no reference topics (--topic-column); only what needs none was measured")
        elif labelled.without_reference:
            self.warn(f"{labelled.without_reference} rows without a reference topic do not count in its scores")
            whole = False
        for system in systems:
            if system.failed and system.kind not in ("baseline", "references"):
                self.warn(f"{system.name}: no topic for {system.failed} documents, scored as empty")
                whole = False
            for name, share in system.stability.items():
                if name != "documents" and share < 1:
                    self.warn(f"{system.name}: {1 - share:.1%} of the topics change ({name})")
        for line in self.problems.summary():
            self.warn(line)
        return whole


def _require_distinct(names: Sequence[str]) -> None:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"two systems are called {repeated[0]!r}; rename one, or name it once")


def _name_of(path: str) -> str:
    """The file's name without suffixes, as text that any output can hold."""
    name = Path(Path(path).name.removesuffix(".gz")).stem or path
    return " ".join(name.encode("utf-8", "replace").decode().split())
