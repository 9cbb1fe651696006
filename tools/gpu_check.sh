#!/usr/bin/env bash
# Everything there is to see on a GPU machine, in one go of under ten minutes, from programs that were built elsewhere.
#
# On the machine that builds, with a toolkit of its own or that of tools/cuda/setup.sh:
#   tools/gpu_check.sh pack FOLDER     builds the program and its tests, and puts them with what they read into FOLDER
# On the GPU machine, in FOLDER; nothing is built there:
#   ./gpu_check.sh                     tests, timings, a short training
#
# CUDA_LIBRARIES   folders of the CUDA libraries, colon separated; otherwise those of the nvidia wheels that python3 knows
# TORCH_PEER       benches/torch_peer.py, or another peer that takes the same arguments; left out where python3 has no torch
# OUT              where the logs go; ./gpu_check.out otherwise
set -uo pipefail

TESTS=(kernels golden gradients intervals properties methods)

pack() {
  local to=$1 name found
  mkdir -p "$to/tests" || return
  cargo build --release --features cuda || return
  cp "${CARGO_TARGET_DIR:-target}/release/workbench" "$to/" || return
  for name in "${TESTS[@]}"; do
    found=$(cargo test --release --features cuda --no-run --test "$name" --message-format=json 2>/dev/null |
      grep -o '"executable":"[^"]*"' | tail -1 | cut -d'"' -f4)
    [ -n "$found" ] || { echo "the test $name does not build" >&2; return 1; }
    cp "$found" "$to/tests/$name" || return
  done
  rm -rf "$to/sources" && mkdir "$to/sources" && cp -r scripts tests benches "$to/sources/" || return
  cp "$0" "$to/gpu_check.sh"
}

if [ "${1:-}" = pack ]; then
  pack "${2:?a folder to pack into}"
  exit
fi

cd "$(dirname "$0")" || exit
OUT=${OUT:-$PWD/gpu_check.out}
mkdir -p "$OUT"
failed=0

# Runs a command of at most so many seconds, its output in a log of that name.
step() {
  local name=$1 seconds=$2
  shift 2
  local began=$SECONDS
  if timeout "$seconds" "$@" >"$OUT/$name.log" 2>&1; then
    echo "ok      $name ($((SECONDS - began)) s)"
  else
    echo "FAILED  $name (exit code $?, $((SECONDS - began)) s), the end of $OUT/$name.log:"
    tail -n 15 "$OUT/$name.log"
    failed=1
  fi
}

if [ -z "${CUDA_LIBRARIES:-}" ]; then
  wheels=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null)
  CUDA_LIBRARIES=$wheels/cu13/lib:$wheels/cudnn/lib:$wheels/nccl/lib
fi
export LD_LIBRARY_PATH=$CUDA_LIBRARIES${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} CUDA_LAZY_PATH=$CUDA_LIBRARIES

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || {
  echo "no GPU here" >&2
  exit 1
}

# The tests look for their files beside the sources that they were built from.
export WORKBENCH_TEST_DEVICE=cuda WORKBENCH_TEST_FOLDER=$PWD/sources RUST_BACKTRACE=1
for name in "${TESTS[@]}"; do
  step "test_$name" 90 "tests/$name" --test-threads 4
done

step training 90 ./workbench run sources/scripts/quickstart.rhai --device cuda
step timings 120 ./workbench run sources/benches/gpu_step.rhai --device cuda
grep "ms a step" "$OUT/timings.log"

peer=${TORCH_PEER:-sources/benches/torch_peer.py}
if python3 -c 'import torch' 2>/dev/null; then
  step peer 120 python3 "$peer" --what step --net cifar10_6c2f --batch 256 --style tuned --device cuda
  tail -n 1 "$OUT/peer.log"
else
  echo "left out: the peer, python3 has no torch"
fi
exit "$failed"
