"""Out-of-fold predictions of adapt.py in, one table for benchmarks/quality.py out: topics by the hash of their text.

    python mini/out_of_fold.py --labels labels.jsonl --predictions build/fold-*.json --out mini/log/out_of_fold.tsv

A column has the name of its system. With --before, the table of an earlier version, its columns follow behind --name.
The texts are not part of the table, so that it can be kept beside the recipe.
"""

import argparse
import json
from pathlib import Path

from shards import text_hash


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="JSON lines: text, topic")
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="of adapt.py, one for each seed")
    parser.add_argument("--before", type=Path, help="table of an earlier version")
    parser.add_argument("--name", default="earlier version", help="of the earlier version's systems")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    texts = [json.loads(line)["text"] for line in args.labels.read_text(encoding="utf-8").splitlines()]
    columns = [json.loads(path.read_text(encoding="utf-8"))["out_of_fold"] for path in args.predictions]
    for path, column in zip(args.predictions, columns, strict=True):
        if len(column) != len(texts):
            raise SystemExit(f"{path}: {len(column)} predictions for {len(texts)} labelled rows")
    names = [f"mini (seed {number})" for number in range(len(columns))]
    if args.before:
        header, *lines = [line.split("\t") for line in args.before.read_text(encoding="utf-8").splitlines()]
        earlier = {key: topics for key, *topics in lines}
        names += [f"{args.name}, {column}" for column in header[1:]]
        columns += zip(*(earlier[text_hash(text)] for text in texts), strict=True)
    with args.out.open("w", encoding="utf-8") as out:
        out.write("\t".join(["hash", *names]) + "\n")
        for text, *topics in zip(texts, *columns, strict=True):
            out.write("\t".join([text_hash(text), *(" ".join(topic.split()) for topic in topics)]) + "\n")


if __name__ == "__main__":
    main()
