"""What this installation has and lacks: versions, devices, models, caches."""

import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path
from typing import Any

from topicgen.cache import cache_folder
from topicgen.engines.base import available_threads
from topicgen.engines.onnx import LIBRARIES, lacking
from topicgen.errors import UserError
from topicgen.models import EMBEDDED, find_model
from topicgen.version import __version__

REQUIRED = ("ctranslate2", "numpy", "platformdirs", "pyarrow", "rich", "safetensors", "tokenizers")
EXTRAS = {"train": ("torch", "transformers"), "openai": ("openai",), "vllm": ("vllm",)}
"""Optional packages by the extra that installs them."""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _cuda_devices() -> int:
    if importlib.util.find_spec("ctranslate2") is None:
        return 0
    import ctranslate2

    return int(ctranslate2.get_cuda_device_count())


def _model(name: str) -> dict[str, Any]:
    try:
        folder = find_model(name)
        weights = sum(file.stat().st_size for file in folder.weights)
        return {"name": name, "path": str(folder.path), "weights_bytes": weights, "sha256": folder.digest}
    except UserError as error:
        return {"name": name, "error": str(error)}


def _engines() -> dict[str, str]:
    """What each engine runs on here, or what it lacks."""
    devices = _cuda_devices()
    gpu = f"{devices} CUDA devices" if devices else "no GPU"
    lacks = {extra: [p for p in packages if not _version(p)] for extra, packages in EXTRAS.items()}

    def state(extra: str, there: str) -> str:
        return f"lacks {', '.join(lacks[extra])}" if lacks[extra] else there

    server = "server from OPENAI_BASE_URL" if os.environ.get("OPENAI_BASE_URL") else "OPENAI_BASE_URL is not set"
    return {
        "onnx": f"lacks {needs}" if (needs := lacking()) else "CPU",
        "ct2": "CPU",
        "hf": state("train", gpu if devices else "CPU"),
        "vllm": state("vllm", gpu),
        "openai": state("openai", server),
    }


def examine() -> dict[str, Any]:
    """The state of the installation as JSON-like data; ``problems`` lists what keeps it from working."""
    required = {name: _version(name) for name in REQUIRED}
    models = [_model(name) for name in EMBEDDED]
    problems = [f"{name} is not installed: pip install topicgen" for name, found in required.items() if found is None]
    problems += [f"model {model['name']}: {model['error']}" for model in models if "error" in model]
    missing = {
        extra: f"pip install 'topicgen[{extra}]'"
        for extra, packages in EXTRAS.items()
        if not all(_version(package) for package in packages)
    }
    cache = cache_folder()
    return {
        "topicgen": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": required
        | {p: _version(p) for p in LIBRARIES}
        | {p: _version(p) for packages in EXTRAS.values() for p in packages},
        "devices": {"cpu_threads": available_threads(), "cuda_devices": _cuda_devices()},
        "engines": _engines(),
        "models": models,
        "cache": {"path": str(cache), "bytes": _size(cache) if cache.is_dir() else 0},
        "missing_extras": missing,
        "problems": problems,
    }


def describe(state: dict[str, Any]) -> str:
    """The state as lines for people."""
    lines = [f"topicgen {state['topicgen']}, Python {state['python']}, {state['platform']}"]
    lines += [f"  {name:<13} {found or '-'}" for name, found in state["packages"].items()]
    devices = state["devices"]
    lines.append(f"devices: {devices['cpu_threads']} CPU threads, {devices['cuda_devices']} CUDA devices")
    lines += [f"engine {name:<6} {what}" for name, what in state["engines"].items()]
    for model in state["models"]:
        if "error" not in model:
            lines.append(f"model {model['name']}: {model['weights_bytes'] / 2**20:.0f} MiB, {model['path']}")
    lines.append(f"cache: {state['cache']['bytes'] / 2**20:.0f} MiB, {state['cache']['path']}")
    lines += [f"extra {extra!r} is not installed: {line}" for extra, line in state["missing_extras"].items()]
    lines += [f"problem: {problem}" for problem in state["problems"]] or ["no problems found"]
    return "\n".join(lines)
