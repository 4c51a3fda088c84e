"""One ``topicgen export`` call: a model in, a form that other programs run out, checked against the model."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from topicgen.errors import UsageError, UserError
from topicgen.export import hub
from topicgen.export.card import write_card
from topicgen.export.check import Agreement, compare, sample_texts, topics_of
from topicgen.export.ct2 import CT2
from topicgen.export.gguf import GGUF
from topicgen.export.hub import HUB
from topicgen.export.merged import MERGED
from topicgen.export.ollama import OLLAMA
from topicgen.export.settings import ExportSettings
from topicgen.export.target import Target
from topicgen.models import ModelFolder, find_model
from topicgen.staging import locked, staged
from topicgen.version import __version__

TARGETS: dict[str, Target] = {"merged": MERGED, "ct2": CT2, "gguf": GGUF, "ollama": OLLAMA, "hub": HUB}
"""Every form of export by its name."""

RECORD = "export.json"


@dataclass
class ExportJob:
    """What ``topicgen export`` was asked to do."""

    model: str
    settings: ExportSettings
    output: Path | None
    force: bool
    say: Callable[[str], None]

    def run(self) -> str:
        """Writes, loads again, compares; only then is the folder put in its place, or sent. Gives what was made.

        Raises:
            UserError: When the model cannot be exported, the folder cannot be written, or too few topics are equal.
        """
        settings = self.settings
        target, weights = TARGETS[settings.to], self._type()
        token = hub.require_token() if settings.to == "hub" and not settings.dry_run else ""
        with self._place() as folder, locked(folder) as place:
            self._claim(place)
            model = find_model(self.model)
            own = _written_before(place)
            with staged(place, own) as (staging, commit):
                try:
                    self._make(model, target, weights, staging)
                except UserError as error:  # tells of the folder that was asked for
                    raise UserError(str(error).replace(str(staging), str(folder))) from None
                commit()
            return self._send(place, token) if settings.to == "hub" and settings.repo else f"{folder}\n"

    def _make(self, model: ModelFolder, target: Target, weights: str, staging: Path) -> None:
        settings = self.settings
        texts = sample_texts(model, settings.texts)
        # In the arithmetic of the CPU engine, where that is what is exported.
        expected = topics_of(model, texts, "int8" if weights == "int8" else "float32")
        self.say(f"writing {model.name} as {settings.to}")
        target.write(model, staging, weights)
        if settings.repo:
            write_card(model, staging, settings.repo)
        least = settings.least_equal_rounded if weights == "q8_0" else settings.least_equal
        agreement = compare(expected, target.reopen(model, staging, weights), texts, least)
        self.say(str(agreement))
        self._record(staging, model, weights, agreement)

    def _type(self) -> str:
        known = TARGETS[self.settings.to].types
        if self.settings.weights not in ("auto", *known):
            allowed = ", ".join(dict.fromkeys(("auto", *known)))
            raise UsageError(f"--to {self.settings.to} knows --type {allowed}, not {self.settings.weights}")
        return known[0] if self.settings.weights == "auto" else self.settings.weights

    @contextmanager
    def _place(self) -> Iterator[Path]:
        """The folder to write; for the hub, one that is gone afterwards unless it was named."""
        if self.output is None and self.settings.to == "hub":
            with tempfile.TemporaryDirectory(prefix="topicgen-") as made:
                yield Path(made) / "hub"
        else:
            yield self.output or Path(f"{Path(self.model).resolve().name}-{self.settings.to}")

    def _claim(self, folder: Path) -> None:
        """Raises UserError for a folder that may not be written over, before the model is loaded."""
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder}: is a file; an export is a folder")
        if not folder.exists() or not any(folder.iterdir()):
            return
        if not (folder / RECORD).is_file():
            raise UserError(f"{folder}: holds files that are no export; give another folder with -o")
        if not self.force:
            raise UserError(f"{folder}: holds an export already; use --force, or another folder with -o")

    def _record(self, folder: Path, model: ModelFolder, weights: str, agreement: Agreement) -> None:
        made = {
            "model": Path(model.name).name,
            "sha256": model.digest,
            "to": self.settings.to,
            "type": weights,
            "check": {name: value for name, value in asdict(agreement).items() if name != "example"},
            "topicgen": __version__,
            "files": sorted({RECORD, *(path.name for path in folder.iterdir())}),
        }
        (folder / RECORD).write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")

    def _send(self, folder: Path, token: str) -> str:
        repo = str(self.settings.repo)
        if not self.settings.dry_run:
            address = hub.push(folder, repo, public=self.settings.public, existing=self.force, token=token)
            return f"{address}\n"
        kind = "public" if self.settings.public else "private"
        lines = [f"would send to {repo} ({kind} if new); nothing was sent:"]
        lines += [f"{path.stat().st_size:>12,} {path.name}" for path in sorted(folder.iterdir())]
        return "\n".join(lines) + "\n\n" + (folder / "README.md").read_text(encoding="utf-8")


def _written_before(folder: Path) -> list[str]:
    """What an earlier export wrote into a folder; everything else there is the user's."""
    try:
        names = json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return [RECORD]
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else [RECORD]
