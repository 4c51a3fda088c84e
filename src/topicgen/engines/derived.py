"""The form of a model that an engine reads, built once into the user's cache folder."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from topicgen.errors import UserError
from topicgen.models import ModelFolder

ABANDONED = 3600  # seconds
CHECKSUMS = "sha256.json"
Owner = tempfile.TemporaryDirectory[str]


def derived_folder(
    model: ModelFolder, form: str, precision: str, build: Callable[[Path], None], cache: Path
) -> tuple[Path, Owner | None]:
    """The folder of one form of a model, and its owner where it is only temporary.

    It is built once, under a name that depends on the weights, and moved into place when complete, so that processes
    may build it at the same time. A damaged copy is built anew. Where the cache cannot be written, it lives in a
    temporary folder until the owner goes.

    Args:
        form: Engine and number of its format, such as ``ct2-2``: another number is another folder.
        build: Fills an empty folder.
    """
    if model.quantized:
        engine = form.split("-")[0]
        raise UserError(
            f"{model.name}: its weights are quantised; they run on a GPU with the hf engine, not with {engine}"
        )
    folder = cache / f"{form}-{model.digest[:16]}-{precision}"
    if _intact(folder):
        return folder, None
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache, form.split("-")[0])
        owner = tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=cache)
    except OSError:
        owner = tempfile.TemporaryDirectory(prefix="topicgen-")
    built = Path(owner.name) / "model"
    try:
        built.mkdir()
        build(built)
        (built / CHECKSUMS).write_text(json.dumps(_checksums(built)), encoding="ascii")
    except OSError as error:
        raise UserError(
            f"{owner.name}: the model's {precision} form cannot be written ({error.strerror or error})"
        ) from None
    if folder.exists() and not _intact(folder):  # another process may have built it meanwhile
        shutil.rmtree(folder, ignore_errors=True)
    try:
        built.rename(folder)
    except OSError:  # another process was first, or the cache is elsewhere: what was built here serves this time
        return built, owner
    return folder, None


def _sweep(cache: Path, engine: str) -> None:
    """Drops what killed builds left in the cache; a build takes seconds, so that after an hour none goes on."""
    for left in cache.glob(f".{engine}-*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED:
                shutil.rmtree(left, ignore_errors=True)


def _checksums(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name != CHECKSUMS:
            with path.open("rb") as stream:
                found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def _intact(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / CHECKSUMS).read_text(encoding="ascii")) == _checksums(folder))
    except (OSError, ValueError):
        return False
