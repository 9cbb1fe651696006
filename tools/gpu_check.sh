#!/usr/bin/env bash
# What there is to see on a GPU machine, in stages, from programs that were built elsewhere.
#
# On the machine that builds, with a toolkit of its own or that of tools/cuda/setup.sh:
#   tools/gpu_check.sh pack FOLDER     builds the program and its tests; FOLDER gets this script and one compressed file
# On the GPU machine, in FOLDER; nothing is built there:
#   ./gpu_check.sh                     check and timings
#   ./gpu_check.sh STAGE ...           of these:
#
#   check      the tests that have tensors on the GPU, and the quickstart
#   timings    milliseconds of a Local-Lip-B step and of certification, by network, precision and setting
#   compare    the same beside PyTorch (gpu_compare.py), COMPARE_SECONDS at most, COMPARE its arguments
#   profile    time and memory traffic of a step by kernel, where there is Nsight Compute (ncu)
#   train      MNIST 4C3F and CIFAR-10 6C2F by their scripts, from DATA; MNIST_EPOCHS and CIFAR_EPOCHS
#
# CUDA_LIBRARIES   folders of the CUDA libraries, colon separated; otherwise those of the nvidia wheels that python3 knows
# OUT              where the logs go; ./gpu_check.out otherwise
set -uo pipefail

TESTS=(kernels golden gradients intervals properties)

pack() {
  local to=$1 work name found
  work=$(mktemp -d) && mkdir -p "$to" "$work/tests" || return
  cargo build --release --features cuda || return
  strip -o "$work/workbench" "${CARGO_TARGET_DIR:-target}/release/workbench" || return
  for name in "${TESTS[@]}"; do
    found=$(cargo test --release --features cuda --no-run --test "$name" --message-format=json 2>/dev/null |
      grep -o "\"executable\":\"[^\"]*/deps/$name-[^\"]*\"" | tail -1 | cut -d'"' -f4)
    [ -n "$found" ] || { echo "the test $name does not build" >&2; return 1; }
    strip -o "$work/tests/$name" "$found" || return
  done
  mkdir "$work/sources" && cp -r scripts tests benches tools "$work/sources/" || return
  # The programs are nearly the same: with a dictionary larger than one of them, seven take the room of two.
  tar -C "$work" -cf - . | xz -T1 --lzma2=preset=3,dict=400MiB >"$to/packed.tar.xz" || return
  rm -rf "$work"
  cp "$0" "$to/gpu_check.sh"
}

if [ "${1:-}" = pack ]; then
  pack "${2:?a folder to pack into}"
  exit
fi

cd "$(dirname "$0")" || exit
OUT=${OUT:-$PWD/gpu_check.out}
mkdir -p "$OUT"
[ -x workbench ] || python3 -c 'import tarfile; tarfile.open("packed.tar.xz").extractall(".")' || exit
failed=0

# Runs a command of at most so many seconds, its output in a log of that name.
step() {
  local name=$1 seconds=$2 code began=$SECONDS
  shift 2
  timeout "$seconds" "$@" >"$OUT/$name.log" 2>&1 && { echo "ok      $name ($((SECONDS - began)) s)"; return; }
  code=$?
  echo "FAILED  $name (exit code $code, $((SECONDS - began)) s), the end of $OUT/$name.log:"
  tail -n 15 "$OUT/$name.log"
  failed=1
  return 1
}

if [ -z "${CUDA_LIBRARIES:-}" ]; then
  wheels=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null)
  CUDA_LIBRARIES=$wheels/cu13/lib:$wheels/cudnn/lib:$wheels/nccl/lib
fi
export LD_LIBRARY_PATH=$CUDA_LIBRARIES${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} CUDA_LAZY_PATH=$CUDA_LIBRARIES
export RUST_BACKTRACE=1

nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem --format=csv,noheader || {
  echo "no GPU here" >&2
  exit 1
}

# All at once: none of them fills the GPU. The tests look for their files beside the sources that they were built from.
check() {
  local name jobs=()
  for name in "${TESTS[@]}"; do
    (WORKBENCH_TEST_DEVICE=cuda WORKBENCH_TEST_FOLDER=$PWD/sources step "test_$name" "${CHECK_SECONDS:-300}" "tests/$name" --test-threads 1) &
    jobs+=($!)
  done
  (step quickstart "${CHECK_SECONDS:-300}" ./workbench run sources/scripts/quickstart.rhai --device cuda) &
  jobs+=($!)
  for job in "${jobs[@]}"; do wait "$job" || failed=1; done
}

# One line of gpu_step.rhai for each precision: NAME [VARIABLE=VALUE ...] -- SETTING=VALUE ...
timed() {
  local name=$1 variables=() settings=()
  shift
  while [ "$1" != -- ]; do variables+=("$1"); shift; done
  shift
  for setting in "$@"; do settings+=(--set "$setting"); done
  step "time_$name" 90 env "${variables[@]}" "${WORKBENCH:-./workbench}" run sources/benches/gpu_step.rhai --device cuda \
    ${DATA:+--data-dir "$DATA"} "${settings[@]}" && grep -E " ms a (step|batch)" "$OUT/time_$name.log" | sed "s/^/        /"
}

timings() {
  timed 6c2f -- steps=200 precisions="f32 tf32 bf16"
  timed 6c2f_planes WORKBENCH_CUDA_ORDER=planes -- steps=200 precisions=tf32
  timed 6c2f_measured WORKBENCH_CUDNN=measured -- steps=200 precisions="f32 tf32"
  timed 6c2f_small -- batch=8 steps=200 precisions=tf32
  timed 6c2f_maxmin -- net=cifar10_6c2f_maxmin steps=100
  timed mnist_4c3f -- net=mnist_4c3f steps=300
  timed tiny_8c2f -- net=tiny_8c2f batch=128 steps=30 count=10000
  timed certify -- what=certify steps=3 warm=1
  if [ -n "${DATA:-}" ]; then
    [ -d "$DATA/mnist" ] && timed mnist_data -- net=mnist_4c3f data=mnist steps=1000 precisions=tf32 vectors=f32
    [ -d "$DATA/cifar10" ] && timed cifar10_data -- data=cifar10 steps=1000
  fi
}

compare() {
  step compare $((${COMPARE_SECONDS:-240} + 30)) python3 sources/benches/gpu_compare.py --workbench ./workbench \
    --seconds "${COMPARE_SECONDS:-240}" --out "$OUT/compare.json" ${COMPARE:-}
  cat "$OUT/compare.log"
}

profile() {
  command -v ncu >/dev/null || { echo "left out: the profile, ncu is not here"; return; }
  for precision in ${PROFILE:-tf32 f32}; do
    step "profile_$precision" 90 ncu --clock-control none --print-units base --csv --log-file "$OUT/profile_$precision.csv" \
      --metrics gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum --launch-skip 3000 --launch-count 1500 \
      ./workbench run sources/benches/gpu_step.rhai --device cuda --set steps=12 --set warm=2 --set precisions="$precision" &&
      python3 sources/tools/gpu_profile.py "$OUT/profile_$precision.csv"
  done
}

train() {
  : "${DATA:?the folder of the data}"
  [ -d "$DATA/mnist" ] && step train_mnist 600 ./workbench run sources/scripts/mnist_4c3f.rhai --device cuda --data-dir "$DATA" \
    --without-vectors --into "$OUT/mnist" --set epochs="${MNIST_EPOCHS:-300}"
  [ -d "$DATA/cifar10" ] && step train_cifar10 600 ./workbench run sources/scripts/cifar10_6c2f.rhai --device cuda \
    --data-dir "$DATA" --without-vectors --into "$OUT/cifar10" --set epochs="${CIFAR_EPOCHS:-20}"
  tail -n 12 "$OUT"/train_*.log
}

[ $# -gt 0 ] || set -- check timings
for stage in "$@"; do
  case $stage in
    check | timings | compare | profile | train)
      began=$SECONDS
      "$stage"
      echo "-- $stage: $((SECONDS - began)) s"
      ;;
    *) echo "no stage $stage; there are: check timings compare profile train" >&2; exit 2 ;;
  esac
done
exit "$failed"
