#!/usr/bin/env bash
# Runs rows of the benchmark of fine-tuning on a machine with a GPU and prints one table.
#
#     bash benchmarks/train_gpu/run.sh WORK CARRY STEPS "nf4 bf16 fp8 16gb" "trl unsloth unsloth-best"
#
# A row of ours may carry settings: nf4:pack_tokens=4096. LIMIT is the time of a row in seconds, UNIT the row that the others are divided by; with RANDOM_BASE=FOLDER, which
# needs config and tokenizer only, ours makes random weights in memory. CARRY holds arxiv.jsonl.xz and tokenizer.model; the random base is made in WORK. Each row has its own time limit.
set -u
work=$1 carry=$2 steps=$3 ours=$4 peers=$5
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONUNBUFFERED=1 PYTHONPATH="$here/../../src:${PYTHONPATH:-}" PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
mkdir -p "$work/log"
test -d "$work/nf4" || test -n "${RANDOM_BASE:-}" || python3 "$here/base_model.py" --out "$work" --tokenizer "$carry/tokenizer.model" >"$work/log/base" 2>&1 \
  || tail -5 "$work/log/base"
if test -n "${RANDOM_BASE:-}"; then extra=--random; else extra=; fi
one() { # name, seconds, command
  timeout -s KILL "$2" "${@:3}" >"$work/log/$1" 2>&1 || { echo "== $1: exit $?"; grep -v '^$' "$work/log/$1" | tail -"${TAIL:-15}" | cut -c1-300; }
  grep -h '^RESULT' "$work/log/$1" >>"$work/results.jsonl"
}
for row in $ours; do
  changes=${row#*:}; test "$changes" = "$row" && changes=
  one "ours-$row" "${LIMIT:-150}" python3 "$here/ours.py" "${row%%:*}" ${changes//,/ } --base "${RANDOM_BASE:-$work/nf4}" $extra \
    --data "$carry/arxiv.jsonl.xz" --steps "$steps" --warm-up 4
done
for row in $peers; do
  one "$row" "${LIMIT:-150}" python3 "$here/peers.py" "$row" --base "$work/nf4" --data "$carry/arxiv.jsonl.xz" --steps "$steps" --warm-up 3
done
for log in "$work"/log/ours-*; do echo "-- ${log##*/}"; grep -E "^step|^loaded|^Plan" "$log" | cut -c1-150 | tail -4; done
python3 "$here/table.py" "$work/results.jsonl" "${UNIT:-unsloth-best}"
