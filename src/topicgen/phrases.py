"""Documents in, one key phrase of each out, without a model: TF-IDF, YAKE and TextRank."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import ModuleType

from topicgen.extras import require
from topicgen.words import MARKS

LONGEST = 4
"""Words of the longest phrase."""

# Function words, and the verbs and nouns with which any report speaks about itself. Short on purpose: longer public
# lists hold words like "system" and "fire", which topics are made of.
STOP_WORDS = frozenset(
    """
    a about above across after again against all almost along already also although always am among an and another
    any are around as at be became because become becomes been before behind being below between both but by can
    cannot could did do does doing done down due during each either else enough et etc even ever every few for
    former from further had has have having he hence her here hers herself him himself his how however i if in
    indeed instead into is it its itself just latter least less many may me might mine more moreover most mostly
    much must my myself namely neither never nevertheless no nor not nothing now of off often on once one only onto
    or other others otherwise our ours ourselves out over own per perhaps quite rather same several shall she should
    since so some something still such than that the their theirs them themselves then there thereby therefore these
    they this those though three through throughout thus to together too toward towards two under until unless up
    upon us various very via was we well were what whatever when where whereas whether which while who whole whom
    whose why will with within without would yet you your yours yourself al eg ie
    address addresses based consider demonstrate demonstrates describe describes develop develops different existing
    introduce introduces it's known new novel paper present presented presents problem proposed propose proposes
    recent recently result results show shown shows state-of-the-art study use used uses using work
    """.split()  # noqa: SIM905 - a list of words reads better
)

_PART = rf"[^\W_]+(?:[{MARKS}]+[^\W_]*)*"
_WORD = re.compile(rf"{_PART}(?:[-'’]{_PART})*")
_LETTERS = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{MARKS}])")
_BREAK = re.compile(rf"[^\w\s'’{MARKS}-]+|\s[-'’]+\s|\n\s*\n")


def is_content(word: str) -> bool:
    """Whether a word, of any case, may begin or end a phrase: two letters in a row, and no stop word."""
    return word.lower() not in STOP_WORDS and _LETTERS.search(word) is not None


def runs(text: str) -> list[list[str]]:
    """The words of a text as they are written, in stretches without punctuation; hyphens and apostrophes join."""
    return [found for part in _BREAK.split(text) if (found := _WORD.findall(part))]


def _grams(run: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All stretches of 1 to 4 words that neither begin nor end with a stop word, in the order of the text."""
    content = [is_content(word) for word in run]
    for start in range(len(run)):
        for end in range(start, min(start + LONGEST, len(run))):
            if content[start] and content[end]:
                yield tuple(run[start : end + 1])


def _counted(text: str) -> tuple[Counter[str], dict[str, str]]:
    """How often each phrase of a text occurs, by its lowercase form, and how it is written where it comes first."""
    counts: Counter[str] = Counter()
    written: dict[str, str] = {}
    for run in runs(text):
        for gram in _grams(run):
            phrase = " ".join(gram)
            counts[phrase.lower()] += 1
            written.setdefault(phrase.lower(), phrase)
    return counts, written


def tfidf_phrase(documents: Sequence[str]) -> list[str]:
    """The phrase of 1 to 4 words of each document with the highest TF-IDF; "" for a document without content words.

    A phrase is a stretch of words without punctuation between them that neither begins nor ends with a stop word. Its
    weight is its count, times ``ln((1 + documents) / (1 + documents with it)) + 1`` as for single words, times its
    content words, of which no more than three count: a phrase contains words that are at least as frequent as itself,
    and without the last factor nearly every document would be named by one word (KP-Miner boosts compounds for the same
    reason, El-Beltagy and Rafea 2009); without its limit a phrase would grow as long as it may. Of equal weights the
    phrase that begins first wins, then the shorter one.
    """
    # Every text is read twice, because the phrases of all documents take many times the memory of the documents.
    spread = Counter(phrase for document in documents for phrase in _counted(document)[0])

    def weight(phrase: str, count: int) -> float:
        content = sum(map(is_content, phrase.split(" ")))
        return count * (math.log((1 + len(documents)) / (1 + spread[phrase])) + 1) * min(content, 3)

    def best(document: str) -> str:
        counts, written = _counted(document)
        found = max(counts, key=lambda phrase: weight(phrase, counts[phrase]), default="")
        return written.get(found, "")

    return [best(document) for document in documents]


def yake_phrase(documents: Sequence[str]) -> list[str]:
    """YAKE's best key phrase of up to three words (Campos et al. 2020), English; "" for a document without one.

    Raises:
        UserError: When the library yake is missing.
    """
    extractor = require("yake", "evaluate").KeywordExtractor(lan="en", n=3, top=1)
    found = (extractor.extract_keywords(document) for document in documents)
    return [str(phrases[0][0]) if phrases else "" for phrases in found]


def textrank_phrase(documents: Sequence[str]) -> list[str]:
    """TextRank's best phrase of up to four words (Mihalcea and Tarau 2004); "" for a document without content words.

    As in the paper, PageRank (damping 0.85) on the undirected graph of words that stand side by side ranks the words,
    the best third is kept, and kept words that are neighbours in the text form a phrase; its score is the sum over its
    words. Unlike there, the candidates are all content words, because nouns and adjectives would need a tagger. Of
    equal scores the phrase that begins first wins.

    Raises:
        UserError: When the library networkx is missing.
    """
    networkx = require("networkx", "evaluate")

    def best(document: str) -> str:
        found = runs(document)
        ranks = _best_third(networkx, found)
        # Rounded, so that equal scores stay equal when they are summed in another order.
        score = {gram: round(sum(ranks[w] for w in {*gram}), 9) for run in found for gram in _kept(run, ranks)}
        phrase = max(score, key=lambda gram: score[gram], default=())
        return next((" ".join(p) for run in found for p in _grams(run) if tuple(map(str.lower, p)) == phrase), "")

    return [best(document) for document in documents]


def _kept(run: Sequence[str], ranks: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    """All lowercase phrases of a stretch of words that consist of ranked words only."""
    lowered = [tuple(map(str.lower, gram)) for gram in _grams(run)]
    return (gram for gram in lowered if all(word in ranks for word in gram))


def _best_third(networkx: ModuleType, found: Sequence[Sequence[str]]) -> dict[str, float]:
    """PageRank of the best third of the content words, at least one; earlier words win ties."""
    graph = networkx.Graph()
    for run in found:
        words = [word.lower() if is_content(word) else None for word in run]
        graph.add_nodes_from(word for word in words if word)
        graph.add_edges_from((a, b) for a, b in pairwise(words) if a and b and a != b)
    ranks = {word: round(rank, 9) for word, rank in networkx.pagerank(graph, alpha=0.85).items()}
    best = sorted(ranks, key=lambda word: -ranks[word])[: math.ceil(len(ranks) / 3)]
    return {word: ranks[word] for word in best}
