"""One ``topicgen themes`` call: run files in, a themes folder and a table of themes out."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from topicgen.config import ReaderSettings
from topicgen.embed import Embedder
from topicgen.engines.choice import is_large
from topicgen.errors import UsageError, UserError
from topicgen.extras import require
from topicgen.generate import TopicGenerator
from topicgen.models import find_model
from topicgen.named_embedders import load_embedder
from topicgen.outputs import standard_output
from topicgen.reader import Problems
from topicgen.staging import locked, staged
from topicgen.terminal import harmless
from topicgen.themes.births import Namer
from topicgen.themes.collection import Collection, CollectionColumns, read_collection
from topicgen.themes.files import FILES, theme_rows, write_files
from topicgen.themes.founding import found_themes, namer
from topicgen.themes.grouping import group
from topicgen.themes.page import counted
from topicgen.themes.registry import Registry
from topicgen.themes.space import Space
from topicgen.themes.state import REGISTRY
from topicgen.themes.updates import Growth, add_documents

Say = Callable[[str], None]


@dataclass
class ThemesJob:
    """What ``topicgen themes`` was asked to do."""

    inputs: Sequence[str]
    output: str | None = None
    registry: str | None = None
    columns: CollectionColumns = field(default_factory=CollectionColumns)
    reading: ReaderSettings = field(default_factory=ReaderSettings)
    themes: int | None = None
    granularity: float | None = None
    model: str | None = "mini"
    embedder: str | None = None
    with_text: bool = True
    report: bool = True
    force: bool = False
    say: Say = lambda _: None
    warn: Say = lambda _: None
    problems: Problems = field(default_factory=Problems)

    def run(self) -> bool:
        """Makes or updates the folder; returns whether every row with a text could be used."""
        self._check()
        target = Path(self.output or self.registry or "")
        with locked(target) as folder:
            self._refuse_existing(folder)
            earlier = Registry.load(self.registry) if self.registry else None
            with staged(folder, FILES) as (staging, commit):
                embedder = load_embedder(self.embedder) if self.embedder else None
                collection = self._read()
                name = self._namer()
                if earlier is None:
                    registry, growth = self._create(collection, embedder, name), None
                else:
                    registry = earlier
                    growth = add_documents(
                        earlier, collection.members, fit=Space.fit, group=group, name=name, inputs=self.inputs
                    )
                if growth is None or growth.added or self.output:
                    self._forget_texts(registry)
                    write_files(staging, registry)
                    if self.report:
                        write_page(staging)
                    commit()
        self._tell(registry, growth, target)
        print_themes(registry)
        return not (self.problems.failed or collection.failed)

    def _check(self) -> None:
        if not self.output and not self.registry:
            raise UsageError("name the folder to write with -o, or --registry with a themes folder to add to")
        if self.registry and (self.themes is not None or self.granularity is not None or self.embedder):
            raise UsageError("--themes, --granularity and --embedder are for new themes, not with --registry")
        if self.themes is not None and self.granularity is not None:
            raise UsageError("--themes and --granularity exclude each other")
        if self.themes is not None and self.themes < 1:
            raise UsageError(f"--themes must be at least 1, not {self.themes}")
        if self.granularity is not None and not 0 <= self.granularity <= 1:
            raise UsageError(f"--granularity must be between 0 and 1, not {self.granularity}")
        needed = ["sklearn", "scipy.sparse", *(["jinja2"] if self.report else [])]
        for module in needed:  # a missing one ends the call before anything is read
            require(module, "themes")

    def _refuse_existing(self, folder: Path) -> None:
        """Raises UserError when the output has content that this call was not told to replace."""
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{self.output or self.registry}: is a file; name a folder")
        updating = self.registry and Path(self.registry).resolve() == folder
        if not updating and not self.force and folder.exists() and any(folder.iterdir()):
            what = "holds themes already" if (folder / REGISTRY).exists() else "is not empty"
            hint = "use --force to replace them, --registry to add to them, or another folder"
            raise UserError(f"{self.output}: {what}; {hint}")

    def _read(self) -> Collection:
        try:
            collection = read_collection(self.inputs, self.columns, self.problems, self.say, self.reading)
        finally:
            for line in self.problems.summary():
                self.warn(line)
        for line in collection.summary():
            self.warn(line)
        if not collection.members and not self.registry:
            raise UserError(f"{', '.join(self.inputs)}: no row with a topic; nothing to group")
        return collection

    def _namer(self) -> Namer:
        if self.model is None:
            return namer(None)
        model = find_model(self.model)
        if is_large(model):
            return namer(TopicGenerator.load(model).generate)
        # Names are few: exact arithmetic costs little, and finds the same ones on every processor.
        return namer(TopicGenerator.load(model, engine="ct2", precision="float32").generate)

    def _create(self, collection: Collection, embedder: Embedder | None, name: Namer) -> Registry:
        return found_themes(
            collection.members,
            name,
            themes=self.themes,
            granularity=self.granularity,
            embedder=embedder,
            settings={"model": self.model, "embedder": self.embedder, "text": self.with_text},
            inputs=self.inputs,
        )

    def _forget_texts(self, registry: Registry) -> None:
        """Leaves the texts of this call's documents out, if that was asked for."""
        if not (self.with_text and registry.settings.get("text", True)):  # once without, always without
            registry.documents = [
                replace(row, member=replace(row.member, text="")) if row.update == registry.number else row
                for row in registry.documents
            ]

    def _tell(self, registry: Registry, growth: Growth | None, target: Path) -> None:
        if growth is None:
            themes, subthemes = len(registry.active(1)), len(registry.active(2))
            groups = f"{counted(themes, 'theme')} and {counted(subthemes, 'sub-theme')}"
            self.say(f"{counted(len(registry.documents), 'document')} in {groups}, written to {target}")
            return
        known = f", {growth.known:,} known already" if growth.known else ""
        self.say(f"{growth.added:,} documents added{known}; {growth.loose:,} near no theme, in the nearest one")
        for theme in growth.born:
            self.say(f"new theme {theme.id}: {theme.name} ({counted(theme.size, 'document')})")


def write_page(folder: Path) -> None:
    """Writes report.html into a folder."""
    from topicgen.themes.report import write_report

    write_report(folder)


def print_themes(registry: Registry) -> None:
    """The themes on standard output: a table on a terminal, else JSON lines with the sub-themes."""
    terminal = sys.stdout.isatty()
    output = standard_output(sys.stdout, "replace" if terminal else "backslashreplace")
    rows = theme_rows(registry)
    if terminal:
        output.write(_table([row for row in rows if row["level"] == 1], registry.number))
    else:
        output.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    output.flush()


def _table(rows: Sequence[dict[str, Any]], number: int) -> str:
    import io

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("Id", no_wrap=True)
    table.add_column("Theme", overflow="fold")
    table.add_column("Documents", justify="right")
    table.add_column("Share", justify="right")
    for row in rows:
        new = " (new)" if row["born"] == number > 1 else ""
        size, share = f"{row['size']:,}", f"{100 * row['share']:.1f} %"
        table.add_row(Text(row["id"]), Text(harmless(row["name"]) + new), Text(size), Text(share))
    page = io.StringIO()  # Rich ends the process when the pipe is closed, so it does not write itself
    Console(file=page, width=None, highlight=False, force_terminal=True).print(table)
    return page.getvalue()
