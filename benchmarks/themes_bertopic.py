"""BERTopic on given vectors, in an environment of its own: texts and vectors in, labels, seconds and memory out.

    BERTOPIC_ENVIRONMENT/bin/python benchmarks/themes_bertopic.py INPUT.npz OUTPUT.npz

INPUT.npz holds ``vectors`` (documents, size), ``texts``, ``orders`` (fits, documents), the order of the rows in each
fit, and ``told``, numbers of topics. ``benchmarks/themes.py`` runs this. The library is used as it comes: the seed of
UMAP is left alone, so that its threads run. Needs bertopic 0.17.4, umap-learn and hdbscan; embeddings are given, so no
model is loaded.
"""

import resource
import sys
import time
from collections import defaultdict

import numpy as np
from bertopic import BERTopic


def fitted(texts: list[str], vectors: np.ndarray, number: int | None) -> tuple[list[int], list[int]]:
    """Topics of the texts, and the same with the outliers moved to the nearest topic."""
    model = BERTopic(nr_topics=number, embedding_model=None, verbose=False)
    topics, _ = model.fit_transform(texts, vectors)
    if -1 not in topics or len(set(topics)) < 2:
        return list(topics), list(topics)
    return list(topics), list(model.reduce_outliers(texts, topics, strategy="embeddings", embeddings=vectors))


def main() -> None:
    source, target = sys.argv[1:]
    data = np.load(source)
    texts, vectors = data["texts"], data["vectors"]
    fitted([str(text) for text in texts[:500]], vectors[:500], None)  # compiles UMAP, which is not timed
    results = defaultdict(list)
    for number in (None, *data["told"].tolist()):
        name = "defaults" if number is None else f"told {number}"
        for order in data["orders"]:
            start = time.perf_counter()
            # The outlier bin counts as one of the topics that the library keeps when it is told a number.
            found = fitted([str(texts[i]) for i in order], vectors[order], number and number + 1)
            results[f"{name} seconds"].append(time.perf_counter() - start)
            for kind, topics in zip((name, f"{name}, outliers reduced"), found, strict=True):
                labels = np.empty(len(order), int)
                labels[order] = topics
                results[kind].append(labels)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.savez(target, peak=peak, **{name: np.array(found) for name, found in results.items()})


if __name__ == "__main__":
    main()
