#!/usr/bin/env bash
# All of the next version on one GPU: pre-training, written topics, relabelling, pre-training again, labels, cross-validation.
#
#     bash mini/pipeline.sh WORK CORPUS TOKENIZER labels.jsonl     # FIRST and SECOND: seconds of the two pre-trainings
#
# Each step's log lies in WORK; the model comes out in WORK/mini.
set -eu
work=$1 corpus=$2 tokenizer=$3 labels=$4
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONUNBUFFERED=1 PYTHONPATH="$here/../src:${PYTHONPATH:-}"
mkdir -p "$work"
step() { # name, command
  "${@:2}" >"$work/$1.log" 2>&1 || { tail -5 "$work/$1.log"; return 1; }
  echo "$1: $SECONDS s; $(grep -hE 'RESULT|title_loss|kept' "$work/$1.log" | tail -1 | cut -c1-900)"
}
pretrain() { python3 "$here/pretrain.py" --corpus "$corpus" --tokenizer "$tokenizer" "$@"; }
adapt() { python3 "$here/adapt.py" --corpus "$corpus" "$@"; }
write() { # base, out: fitted to the written topics
  adapt --base "$1" --out "$2" --written "$here/topics.tsv" "$here/general_topics.tsv" --folds 0 --epochs 3 --lr 5e-4 \
    --batch-rows 64 --soup 1 --rehearsal 0.3
}
step first pretrain --seconds "${FIRST:-480}" --lr 5e-3 --embedding-lr 4e-3 --out "$work/base"
step writer write "$work/base" "$work/writer"
step relabel python3 "$here/relabel.py" --model "$work/writer" --corpus "$corpus" --out "$work/topics.tsv"
step second pretrain --seconds "${SECOND:-300}" --init "$work/base" --topics "$work/topics.tsv" --forms topic \
  --text-weight 0.25 --lr 2.5e-3 --embedding-lr 2e-3 --out "$work/base2"
step writer2 write "$work/base2" "$work/writer2"
for seed in 0 1 2; do
  step "fold-$seed" adapt --base "$work/writer2" --labels "$labels" --soup 1 --seed "$seed" --as-shipped \
    --predictions "$work/fold-$seed.json" &
done
step mini adapt --base "$work/writer2" --labels "$labels" --folds 0 --soup 3 --out "$work/mini" &
wait
