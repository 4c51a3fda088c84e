"""BERTopic on given vectors, in an environment of its own: texts and vectors in, labels, seconds and memory out.

    BERTOPIC_ENVIRONMENT/bin/python benchmarks/themes_bertopic.py INPUT.npz OUTPUT.npz NUMBER

INPUT.npz holds ``vectors`` (documents, size) and ``texts``; ``benchmarks/themes.py`` runs this. Each setting is fitted
once, and as the library is used: the seed of UMAP is left alone, so that its threads run. Needs bertopic 0.17.4,
umap-learn and hdbscan; embeddings are given, so no model is loaded.
"""

import resource
import sys
import time

import numpy as np
from bertopic import BERTopic


def fitted(texts: list[str], vectors: np.ndarray, number: int | None) -> tuple[BERTopic, list[int]]:
    model = BERTopic(nr_topics=number, embedding_model=None, calculate_probabilities=False, verbose=False)
    topics, _ = model.fit_transform(texts, vectors)
    return model, list(topics)


def main() -> None:
    source, target, number = sys.argv[1:]
    data = np.load(source)
    texts, vectors = [str(text) for text in data["texts"]], data["vectors"]
    results: dict[str, np.ndarray] = {}
    # The outlier bin counts as one of the topics that the library keeps when it is told a number.
    for name, told in (("defaults", None), ("told", int(number) + 1)):
        start = time.perf_counter()
        model, topics = fitted(texts, vectors, told)
        results[name] = np.array(topics)
        results[f"{name} seconds"] = np.array(time.perf_counter() - start)
        if -1 in topics and len(set(topics)) > 1:
            reduced = model.reduce_outliers(texts, topics, strategy="embeddings", embeddings=vectors)
        else:
            reduced = topics
        results[f"{name}, outliers reduced"] = np.array(reduced)
        results[f"{name}, outliers reduced seconds"] = np.array(time.perf_counter() - start)
    results["peak MB"] = np.array(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    np.savez(target, **results)


if __name__ == "__main__":
    main()
