#!/usr/bin/env bash
# topicgen train from the command line to topics on a GPU: killed and resumed, merged, in NF4 and FP8, by two processes.
#
#     bash benchmarks/train_gpu/checks.sh WORK CARRY [BASE] ["tests train kill generate nf4 fp8 torchrun"]
#
# BASE is a trained model in bf16, by default the embedded one; CARRY holds labels.jsonl with "text" and "topic". A part
# takes what those before it left in WORK, and trains what is missing. Each process has its own time limit (LIMIT) and
# prints one line RESULT {...}; a failed one shows the end of its log, and the others go on. Logs are in WORK/log.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1/log"
work=$(realpath "$1") carry=$(realpath "$2") base=$(realpath "${3:-$root/src/topicgen/assets/mini}")
parts=${4:-tests train kill generate nf4 fp8 torchrun}
python=${PYTHON:-python3} precision=${PRECISION:-bf16} steps=${STEPS:-60} limit=${LIMIT:-150}
export PYTHONUNBUFFERED=1 PYTHONPATH="$root/src:${PYTHONPATH:-}" HF_HUB_OFFLINE=1
labels=$carry/labels.jsonl texts=$work/texts.jsonl
head -100 "$labels" >"$texts"

one() { # name, seconds, command
  local began=$SECONDS code=0
  # SIGTERM first: torchrun's workers are no children of this group, and would keep the GPUs busy for ever.
  timeout -k 40 "$2" "${@:3}" >"$work/log/$1" 2>&1 || code=$?
  grep -h '^RESULT' "$work/log/$1" || echo "RESULT {\"name\": \"$1\", \"exit\": $code, \"seconds\": $((SECONDS - began))}"
  test "$code" = 0 || { echo "== $1: exit $code"; grep -v '^$' "$work/log/$1" | tail -12 | cut -c1-300; }
  return $code
}
settings() { # base, output, examples of a device: the options of every run
  echo train "$labels" --base "$1" --output-dir "$work/$2" --max-steps "$steps" --per-device-train-batch-size "$3" \
    --gradient-accumulation-steps 1 --learning-rate 1e-3 --max-length 1024 --validation-fraction 0.1 --eval-steps 20 \
    --save-steps 5 --shown-topics 8
}
trained() { # name, base, further options: a run of one process, unless it is there
  test -f "$work/$1/adapter_model.safetensors" || one "$1" "$limit" $python -m topicgen $(settings "$2" "$1" 16) "${@:3}"
}
topics() { # name, model, engine, further options
  one "topics-$1" "$limit" $python -m topicgen generate "$texts" --text-column text --model "$2" --engine "$3" \
    -o "$work/$1.jsonl" --force "${@:4}"
}
alike() { one "alike-$1" 60 $python "$here/alike.py" "${@:2}"; }

tests() {
  $python -c "import pytest" 2>/dev/null || { echo "tests: skipped, no pytest"; return; }
  PYTHONPATH="$root/tests:$root/tests/training:$PYTHONPATH" one tests 400 $python -m pytest --noconftest -c /dev/null \
    --rootdir "$root/tests" -p no:cacheprovider -v -rs "$root/tests/training/test_gpu.py"
  grep -E "passed|failed|skipped|PASSED|FAILED|^E  " "$work/log/tests" | cut -c1-200
}
train() {
  trained whole "$base" --precision "$precision" --merge "$work/whole-merged"
  grep -hE "fits into|validation|step $steps" "$work/log/whole" | tail -12 | cut -c1-200
  trained again "$base" --precision "$precision" && alike again runs "$work/again" "$work/whole"
}
kill_and_resume() {
  trained whole "$base" --precision "$precision" --merge "$work/whole-merged"
  rm -rf "$work/resumed"
  local middle code step
  middle=$(printf "%s/resumed/checkpoints/checkpoint-%06d" "$work" $((steps / 10 * 5)))
  $python -m topicgen $(settings "$base" resumed 16) --precision "$precision" >"$work/log/killed" 2>&1 &
  local pid=$!
  for _ in $(seq $((limit * 20))); do
    if test -d "$middle" || ! kill -0 $pid 2>/dev/null; then break; fi
    sleep 0.05
  done
  kill -KILL $pid 2>/dev/null
  wait $pid 2>/dev/null
  code=$?
  step=$(ls "$work/resumed/checkpoints" 2>/dev/null | tail -1)
  echo "RESULT {\"name\": \"killed\", \"exit\": $code, \"expected\": 137, \"newest\": \"$step\"}"
  trained resumed "$base" --precision "$precision" && alike resumed runs "$work/resumed" "$work/whole"
  grep -h "goes on after" "$work/log/resumed" || echo "== resumed: did not go on"
}
generate() {
  trained whole "$base" --precision "$precision" --merge "$work/whole-merged"
  topics adapter-hf "$work/whole" hf
  topics merged-hf "$work/whole-merged" hf
  CUDA_VISIBLE_DEVICES='' topics adapter-hf-cpu "$work/whole" hf
  topics adapter-ct2 "$work/whole" ct2 --precision float32
  topics merged-ct2 "$work/whole-merged" ct2 --precision float32
  topics adapter-ct2-int8 "$work/whole" ct2
  topics base-hf "$base" hf
  alike topics topics "$labels" "$work"/{adapter,merged}-hf.jsonl "$work"/adapter-hf-cpu.jsonl \
    "$work"/{adapter,merged}-ct2.jsonl "$work"/adapter-ct2-int8.jsonl "$work"/base-hf.jsonl
}
nf4() {
  test -d "$work/base-nf4" || one base-nf4 100 $python -c "
import sys; sys.path.insert(0, '$here')
from pathlib import Path; from shutil import copy; from base_model import save_nf4
base, made = Path('$base'), Path('$work/base-nf4')
save_nf4(base, made)
[copy(base / name, made) for name in ('tokenizer.json', 'tokenizer_config.json', 'prompt.json') if (base / name).exists()]"
  trained on-nf4 "$work/base-nf4" --precision nf4 --merge "$work/on-nf4-merged"
  grep -hE "fits into|validation" "$work/log/on-nf4" | tail -6 | cut -c1-200
  topics nf4-adapter-hf "$work/on-nf4" hf
  topics nf4-merged-hf "$work/on-nf4-merged" hf
  alike nf4-topics topics "$labels" "$work"/nf4-{adapter,merged}-hf.jsonl "$work"/adapter-hf.jsonl
  trained small "$base" --precision nf4 --recompute --pack-tokens 2048
  trained small-again "$base" --precision nf4
  alike nf4-recomputed runs "$work/small" "$work/small-again"
}
fp8() {
  trained whole "$base" --precision "$precision" --merge "$work/whole-merged"
  trained on-fp8 "$base" --precision "${FP8:-fp8}" --merge "$work/on-fp8-merged" && alike fp8 runs "$work/on-fp8" "$work/whole"
  topics fp8-adapter-hf "$work/on-fp8" hf
  alike fp8-topics topics "$labels" "$work"/fp8-adapter-hf.jsonl "$work"/adapter-hf.jsonl
}
torchrun() {
  local gpus
  gpus=$($python -c "import torch; print(torch.cuda.device_count())")
  test "$gpus" -ge 2 || test -n "${TWO:-}" || { echo "torchrun: skipped, $gpus GPU"; return; }
  trained whole "$base" --precision "$precision" --merge "$work/whole-merged"
  rm -rf "$work/together"
  one together "$limit" $python -m torch.distributed.run --standalone --nproc-per-node 2 -m topicgen \
    $(settings "$base" together 8) --precision "$precision" && alike together runs "$work/together" "$work/whole"
  rm -rf "$work/shared"
  one shared "$limit" $python -m torch.distributed.run --standalone --nproc-per-node 2 -m topicgen \
    $(settings "$base" shared 8) --precision "$precision" --fsdp && alike shared runs "$work/shared" "$work/together"
}
for part in $parts; do
  echo "-- $part"
  case $part in kill) kill_and_resume ;; tests | train | generate | nf4 | fp8 | torchrun) $part ;; *) echo "no part $part" ;; esac
done
