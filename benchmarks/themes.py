"""The table of themes: topicgen, BERTopic, k-means and NMF against gold categories, in one run.

    python benchmarks/themes.py --data FOLDER [--topics FOLDER] [--bertopic-python FILE] [--shuffles 5] [--only bbc ...]

--data holds bills.parquet, bbc.parquet, arxiv-*.parquet, of which 20,000 rows are used, and general.parquet, of which
5,000 news with one label (reuters) and 5,000 forum posts (reddit) are used: the settings of topicgen were chosen on
bills, bbc and arxiv, and these two had no part in that. --topics may hold run files
bills.jsonl, bbc.jsonl and arxiv.jsonl of `topicgen generate` (else the text stands alone). All systems get the same
vectors, those of topicgen.themes.space, but NMF, which takes the weights of the terms. Every system is fitted to
five orders of the rows (k-means and NMF to one): scores are means over them, stability is the mean ARI between the
first and the others.
Seconds are those of one fit from the texts; those of the vectors are part of every system that needs them.

Harmonic purity is the harmonic mean of purity and inverse purity, as in TopicGPT (Pham et al. 2024). An outlier bin
counts as a group; coverage is the share of the documents outside of it.
"""

import argparse
import json
import multiprocessing
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topicgen.peak_memory import peak_memory
from topicgen.themes.grouping import group
from topicgen.themes.space import Space
from topicgen.themes.terms import counted_terms

REPOSITORY = Path(__file__).resolve().parent.parent
ARXIV_ROWS = 20_000
UNTOUCHED_ROWS = 5_000
OUTLIERS = -1
NMF_STEPS = 60
HEADER = "| system | harmonic purity | ARI | NMI | themes | coverage | stability | seconds | peak MB |"


@dataclass(frozen=True)
class Collection:
    """Documents with their gold categories, by name of the set of categories."""

    name: str
    topics: list[str]
    texts: list[str]
    gold: dict[str, list[str]]


@dataclass(frozen=True)
class Fits:
    """One system fitted to several orders: labels of shape (orders, documents), seconds of one, peak memory."""

    labels: np.ndarray
    seconds: float
    peak: float


def read_collection(name: str, data: Path, topics: Path | None) -> Collection:
    """Reads the texts and categories, and the topics of a run file by id where there is one."""
    from pyarrow import parquet

    pattern = {"arxiv": "arxiv-*.parquet", "reuters": "general.parquet", "reddit": "general.parquet"}
    files = sorted(data.glob(pattern.get(name, f"{name}.parquet")))
    if not files:
        raise SystemExit(f"{data}: no {name}.parquet; --data names the folder of the collections")
    table = parquet.read_table(files[0])
    if name == "arxiv":
        rows = table.slice(0, ARXIV_ROWS).to_pydict()
        texts = [f"{title}. {abstract}" for title, abstract in zip(rows["title"], rows["abstract"], strict=True)]
        gold = {"primary category": [categories.split(",")[0] for categories in rows["categories"]]}
    elif name in pattern:
        posts = [row for row in table.to_pylist() if row["source"].startswith(name)]
        kept = [row for row in posts if row["label"] and "," not in row["label"]][:UNTOUCHED_ROWS]
        rows = {"id": [str(number) for number in range(len(kept))]}
        texts = [f"{row['title']}. {row['text']}" for row in kept]
        gold = {"label": [row["label"] for row in kept]}
    else:
        rows = table.to_pydict()
        texts = rows["text"]
        gold = {key: rows[key] for key in ("category", "subcategory") if key in rows}
    written: dict[str, str] = {}
    if topics and (topics / f"{name}.jsonl").is_file():
        lines = (topics / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        written = {str(row["id"]): row["topic"] for row in map(json.loads, lines)}
    return Collection(name, [written.get(str(key), "") for key in rows["id"]], texts, gold)


def harmonic_purity(gold: Sequence[str], found: np.ndarray) -> float:
    from sklearn.metrics.cluster import contingency_matrix

    counts = contingency_matrix(gold, found)
    purity, inverse = counts.max(axis=0).sum() / counts.sum(), counts.max(axis=1).sum() / counts.sum()
    return float(2 * purity * inverse / (purity + inverse))


def vectors_of(collection: Collection, order: np.ndarray) -> np.ndarray:
    return Space.fit_encode([collection.topics[i] for i in order], [collection.texts[i] for i in order])[1]


def ours(collection: Collection, order: np.ndarray, number: int | None) -> np.ndarray:
    return group(vectors_of(collection, order), themes=number).themes


def k_means(collection: Collection, order: np.ndarray, number: int | None) -> np.ndarray:
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(number, n_init=10, random_state=0).fit_predict(vectors_of(collection, order)))


def nmf(collection: Collection, order: np.ndarray, number: int | None) -> np.ndarray:
    from sklearn.decomposition import NMF
    from sklearn.feature_extraction.text import TfidfVectorizer

    def terms(i: int) -> list[str]:
        return list((counted_terms(collection.texts[i]) + counted_terms(collection.topics[i])).elements())

    weights = TfidfVectorizer(analyzer=terms, sublinear_tf=True, min_df=2, max_df=0.5).fit_transform(order)
    parts = NMF(number, init="nndsvda", random_state=0, max_iter=NMF_STEPS, tol=1e-3).fit_transform(weights)
    return np.asarray(parts.argmax(axis=1))


def fit_all(system: Callable[..., np.ndarray], collection: Collection, orders: np.ndarray, number: int | None) -> Fits:
    """Runs in a process of its own, whose peak memory is that of the system."""
    labels, start = [], time.perf_counter()
    for order in orders:
        found = np.empty(len(order), int)
        found[order] = system(collection, order, number)
        labels.append(found)
    seconds = (time.perf_counter() - start) / len(orders)
    return Fits(np.array(labels), seconds, peak_memory() / 2**20)


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function that runs in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def bertopic(python: Path, collection: Collection, orders: np.ndarray, told: list[int]) -> dict[str, Fits]:
    """BERTopic's results by setting; the seconds of the vectors are added."""
    start = time.perf_counter()
    vectors = vectors_of(collection, np.arange(len(collection.texts)))
    before = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(source, vectors=vectors, texts=np.array(collection.texts), orders=orders, told=told)
        subprocess.run([python, REPOSITORY / "benchmarks/themes_bertopic.py", source, target], check=True)
        with np.load(target) as found:
            results = {name: found[name] for name in found.files}
    peak = float(results.pop("peak"))
    return {
        name: Fits(labels, before + float(results[name.partition(",")[0] + " seconds"].mean()), peak)
        for name, labels in results.items()
        if labels.ndim == 2
    }


def row(name: str, fits: Fits, gold: Sequence[str]) -> str:
    """One line of the table."""
    from sklearn.metrics import adjusted_rand_score as ari
    from sklearn.metrics import normalized_mutual_info_score as nmi

    measures = [np.mean([measure(gold, found) for found in fits.labels]) for measure in (harmonic_purity, ari, nmi)]
    number = np.mean([len(set(found) - {OUTLIERS}) for found in fits.labels])
    coverage = (fits.labels != OUTLIERS).mean()
    same = [ari(fits.labels[0], found) for found in fits.labels[1:]]
    cells = [name, *(f"{value:.3f}" for value in measures), f"{number:.0f}", f"{coverage:.1%}"]
    cells += [f"{np.mean(same):.3f}" if same else "-", f"{fits.seconds:.1f}", f"{fits.peak:.0f}"]
    return f"| {' | '.join(cells)} |"


def compare(collection: Collection, orders: np.ndarray, python: Path | None, shuffles: int | None) -> None:
    """Prints a table for each set of gold categories."""
    numbers = {kind: len(set(gold)) for kind, gold in collection.gold.items()}
    default = apart(fit_all, ours, collection, orders, None)
    other = bertopic(python, collection, orders[:shuffles], list(numbers.values())) if python else {}
    with_topics = sum(map(bool, collection.topics))
    for kind, gold in collection.gold.items():
        number = numbers[kind]
        title = f"{collection.name}, {number} of {kind}: {len(gold)} documents, {with_topics} with topics"
        print(f"\n{title}, {len(orders)} orders\n\n{HEADER}\n|---|" + "---|" * 8)
        print(row("topicgen", default, gold), flush=True)
        told = f", told {number}"
        print(row(f"topicgen{told}", apart(fit_all, ours, collection, orders, number), gold), flush=True)
        for name, fits in other.items():
            if name.startswith(("defaults", f"told {number}")):
                print(row(f"BERTopic, {name}", fits, gold), flush=True)
        for name, system in (("k-means", k_means), ("NMF", nmf)):
            print(row(f"{name}{told}", apart(fit_all, system, collection, orders[:1], number), gold), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared/data", help="folder of collections")
    parser.add_argument("--topics", type=Path, help="folder of run files")
    parser.add_argument("--bertopic-python", type=Path, help="interpreter of an environment with BERTopic")
    parser.add_argument("--shuffles", type=int, default=5, help="orders of the rows that are tried (default: 5)")
    parser.add_argument("--bertopic-shuffles", type=int, help="fewer for BERTopic, which takes minutes a fit")
    parser.add_argument(
        "--only", nargs="+", default=["reuters", "reddit", "bills", "bbc", "arxiv"], help="collections to measure"
    )
    args = parser.parse_args()
    for name in args.only:
        collection = read_collection(name, args.data, args.topics)
        orders = [np.random.default_rng(seed).permutation(len(collection.texts)) for seed in range(args.shuffles)]
        compare(collection, np.array(orders), args.bertopic_python, args.bertopic_shuffles)


if __name__ == "__main__":
    main()
