"""Model folders and held-out texts outside science in, a table of scores for each source and paired differences out.

    python mini/general.py --corpus build/corpus MODEL [MODEL ...] [--show 30]

Topics are those that users get: 8-bit weights and the second look. They are scored against the titles of the texts and
against topics written for this project; each model after the first is compared with the first on the same texts.
"""

import argparse
import random
from pathlib import Path

from shards import read_shard, read_topics, text_hash

from topicgen import TopicGenerator
from topicgen.intervals import bootstrap
from topicgen.metrics import SCORES
from topicgen.phrase import support

SOURCES = ("reuters", "digitalgov", "18f", "reddit")
Part = list[tuple[str, str]]  # text, reference


def held_out(corpus: Path) -> dict[str, Part]:
    rows = [row for row in read_shard(corpus / "heldout.jsonl.xz") if row["domain"] != "arxiv"]
    written = read_topics(Path(__file__).parent / "held_out_topics.tsv")
    parts = {name: [(row["text"], row["title"]) for row in rows if row["domain"] == name] for name in SOURCES}
    parts["all titles"] = [(row["text"], row["title"]) for row in rows]
    parts["written topics"] = [(row["text"], written[h]) for row in rows if (h := text_hash(row["text"])) in written]
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="model folders, or mini")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--show", type=int, default=0, help="print so many topics of each source")
    args = parser.parse_args()
    parts = held_out(args.corpus)
    texts = [text for text, _ in parts["all titles"]]
    topics = {
        model: dict(zip(texts, (t.topic for t in TopicGenerator.load(model).generate(texts)), strict=True))
        for model in args.models
    }
    print("| texts | model | ROUGE-1 | ROUGE-L | words in the text | paired ROUGE-1 |\n|---|---|---|---|---|---|")
    for name, part in parts.items():
        first: list[float] = []
        for model in args.models:
            written = [topics[model][text] for text, _ in part]
            rouge1, rouge_l = (
                [SCORES[score](topic, reference) for topic, (_, reference) in zip(written, part, strict=True)]
                for score in ("rouge1", "rougeL")
            )
            found = bootstrap([support(topic, text) for topic, (text, _) in zip(written, part, strict=True)])
            difference = bootstrap([b - a for a, b in zip(first, rouge1, strict=True)]).percent() if first else ""
            first = first or rouge1
            scores = " | ".join(bootstrap(values).percent() for values in (rouge1, rouge_l))
            print(f"| {name} ({len(part)}) | {model} | {scores} | {found.percent()} | {difference} |", flush=True)
    for name in SOURCES if args.show else ():
        for text, title in random.Random(0).sample(parts[name], min(args.show, len(parts[name]))):
            print("\t".join([name, title, *(topics[model][text] for model in args.models)]))


if __name__ == "__main__":
    main()
