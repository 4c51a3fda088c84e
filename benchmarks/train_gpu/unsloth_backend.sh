#!/usr/bin/env bash
# Trains through the command line with --backend unsloth on a machine with a GPU, and prints one line "RESULT {...}".
#
#     bash benchmarks/train_gpu/unsloth_backend.sh WORK CARRY [STEPS]
#
# CARRY holds arxiv.jsonl.xz and tokenizer.model, as for run.sh; a small random Llama is made in WORK. The runs: Unsloth on
# the NF4 base; once more after its last checkpoint is taken away, which goes on from the one before; topicgen's own loop
# with the same settings, whose losses should be close, since it is the same data and loss; Unsloth on the bf16 base;
# topics written by Unsloth's model folder. No run may touch the current folder.
set -u
mkdir -p "$1/log" "$1/here"
work=$(cd "$1" && pwd) carry=$(cd "$2" && pwd) steps=${3:-20}
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONUNBUFFERED=1 PYTHONPATH="$here/../../src:${PYTHONPATH:-}"
cd "$work/here" || exit 1
run() { # name of the log, command
  timeout -s KILL "${LIMIT:-300}" "${@:2}" >"$work/log/$1" 2>&1 || {
    echo "== $1: exit $?"
    grep -v '^$' "$work/log/$1" | tail -"${TAIL:-25}" | cut -c1-400
  }
}
test -d "$work/nf4" || run base python3 "$here/base_model.py" --size small --out "$work" --tokenizer "$carry/tokenizer.model"
python3 - "$carry/arxiv.jsonl.xz" "$work" <<'PYTHON'
import itertools, json, lzma, pathlib, sys
work = pathlib.Path(sys.argv[2])
with lzma.open(sys.argv[1], "rt", encoding="utf-8") as lines:
    rows = list(itertools.islice(lines, 3000))
(work / "labelled.jsonl").write_text("".join(rows))
(work / "texts.jsonl").write_text("".join(json.dumps({"text": json.loads(row)["text"]}) + "\n" for row in rows[:10]))
PYTHON
train() { # name, base, steps, further options
  run "$1" python3 -m topicgen train "$work/labelled.jsonl" --base "$work/$2" --output-dir "$work/$1" --max-steps "$3" \
    --eval-steps $((steps / 2)) --learning-rate 1e-3 --max-length 1024 "${@:4}"
}
train unsloth nf4 "$steps" --backend unsloth
cp "$work/unsloth/training.json" "$work/first.json"
mv "$work/unsloth/checkpoints/checkpoint-$steps" "$work/taken-away"
train unsloth nf4 "$steps" --backend unsloth --force
grep -h "goes on after" "$work/log/unsloth" || echo "== unsloth: did not go on from its checkpoint"
train topicgen nf4 "$steps" --precision nf4
train unsloth-bf16 bf16 4 --backend unsloth
run generate python3 -m topicgen generate "$work/texts.jsonl" --model "$work/unsloth" --engine hf -o "$work/topics.jsonl" --force
python3 - "$work" <<'PYTHON'
import json, pathlib, sys
work = pathlib.Path(sys.argv[1])

def of(name):
    told = json.loads((work / name).read_text())
    held = [round(row["validation_loss"], 4) for row in told["history"] if "validation_loss" in row]
    losses = [round(row["loss"], 4) for row in told["history"]]
    return {"losses": losses, "validation": held, "samples_s": round(told["speed"]["samples_per_second"], 1),
            "peak_gb": round(told["peak_memory_bytes"] / 2**30, 2)}

names = {"unsloth": "first.json", "resumed": "unsloth/training.json", "topicgen": "topicgen/training.json",
         "unsloth-bf16": "unsloth-bf16/training.json"}
result = {name: of(file) for name, file in names.items() if (work / file).exists()}
topics = work / "topics.jsonl"
result["topics"] = len(topics.read_text().splitlines()) if topics.exists() else 0
result["left_here"] = sorted(path.name for path in (work / "here").iterdir())
if (work / "first.json").exists():
    result["versions"] = json.loads((work / "first.json").read_text())["versions"]
print("RESULT " + json.dumps(result), flush=True)
PYTHON
