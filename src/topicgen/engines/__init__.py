"""The engines that run a model."""

from topicgen.engines.base import Completion, Engine, Precision
from topicgen.engines.ct2 import CT2Engine

ENGINES = {"ct2": CT2Engine}
"""Every engine by its name; each is called with a model folder and keyword options."""

__all__ = ["ENGINES", "CT2Engine", "Completion", "Engine", "Precision"]
