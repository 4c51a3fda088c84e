"""A comparison in, a table on the terminal and the files of an evaluation folder out."""

import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from topicgen.errors import UserError
from topicgen.evaluation.comparison import Comparison
from topicgen.evaluation.page import render_page
from topicgen.evaluation.systems import System
from topicgen.outputs import open_file
from topicgen.records import Example

FILES = ("metrics.json", "predictions.parquet", "evaluation.html")
WIDTH, MIN_WIDTH = 140, 80  # characters
SHOWN_NARROW = ("rouge1", "rougeL", "exact", "supported")
SHOWN = ("rouge1", "rouge2", "rougeL", "rouge1_stem", "bleu", "exact", "embedding", "supported")


def cell(value: Mapping[str, float] | None, unit: str) -> str:
    """A score with its interval, as tables show it."""
    if value is None:
        return "-"
    scale = 100 if unit == "percent" else 1
    digits = 2 if unit == "ratio" else 1
    mean, low, high = (f"{scale * value[key]:.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def markdown_table(summary: Mapping[str, Any], metrics: Sequence[str] = SHOWN) -> str:
    """The scores of all systems as a Markdown table: shares in percent, value [interval]."""
    known = [name for name in metrics if name in summary["metrics"]]
    labels = [summary["metrics"][name]["label"] for name in known]
    lines = ["| system | " + " | ".join(labels) + " |", "|---|" + "---|" * len(known)]
    for system in summary["systems"]:
        cells = [cell(system["scores"].get(name), summary["metrics"][name]["unit"]) for name in known]
        lines.append(f"| {system['name'].replace('|', chr(92) + '|')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def print_table(summary: Mapping[str, Any], stream: IO[str]) -> None:
    """The scores and the differences, for people: values in percent, one line for each system."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = stream.isatty()
    width = max(MIN_WIDTH, shutil.get_terminal_size().columns) if terminal else WIDTH
    known = [name for name in (SHOWN if width >= WIDTH else SHOWN_NARROW) if name in summary["metrics"]]
    table = Table(box=None, pad_edge=False)
    table.add_column("system", overflow="fold", min_width=12)
    for name in known:
        table.add_column(summary["metrics"][name]["label"], justify="right")
    for system in summary["systems"]:
        cells = [cell(system["scores"].get(name), summary["metrics"][name]["unit"]) for name in known]
        table.add_row(Text(system["name"]), *(text.replace(" ", "\n", 1) for text in cells))
    resampling = summary["bootstrap"]
    # Printed at once and not by the console, which would end the process where the reader has left.
    page = io.StringIO()
    console = Console(file=page, width=width, highlight=False, force_terminal=terminal)
    console.print(table)
    kind = (
        f"{resampling['level']:.0%} bootstrap intervals of {resampling['samples']} samples, seed {resampling['seed']}"
    )
    console.print(f"\n{summary['documents']} documents; percent; {kind}")
    for line in difference_lines(summary, "rouge1"):
        console.print(Text(line))
    stream.write(page.getvalue())


def difference_lines(summary: Mapping[str, Any], metric: str) -> list[str]:
    """One sentence for each paired comparison of a metric."""
    lines = []
    for pair in summary["paired"]:
        if pair["metric"] == metric:
            shown = "" if pair["low"] > 0 or pair["high"] < 0 else "; no difference shown"
            sure = "too few documents to tell" if pair["p"] is None else f"p {pair['p']:.3f}"
            label = summary["metrics"][metric]["label"]
            low, mean, high = (f"{100 * pair[key]:+.1f}" for key in ("low", "difference", "high"))
            lines.append(
                f"{pair['a']} - {pair['b']}: {mean} {label} [{low}, {high}], {sure}, "
                f"{pair['documents']} documents{shown}"
            )
    return lines


def prepare_folder(output: str, force: bool, names: Sequence[str] = FILES) -> Path:
    """The output folder, made; raises UserError when it cannot be, or holds such files and ``force`` is off."""
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made: {error.strerror}") from None
    there = [name for name in names if (folder / name).exists()]
    if there and not force:
        raise UserError(f"{folder / there[0]}: exists already; use --force to replace it, or another folder")
    return folder


def write_folder(folder: Path, comparison: Comparison, systems: Sequence[System], examples: Sequence[Example]) -> None:
    """Writes metrics.json, predictions.parquet and evaluation.html, each whole or not at all."""
    documents = [
        {"id": e.id, "text": e.text, "references": list(e.references), "category": e.category} for e in examples
    ]
    answers = {
        system.name: {
            "topics": list(system.topics),
            "scores": {name: values.tolist() for name, values in comparison.per_document[system.name].items()},
        }
        for system in systems
    }
    write_json(folder / "metrics.json", comparison.summary)
    _write_predictions(folder / "predictions.parquet", comparison, systems, examples)
    write_text(folder / "evaluation.html", render_page(comparison.summary, documents, answers))


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that is never seen half written; an earlier one is replaced."""
    output = open_file(str(path), in_place=False, binary=True, force=True)
    done = False
    try:
        output.start()
        with output.guard():
            yield output.stream
        done = True
    finally:
        output.close(keep=done)


def write_text(path: Path, content: str) -> None:
    """Writes a whole file, or none."""
    with _whole(path) as stream:
        stream.write(content.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a whole JSON file, or none."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _write_predictions(
    path: Path, comparison: Comparison, systems: Sequence[System], examples: Sequence[Example]
) -> None:
    """One row for each document and system: id, text, references, category, system, topic, and each score."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(comparison.summary["metrics"])
    parts = []
    for system in systems:
        scores = comparison.per_document[system.name]
        empty = [None] * len(examples)
        columns: dict[str, Any] = {
            "id": [e.id for e in examples],
            "system": [system.name] * len(examples),
            "topic": list(system.topics),
            "references": pa.array([list(e.references) for e in examples], pa.list_(pa.string())),
            "category": pa.array([e.category for e in examples], pa.string()),
            "text": [e.text for e in examples],
        }
        columns |= {n: pa.array(scores.get(n, empty), pa.float64(), from_pandas=True) for n in names}
        parts.append(pa.table(columns))
    with _whole(path) as stream:
        pq.write_table(pa.concat_tables(parts), stream)
