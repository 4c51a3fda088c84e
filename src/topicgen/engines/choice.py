"""A model and this machine in, the name of the engine that ``auto`` takes out, and why."""

from importlib.util import find_spec

from topicgen.engines.base import Engine, Precision
from topicgen.engines.onnx import suits
from topicgen.models import ModelFolder

LARGE_BYTES = 2_000_000_000  # a billion parameters of 16 bits


def choose_engine(model: ModelFolder, precision: Precision = "auto") -> str:
    """``hf`` for models that are slow on a CPU, or do not run there, where there is a GPU.

    Else ``onnx`` for small models in int8 where the processor multiplies 8-bit numbers, and ``ct2`` for the others.
    """
    if is_large(model):
        return "hf" if _has_gpu() else "ct2"
    return "onnx" if suits(model, precision) else "ct2"


def describe_choice(model: ModelFolder, engine: Engine) -> str:
    """Which engine ``choose_engine`` took and why, on one line."""
    size = f"{sum(file.stat().st_size for file in model.weights) / 2**30:.1f} GB of weights"
    if engine.name == "hf":
        why = f"{size} and a GPU"
    else:
        why = f"{size} and no GPU that PyTorch can use" if is_large(model) else f"{size} are fast on the CPU"
    return f"engine {engine.name}: {why}; {engine.reason}"


def is_large(model: ModelFolder) -> bool:
    """Whether a model is slow on a CPU, or does not run there."""
    return model.quantized or sum(file.stat().st_size for file in model.weights) > LARGE_BYTES


def _has_gpu() -> bool:
    if not all(find_spec(library) for library in ("torch", "transformers")):
        return False
    import torch

    return torch.cuda.is_available()
