"""The table of vectors for themes: what grouping makes of each kind, against gold categories, in one run.

    python benchmarks/theme_vectors.py --data FOLDER [--topics FOLDER] [--only bills bbc reuters]

Data and topics are those of themes.py. All vectors go through the same grouping, told the number of categories.

LSA         terms of text and topic, 100 dimensions: what `topicgen themes` does
SIF         the embedded model's token embeddings, averaged (Arora et al. 2017)
static      word vectors trained here on 20,000 arXiv abstracts: positive pointwise mutual information of words within
            five places, 100 dimensions (Levy and Goldberg 2014), averaged over the words of a document as SIF does
LSA + ...   both beside one another
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import svds
from themes import Collection, harmonic_purity, read_collection

from topicgen.embed import TokenEmbedder
from topicgen.themes.grouping import group
from topicgen.themes.space import Space

WORDS, WINDOW, DIMENSIONS, SMOOTHING = 20_000, 5, 100, 1e-3


def unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def centred(vectors: np.ndarray) -> np.ndarray:
    """Without the direction that all share."""
    common = np.linalg.svd(vectors, full_matrices=False)[2][0]
    return unit(vectors - np.outer(vectors @ common, common))


class StaticWords:
    """Word vectors of a corpus, and the mean of a text's, rare words counting more."""

    def __init__(self, texts: list[str]) -> None:
        split = [[word for word in text.lower().split() if word.isalpha()] for text in texts]
        counts = Counter(word for words in split for word in words)
        self._rows = {word: i for i, (word, _) in enumerate(counts.most_common(WORDS))}
        total = sum(counts.values())
        self._weight = np.array([SMOOTHING / (SMOOTHING + counts[word] / total) for word in self._rows])
        rows, columns = [], []
        for words in split:
            ids = np.array([self._rows.get(word, -1) for word in words])
            for step in range(1, WINDOW + 1):
                kept = (ids[step:] >= 0) & (ids[:-step] >= 0)
                rows.append(ids[step:][kept])
                columns.append(ids[:-step][kept])
        left, right = np.concatenate(rows + columns), np.concatenate(columns + rows)
        pairs = coo_matrix((np.ones(len(left)), (left, right)), shape=(WORDS, WORDS)).tocsr()
        seen = np.asarray(pairs.sum(axis=1)).ravel()
        pairs = pairs.tocoo()
        mutual = np.log(pairs.data * seen.sum() / (seen[pairs.row] * seen[pairs.col]))
        positive = coo_matrix((np.maximum(mutual, 0), (pairs.row, pairs.col)), shape=(WORDS, WORDS)).tocsr()
        left_vectors, values, _ = svds(positive, DIMENSIONS, random_state=0)
        self._vectors = left_vectors * np.sqrt(values)

    def encode(self, texts: list[str]) -> np.ndarray:
        made = np.zeros((len(texts), DIMENSIONS))
        for row, text in enumerate(texts):
            if ids := [self._rows[word] for word in text.lower().split() if word in self._rows]:
                made[row] = self._weight[ids] @ self._vectors[ids] / len(ids)
        return centred(made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--topics", type=Path)
    parser.add_argument("--only", nargs="+", default=["bills", "bbc", "reuters"])
    args = parser.parse_args()
    sif = TokenEmbedder()
    arxiv = read_collection("arxiv", args.data, None).texts
    words = StaticWords(arxiv)

    def lsa(c: Collection) -> np.ndarray:
        return Space.fit_encode(c.topics, c.texts)[1]

    def averaged(encode: Callable[[list[str]], np.ndarray]) -> Callable[[Collection], np.ndarray]:
        return lambda c: encode([f"{topic}. {text}" for topic, text in zip(c.topics, c.texts, strict=True)])

    def beside(second: Callable[[Collection], np.ndarray], weight: float) -> Callable[[Collection], np.ndarray]:
        return lambda c: unit(np.concatenate([lsa(c), weight * second(c)], 1))

    tokens, static = averaged(lambda texts: centred(sif.encode(texts))), averaged(words.encode)
    kinds: dict[str, Callable[[Collection], np.ndarray]] = {
        "LSA of text and topic": lsa,
        "LSA of the text": lambda c: Space.fit_encode([""] * len(c.texts), c.texts)[1],
        "LSA of the topic": lambda c: Space.fit_encode(c.topics, [""] * len(c.texts))[1],
        "SIF": tokens,
        "static": static,
        "LSA + SIF, 1:1": beside(tokens, 1.0),
        "LSA + SIF, 2:1": beside(tokens, 0.5),
        "LSA + static, 1:1": beside(static, 1.0),
        "LSA + static, 2:1": beside(static, 0.5),
    }
    print("| collection | vectors | harmonic purity | ARI | NMI | seconds |\n|---|---|---|---|---|---|", flush=True)
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    for name in args.only:
        collection = read_collection(name, args.data, args.topics)
        for kind, make in kinds.items():
            if kind == "LSA of the topic" and not any(collection.topics):
                continue
            began = time.perf_counter()
            vectors = make(collection)
            for labels, gold in collection.gold.items():
                found = group(vectors, themes=len(set(gold))).themes
                scores = harmonic_purity(gold, found), adjusted_rand_score(gold, found)
                scores = (*scores, normalized_mutual_info_score(gold, found))
                cells = " | ".join(f"{score:.3f}" for score in scores)
                print(f"| {name}, {labels} | {kind} | {cells} | {time.perf_counter() - began:.1f} |", flush=True)


if __name__ == "__main__":
    main()
