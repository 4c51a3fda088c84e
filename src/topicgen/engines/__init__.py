"""The engines that run a model."""

from collections.abc import Callable

from topicgen.engines.base import Completion, Engine, Precision
from topicgen.engines.ct2 import CT2Engine
from topicgen.engines.hf import HFEngine
from topicgen.engines.onnx import OnnxEngine
from topicgen.engines.openai import OpenAIEngine
from topicgen.engines.vllm import VLLMEngine

ENGINES: dict[str, Callable[..., Engine]] = {
    "onnx": OnnxEngine,
    "ct2": CT2Engine,
    "hf": HFEngine,
    "vllm": VLLMEngine,
    "openai": OpenAIEngine,
}
"""Every engine by its name; each is called with a model folder and keyword options."""

__all__ = [
    "ENGINES",
    "CT2Engine",
    "Completion",
    "Engine",
    "HFEngine",
    "OnnxEngine",
    "OpenAIEngine",
    "Precision",
    "VLLMEngine",
]
