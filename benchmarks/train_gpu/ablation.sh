#!/usr/bin/env bash
# What each measure of the fast path gives: the default row in NF4, then the same with one thing taken away or changed.
#
#     RANDOM_BASE=FOLDER bash benchmarks/train_gpu/ablation.sh WORK CARRY [STEPS]
#
# As run.sh, which it calls: one table, each row in a process of its own, samples/s divided by those of the whole (row nf4).
# ROWS takes other rows. "without=dense" is to be read beside "recompute=true", which it needs.
set -u
work=$1/ablation carry=$2 steps=${3:-5}
here=$(cd "$(dirname "$0")" && pwd)
rows="nf4 nf4:without=prefix nf4:without=kept nf4:compile=false nf4:recompute=true nf4:recompute=true,without=dense"
rows="$rows nf4:pack_tokens=2048 bf16 fp8"
rm -rf "$work"
UNIT=nf4 LIMIT=${LIMIT:-110} bash "$here/run.sh" "$work" "$carry" "$steps" "${ROWS:-$rows}" ""
