"""The project's quality table: floors, baselines, mini and the published Llama 3 8B predictions, by the same code.

    python benchmarks/quality.py --data FOLDER -o build/quality

FOLDER holds topics.parquet (abstract, topic, title, llama3_8b). mini is scored on topics for rows that its models were
not fitted to: mini/log/out_of_fold.tsv, from 5-fold cross-validation with three seeds (mini/adapt.py).
"""

import argparse
import hashlib
import sys
from pathlib import Path

from topicgen.evaluation.comparison import Comparison, compare
from topicgen.evaluation.examples import Labelled, LabelledColumns, read_labelled
from topicgen.evaluation.job import EvaluateJob
from topicgen.evaluation.output import difference_lines, markdown_table, write_folder
from topicgen.evaluation.scores import bleu, bleu_statistics
from topicgen.evaluation.systems import System
from topicgen.named_embedders import load_embedder
from topicgen.reader import Problems

REPOSITORY = Path(__file__).resolve().parent.parent
OUT_OF_FOLD = REPOSITORY / "mini/log/out_of_fold.tsv"
PUBLISHED = "llama3_8b"
README_METRICS = ("rouge1", "rougeL", "exact")


def text_hash(text: str) -> str:
    """Names a text, as the corpus of mini does."""
    return hashlib.blake2b(text.encode(), digest_size=8, person=b"mini").hexdigest()


def out_of_fold(texts: list[str]) -> list[System]:
    """What mini and its first version wrote for each text, one system for each seed of the cross-validation."""
    header, *lines = [line.split("\t") for line in OUT_OF_FOLD.read_text(encoding="utf-8").splitlines()]
    by_hash = {key: topics for key, *topics in lines}
    rows = [by_hash.get(text_hash(text)) for text in texts]
    if None in rows:
        raise SystemExit(f"{OUT_OF_FOLD}: has no topic for {rows.count(None)} of {len(texts)} rows")
    return [System(name, "predictions", [row[i] for row in rows]) for i, name in enumerate(header[1:])]


def quality(data: Path) -> tuple[Labelled, list[System], Comparison]:
    """All systems of the table, scored."""
    path = data / "topics.parquet"
    if not path.is_file():
        raise SystemExit(f"{path}: not there; --data names the folder with topics.parquet")
    columns = LabelledColumns(references=("topic",), predictions=(PUBLISHED,))
    labelled = read_labelled(str(path), columns, Problems(), lambda _: None)
    systems = [
        *out_of_fold([example.text for example in labelled.examples]),
        System("fine-tuned Llama 3 8B, published", "column", labelled.predictions[PUBLISHED]),
        *EvaluateJob(labelled=str(path), baselines=True).baseline_systems(labelled.examples),
    ]
    return labelled, systems, compare(systems, labelled.examples, data=path.name, embedder=load_embedder(None))


def bleu_of_printed_lists(labelled: Labelled) -> float:
    """BLEU, in percent, of the published predictions as they were scored: printed lists of words for text."""
    topics = [str(topic.split()) for topic in labelled.predictions[PUBLISHED]]
    references = [[str(example.references[0].split())] for example in labelled.examples]
    return float(100 * bleu(bleu_statistics(topics, references).sum(axis=0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY.parent / "shared/data", help="folder with topics.parquet"
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="folder for metrics.json, predictions.parquet, evaluation.html"
    )
    args = parser.parse_args()
    labelled, systems, comparison = quality(args.data)
    kind = f"{len(labelled.examples)} rows, percent, 95 % bootstrap intervals"
    sys.stdout.write(f"{kind}\n\n{markdown_table(comparison.summary, README_METRICS)}\n\n")
    sys.stdout.write(f"{markdown_table(comparison.summary)}\n\n")
    sys.stdout.write("\n".join(difference_lines(comparison.summary, "rouge1")) + "\n")
    wrong = bleu_of_printed_lists(labelled)
    sys.stdout.write(f"\nBLEU of the published predictions, when printed lists of words are scored: {wrong:.1f}\n")
    if args.output:
        args.output.mkdir(parents=True, exist_ok=True)
        write_folder(args.output, comparison, systems, labelled.examples)


if __name__ == "__main__":
    main()
