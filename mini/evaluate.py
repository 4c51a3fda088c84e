"""Labelled rows and the out-of-fold predictions of adapt.py in, the quality table out.

    python mini/evaluate.py --labels topics.parquet --predictions build/mini/predictions.json

--labels is a Parquet file with abstract and topic; a column llama3_8b, where there is one, is scored beside.
"""

import argparse
import json
from pathlib import Path

import pyarrow.parquet as pq

from topicgen.baselines import constant, first_words, tfidf_words
from topicgen.metrics import SCORES, bootstrap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, nargs="*", default=[], help="predictions.json of adapt.py")
    args = parser.parse_args()
    rows = pq.read_table(args.labels).to_pylist()
    texts, references = [row["abstract"] for row in rows], [row["topic"] for row in rows]
    systems = {
        'floor: always "machine learning"': constant(texts, "machine learning"),
        "floor: first 8 words": first_words(texts, 8),
        "floor: 5 TF-IDF words": tfidf_words(texts, 5),
    }
    for path in args.predictions:
        out_of_fold = json.loads(path.read_text(encoding="utf-8"))["out_of_fold"]
        if len(out_of_fold) != len(rows):
            raise SystemExit(f"{path}: {len(out_of_fold)} predictions for {len(rows)} labelled rows")
        systems[f"mini, cross-validated ({path.parent.name})"] = out_of_fold
    if "llama3_8b" in rows[0]:
        systems["fine-tuned Llama 3 8B, published"] = [row["llama3_8b"] for row in rows]
    print(f"{len(rows)} rows; mean [95 % bootstrap interval], percent\n")
    print("| system | " + " | ".join(SCORES) + " |\n|---|" + "---|" * len(SCORES))
    for name, predictions in systems.items():
        cells = [
            bootstrap([score(p, r) for p, r in zip(predictions, references, strict=True)]).percent()
            for score in SCORES.values()
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
