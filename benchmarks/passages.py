"""Which topic of its passages is the topic of a long document: several choices beside each other.

    python benchmarks/passages.py --data FOLDER --table bbc.parquet --reference title --room 130 --documents 200

Documents that the model could read whole are split for a reader of --room tokens; each choice is scored by ROUGE-1
(stemmed) against the reference column. "whole" is the topic of the unsplit document, "best possible" the passage topic
nearest to the reference. mini was trained on topics.parquet: take other tables, such as bbc.parquet.
"""

import argparse
import random
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pyarrow.parquet as pq
from rouge_score import rouge_scorer

from topicgen import RankedTopic, TopicGenerator
from topicgen.merging import merge_topics
from topicgen.passages import Passage, split_passages
from topicgen.prompt import PromptEncoder

SCORER = rouge_scorer.RougeScorer(["rouge1"], use_stemmer=True)


def rouge(topic: str, reference: str) -> float:
    return 100 * float(SCORER.score(reference, topic)["rouge1"].fmeasure)


def choices(passages: list[Passage], found: list[RankedTopic]) -> dict[str, str]:
    merged = merge_topics(passages, [[topic] for topic in found])
    return {
        "most of the text, else the beginning (ours)": merged[0].topic,
        "the beginning": found[0].topic,
        "the likeliest": max(found, key=lambda topic: topic.score).topic,
        "the largest weight, then the likeliest": max(merged, key=lambda topic: (topic.weight, topic.score)).topic,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--table", default="bbc.parquet")
    parser.add_argument("--text", default="text")
    parser.add_argument("--reference", default="title")
    parser.add_argument("--room", type=int, default=130)
    parser.add_argument("--documents", type=int, default=200)
    args = parser.parse_args()
    generator = TopicGenerator.load("mini")
    reader = PromptEncoder(generator.model.prompt, generator.model.tokenizer, args.room)
    rows = pq.read_table(args.data / args.table, columns=[args.text, args.reference]).to_pylist()
    random.Random(0).shuffle(rows)
    rows = [row for row in rows if 1_500 < len(row[args.text]) < 4_000][: args.documents]
    whole = generator.generate([row[args.text] for row in rows])
    scores: dict[str, list[float]] = defaultdict(list)
    count = 0
    for row, unsplit in zip(rows, whole, strict=True):
        passages, _ = split_passages(row[args.text], reader, 1_000)
        topics = generator.generate([passage.text for passage in passages])
        found = [RankedTopic(topic.topic, topic.score or 0) for topic in topics]
        count += len(passages)
        for name, topic in choices(passages, found).items():
            scores[name].append(rouge(topic, row[args.reference]))
        each = [rouge(topic.topic, row[args.reference]) for topic in found]
        scores["best possible"].append(max(each))
        scores["any passage"].append(mean(each))
        scores["whole"].append(rouge(unsplit.topic, row[args.reference]))
    print(
        f"{len(rows)} documents of {args.table}, {count / len(rows):.1f} passages each\n"
        "\n| topic of | ROUGE-1 |\n|---|---|"
    )
    for name, values in scores.items():
        print(f"| {name} | {mean(values):.1f} |")


if __name__ == "__main__":
    main()
