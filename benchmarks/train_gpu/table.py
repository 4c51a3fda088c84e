"""Lines "RESULT {...}" of the benchmark of fine-tuning in, one table out.

    python table.py results.jsonl [ROW]    # ROW is what the others are divided by: unsloth-best

The floor is that of the plain computation in bfloat16: 4 x 7.0 billion multiplications and additions a token of the
frozen matrices, at the 790 TFLOP/s that a large product reaches on an H100 or H200.
"""

import json
import sys
from pathlib import Path

MATRICES = 6.98e9  # weights of the layers of the shape of Llama 3 8B
PEAK = 790e12


def main() -> None:
    rows = [json.loads(line.removeprefix("RESULT ")) for line in Path(sys.argv[1]).read_text().splitlines()]
    if not rows:
        raise SystemExit("no result")
    unit = sys.argv[2] if len(sys.argv) > 2 else "unsloth-best"
    best = next((row["samples_s"] for row in rows if row["name"] == unit), None)
    columns = ["system", "samples/s", "tokens/s", "share of the floor", "peak GB", "loss, first and last", f"x {unit}"]
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        floor = PEAK / (4 * MATRICES * row["tokens_per_sample"])
        ratio = f"{row['samples_s'] / best:.2f}" if best else ""
        print(
            f"| {row['name']} | {row['samples_s']} | {row['tokens_s']:,} | {100 * row['samples_s'] / floor:.0f} % |"
            f" {row['peak_gb']} | {row['losses'][0]:.2f}, {row['losses'][-1]:.2f} | {ratio} |"
        )


if __name__ == "__main__":
    main()
