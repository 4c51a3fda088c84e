"""One correction, export or report of a themes folder, as the command line asks for it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from topicgen.errors import UsageError, UserError
from topicgen.outputs import open_file
from topicgen.staging import locked, staged
from topicgen.themes import corrections
from topicgen.themes.files import FILES, REPORTS, write_files
from topicgen.themes.records import Theme
from topicgen.themes.registry import Registry
from topicgen.themes.report import write_report
from topicgen.themes.state import read_state

Say = Callable[[str], None]

CORRECTIONS = {
    "rename": "FOLDER ID NAME",
    "merge": "FOLDER ID ID",
    "move": "FOLDER DOCUMENT_ID ID",
    "pin": "FOLDER ID",
    "export": "FOLDER -o FILE",
}
"""What each takes."""


def run_correction(
    act: str, arguments: Sequence[str], *, output: str | None, on: bool, corrected: bool, force: bool, say: Say
) -> None:
    """Carries out one correction, or the export.

    Raises:
        UserError: When the folder, a theme or a document is not there, or the correction is not possible.
    """
    wanted = CORRECTIONS[act].removesuffix(" -o FILE").split()
    if len(arguments) != len(wanted) or (act == "export" and output is None):
        found = f"{len(arguments)} argument{'' if len(arguments) == 1 else 's'}"
        hint = f"; if {act!r} is a file, write ./{act}" if not arguments else ""
        raise UsageError(f"needed: topicgen themes {act} {CORRECTIONS[act]}; found {found}{hint}")
    folder = Path(arguments[0])
    if act == "export":
        _export(folder, str(output), corrected, force, say)
        return

    def correct(registry: Registry) -> str:
        rest = arguments[1:]
        if act == "rename":
            return f"{rest[0]} is called {corrections.rename(registry, *rest).name!r}"
        if act == "merge":
            return f"{rest[0]} was merged into {_shown(corrections.merge(registry, *rest))}"
        if act == "move":
            return f"document {rest[0]!r} was moved to {_shown(corrections.move(registry, *rest))}"
        return f"{_shown(corrections.pin(registry, rest[0], on))} is {'pinned' if on else 'no longer pinned'}"

    say(_corrected(folder, correct))


def rewrite_report(folder: str, form: Literal["html", "md"]) -> Path:
    """Writes the report of a themes folder again; returns its path.

    Raises:
        UserError: When the folder is none or damaged.
    """
    given = Path(folder)
    _require_folder(given)
    with locked(given) as real:
        read_state(real)  # a report of damaged data would be believed
        return given / write_report(real, format=form).name


def _corrected(folder: Path, correct: Callable[[Registry], str]) -> str:
    """Loads, corrects and replaces a folder; its report is written again where there was one."""
    _require_folder(folder)
    with locked(folder) as real:
        registry = Registry.load(folder)
        told = correct(registry)
        with staged(real, FILES) as (staging, commit):
            write_files(staging, registry)
            for name in REPORTS:
                if (real / name).exists():
                    write_report(staging, format="html" if name.endswith("html") else "md")
            commit()
    return told


def _require_folder(folder: Path) -> None:
    """Raises UserError for a folder that is not there, before anything is made beside it."""
    waiting = folder.parent / f".{folder.name}.old"  # of a writer that was killed in the moment of replacing it
    if not folder.is_dir() and not waiting.is_dir():
        raise UserError(
            f"{folder}: {'is a file' if folder.exists() else 'there is no such folder'}; name a themes folder"
        )


def _export(folder: Path, output: str, corrected: bool, force: bool, say: Say) -> None:
    _require_folder(folder)
    if not folder.is_dir():
        with locked(folder):  # which gives a folder back that a killed writer was replacing
            pass
    registry = Registry.load(folder)
    examples = list(corrections.labelled_examples(registry, corrected=corrected))
    if not examples:
        texts = any(row.member.text.strip() for row in registry.documents)
        reason = "nobody corrected anything yet" if texts else "its documents have no texts"
        raise UserError(f"{folder}: no labelled examples, {reason}")
    file = open_file(output, in_place=False, binary=False, force=force)
    done = False
    try:
        file.start()
        for example in examples:
            file.write(json.dumps(example, ensure_ascii=False) + "\n")
        file.flush()
        done = True
    finally:
        file.close(keep=done)
    left = len(registry.documents) - len(examples)
    say(f"{len(examples):,} labelled examples written to {output}" + (f", {left:,} documents left out" if left else ""))


def _shown(theme: Theme) -> str:
    return f"{theme.id} ({theme.name})"
