"""Two runs of training, or files of topics, in; how alike they are out, as one line "RESULT {...}".

python alike.py runs FOLDER FOLDER            # adapters, losses
python alike.py topics LABELS FILE FILE ...   # equal topics of each pair; ROUGE-1 of each file to the labels
"""

import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from topicgen.metrics import rouge_n


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def compare_runs(first: Path, second: Path) -> dict[str, Any]:
    one, other = (load_file(folder / "adapter_model.safetensors") for folder in (first, second))
    apart = {name: ((one[name] - other[name]).norm() / other[name].norm().clamp(min=1e-30)).item() for name in other}
    largest = max(apart, key=lambda name: apart[name])
    histories = [json.loads((folder / "training.json").read_text())["history"] for folder in (first, second)]
    losses: dict[str, float] = {}
    for name in ("loss", "validation_loss", "gradient"):
        pairs = [(a[name], b[name]) for a, b in zip(*histories, strict=True) if name in b]
        losses[name] = max((abs(a - b) for a, b in pairs), default=0.0)
    return {
        "compared": f"{first.name} with {second.name}",
        "equal": one.keys() == other.keys() and all(one[name].equal(other[name]) for name in other),
        "largest_relative": apart[largest],
        "mean_relative": sum(apart.values()) / len(apart),
        "where": largest,
        "steps": len(histories[0]),
        "largest_differences": losses,
        "first_loss": histories[1][0]["loss"],
        "last_loss": histories[1][-1]["loss"],
        "validation": [round(row["validation_loss"], 4) for row in histories[1] if "validation_loss" in row],
    }


def compare_topics(labels: Path, files: list[Path]) -> dict[str, Any]:
    topics = {path.stem: [row["topic"] for row in read_lines(path)] for path in files if path.is_file()}
    references = [row["topic"] for row in read_lines(labels)]
    equal: dict[str, float] = {}
    for one, other in combinations(topics, 2):
        same = [a == b for a, b in zip(topics[one], topics[other], strict=False)]  # a run may have been cut off
        equal[f"{one} = {other}"] = round(sum(same) / max(1, len(same)), 3)
    scores = {
        name: round(
            sum(rouge_n(t or "", r, 1) for t, r in zip(found, references, strict=False)) / max(1, len(found)), 4
        )
        for name, found in topics.items()
    }
    return {
        "compared": "topics",
        "texts": {name: len(found) for name, found in topics.items()},
        "missing": [path.stem for path in files if not path.is_file()],
        "equal": equal,
        "rouge1": scores,
        "sample": {name: found[:2] for name, found in topics.items()},
    }


def main() -> None:
    kind, first, *others = sys.argv[1:]
    paths = [Path(path) for path in others]
    told = compare_runs(Path(first), paths[0]) if kind == "runs" else compare_topics(Path(first), paths)
    print("RESULT " + json.dumps(told, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
