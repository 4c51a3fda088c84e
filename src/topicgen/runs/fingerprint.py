"""What a run is made from -> its fingerprint; two fingerprints -> what differs. Ray's manifests use the same."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from topicgen.config import GenerationSettings, ReaderSettings, WriterSettings
from topicgen.digests import file_digest
from topicgen.errors import UserError
from topicgen.sources import Source
from topicgen.version import __version__

_SHOWN_CHARACTERS = 40

Fingerprint = dict[str, Any]
"""Names of options and other parts of a run, and their values as JSON has them."""


def fingerprint(
    sources: Iterable[Source],
    model: Mapping[str, str],
    reader: ReaderSettings,
    generation: GenerationSettings,
    writer: WriterSettings,
) -> Fingerprint:
    """Everything that can change a row of the output.

    Args:
        sources: The input files, each read whole once for its digest; none may be standard input.
        model: What runs the model, as ``model_identity`` gives it.
        reader: How the input is read.
        generation: How topics are generated.
        writer: How they are written.

    Raises:
        UserError: When an input cannot be read.
    """
    settings = asdict(reader) | asdict(writer) | _generation_identity(generation)
    del settings["several"]  # which follows from the number of topics
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    return {"input": _input_identity(sources), **model, **listed, "version": __version__}


def model_identity(digest: str, engine: str, precision: str) -> dict[str, str]:
    """What runs the model: SHA-256 of the model folder, wherever it lies, and how it is computed."""
    return {"model": digest, "engine": engine, "precision": precision}


def topic_scope(model: Mapping[str, str], generation: GenerationSettings) -> dict[str, Any]:
    """What a topic depends on beside its text: the scope of its entry in the cache."""
    return {**model, **_generation_identity(generation), "version": __version__}


def _generation_identity(generation: GenerationSettings) -> dict[str, Any]:
    """The settings that can change a topic: the seed has no effect where nothing is sampled."""
    settings = asdict(generation)
    return settings if generation.temperature else {name: settings[name] for name in settings if name != "seed"}


def _input_identity(sources: Iterable[Source]) -> dict[str, Any]:
    """Number, bytes and digest of files by name, format and content: times of change do not matter."""
    whole, files, size = hashlib.sha256(), 0, 0
    for source in sources:
        if source.path is None:
            raise ValueError("standard input has no fingerprint")
        try:
            content = file_digest(source.path)
            size += source.path.stat().st_size
        except OSError as error:
            raise UserError(f"{source.name}: cannot be read: {error.strerror}") from None
        whole.update(repr((source.name, source.format, source.gzipped)).encode() + content)
        files += 1
    return {"files": files, "bytes": size, "sha256": whole.hexdigest()}


def differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two fingerprints, each as ``name (was ..., is ...)``; empty when they are the same."""
    names = [*now, *(name for name in earlier if name not in now)]
    return [
        f"{name} (was {shown(earlier.get(name))}, is {shown(now.get(name))})"
        for name in names
        if earlier.get(name) != now.get(name)
    ]


def shown(value: Any) -> str:
    """A value of a fingerprint on one short line."""
    if isinstance(value, dict) and "sha256" in value:
        files = f"{value['files']} file{'' if value['files'] == 1 else 's'}"
        return f"{files} of {value['bytes']:,} bytes, sha256 {value['sha256'][:12]}"
    if value is None:
        return "not set"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)[:_SHOWN_CHARACTERS]
