"""Collections made for tests: documents about a few subjects, in words of their own."""

import numpy as np

from topicgen.themes.dendrogram import IntArray

WORDS = {
    "astronomy": "galaxy star telescope orbit planet comet nebula redshift supernova asteroid moon eclipse",
    "cooking": "oven flour butter recipe sauce garlic pastry simmer dough spice kitchen broth",
    "sailing": "harbour sail keel mast anchor tide rudder yacht regatta buoy skipper rigging",
}
SUBJECTS = {subject: words.split() for subject, words in WORDS.items()}
TOPICS = tuple(SUBJECTS)


def made(documents: int, seed: int = 0) -> tuple[list[str], list[str], IntArray]:
    """Topics, texts and the subject of each document; subjects take turns."""
    draw = np.random.default_rng(seed)
    gold = np.arange(documents) % len(SUBJECTS)
    words = [SUBJECTS[TOPICS[subject]] for subject in gold]
    topics = [" ".join(draw.choice(own, 2, replace=False)) for own in words]
    texts = [" ".join(draw.choice(own, 12)) + f" report of day {i}" for i, own in enumerate(words)]
    return topics, texts, gold
