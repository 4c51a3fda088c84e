"""Topics and texts in, shares of topics that are not what a topic should be out."""

import re
from collections.abc import Sequence

from topicgen.phrase import support

LONGEST = 16  # words; a longer topic is a sentence
_RESIDUE = re.compile(
    r"<\|[^|]*\|>|</?s>|\[/?INST\]|### (instruction|response|input)"
    r"|^\s*(#+\s|(topic|response|answer|title|output)\s*:|here (is|are)\b|sure[,!:]|the topic is\b)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"""^\s*(["“`][^"”`]*["”`]|['‘][^'’]*['’]|\[[^\[\]]*\])\s*$""")
_ENDING = re.compile(r"[.!?:;,]\s*$")


def malformed(topic: str) -> bool:
    """Whether a topic is not one bare line: line breaks, enclosing quotes or brackets, an end mark, over 16 words."""
    line = "\n" in topic.strip() or "\r" in topic.strip()
    return line or bool(_QUOTED.match(topic) or _ENDING.search(topic)) or len(topic.split()) > LONGEST


def residue(topic: str) -> bool:
    """Whether something of a prompt or of a chat is left in a topic: special tokens, "Topic:", "Here is"."""
    return bool(_RESIDUE.search(topic))


def describe_faithfulness(topics: Sequence[str], texts: Sequence[str]) -> dict[str, float]:
    """Shares of the documents with text.

    empty: no topic. foreign_words: topics with a word that the text does not have (an inflected form counts as the
    same word). residue, malformed: as the functions of these names tell.
    """
    pairs = [(topic, text) for topic, text in zip(topics, texts, strict=True) if text.strip()]
    if not pairs:
        return {}
    written = [(topic, text) for topic, text in pairs if topic.strip()]
    return {
        "empty": (len(pairs) - len(written)) / len(pairs),
        "foreign_words": sum(support(topic, text) < 1 for topic, text in written) / len(pairs),
        "residue": sum(residue(topic) for topic, _ in written) / len(pairs),
        "malformed": sum(malformed(topic) for topic, _ in written) / len(pairs),
    }
