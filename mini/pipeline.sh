#!/usr/bin/env bash
# All of mini on one GPU: pre-training, written topics, labels, cross-validation.
#
#     bash mini/pipeline.sh WORK CORPUS TOKENIZER labels.jsonl     # SECONDS_OF_TRAINING: of the pre-training
#
# Each step's log lies in WORK; the model comes out in WORK/mini. TOPICS are the tables of the cool-down, TOPIC_SHARE their
# share of it, PRETRAINING further options of pretrain.py, BEFORE a model to compare with on general texts.
set -eu
work=$1 corpus=$2 tokenizer=$3 labels=$4
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONUNBUFFERED=1 PYTHONPATH="$here/../src:${PYTHONPATH:-}"
written=${WRITTEN:-$here/topics.tsv $here/general_topics.tsv}
mkdir -p "$work"
step() { # name, command
  "${@:2}" >"$work/$1.log" 2>&1 || { tail -5 "$work/$1.log"; return 1; }
  echo "$1: $SECONDS s; $(grep -hE 'RESULT|title_loss' "$work/$1.log" | tail -1 | cut -c1-900)"
}
adapt() { python3 "$here/adapt.py" --corpus "$corpus" --written $written "$@"; }
step base python3 "$here/pretrain.py" --corpus "$corpus" --tokenizer "$tokenizer" --topics ${TOPICS:-$written} --topic-share "${TOPIC_SHARE:-0.25}" \
  --seconds "${SECONDS_OF_TRAINING:-240}" --lr 5e-3 --embedding-lr 4e-3 ${PRETRAINING:-} --out "$work/base"
step writer adapt --base "$work/base" --out "$work/writer" --folds 0 --epochs 1 --batch-rows 64 --soup 1 --rehearsal 0.8
for seed in 0 1 2; do
  step "fold-$seed" adapt --base "$work/writer" --labels "$labels" --soup 1 --seed "$seed" --as-shipped \
    --rehearsal 1 --predictions "$work/fold-$seed.json" &
done
step mini adapt --base "$work/writer" --labels "$labels" --folds 0 --rehearsal 1 --soup 3 --out "$work/mini" &
wait
cp "$here/../src/topicgen/assets/mini/prompt.json" "$work/mini"
step general python3 "$here/general.py" --corpus "$corpus" ${BEFORE:-} "$work/mini"
cat "$work/general.log"
