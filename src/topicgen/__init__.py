"""Topics for every paragraph of a text collection, written by a language model.

>>> from topicgen import TopicGenerator
>>> TopicGenerator.load("mini").generate(["text of a document"])  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from topicgen.version import __version__

if TYPE_CHECKING:
    from topicgen.config import GenerationSettings
    from topicgen.errors import UserError
    from topicgen.evaluation.comparison import evaluate
    from topicgen.generate import TopicGenerator
    from topicgen.records import Document, PassageTopic, RankedTopic, Topic
    from topicgen.themes.records import Theme
    from topicgen.training.job import train

__all__ = [
    "Document",
    "GenerationSettings",
    "PassageTopic",
    "RankedTopic",
    "Theme",
    "Topic",
    "TopicGenerator",
    "UserError",
    "__version__",
    "evaluate",
    "train",
]

_HOME = {
    "Document": "records",
    "GenerationSettings": "config",
    "PassageTopic": "records",
    "RankedTopic": "records",
    "Theme": "themes.records",
    "Topic": "records",
    "TopicGenerator": "generate",
    "UserError": "errors",
    "evaluate": "evaluation.comparison",
    "train": "training.job",
}


def __getattr__(name: str) -> Any:
    # Public names load on first use, so that `topicgen --help` does not wait for the engine.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
