#!/usr/bin/env bash
# What there is to see on a GPU machine, in stages, from programs that were built elsewhere.
#
# On the machine that builds, with a toolkit of its own or that of tools/cuda/setup.sh:
#   tools/gpu_check.sh pack FOLDER [OTHER]   builds the program and its tests; FOLDER gets this script and one compressed file.
#                                            OTHER is a second program, for `ab`; data go to FOLDER/data and FOLDER/parcels
#   tools/gpu_check.sh rows --plan           which trainings are to come, and how long they take
# On the GPU machine, in FOLDER; nothing is built there:
#   ./gpu_check.sh                           check and timings
#   ./gpu_check.sh STAGE ...                 of these, `rows` last:
#
#   check      the tests that have tensors on the GPU, and the quickstart
#   timings    milliseconds of a Local-Lip-B step and of certification, by network, precision and setting
#   compare    the same beside PyTorch (gpu_compare.py), COMPARE_SECONDS at most, COMPARE its arguments
#   slot       a measuring slot: compare, ab, halves, graphs, plain, capture, profile, convs, fused in turn, each where its time is left
#   convs      every convolution alone, by cuDNN through PyTorch (gpu_convs.py)
#   ab         two programs in turn, A B A B: what a change is worth; two A that differ are the noise
#   graphs     a CUDA graph of the step beside the same steps one by one, on MNIST
#   halves     power iterations of f16 beside those of TF32, A B A B
#   plain      standard training and GloRo with activations channels last beside planes, A B A B
#   profile    time and memory traffic of a step by kernel and grid, where there is Nsight Compute (ncu); NETS, PROFILE precisions
#   capture    which of a step's calls a CUDA graph takes, and what a replay costs
#   fused      a convolution with its mask and its sum of squares in one plan of cuDNN, beside three
#   ranks      one training on several GPUs: its bits, its step by their number
#   data       takes FOLDER/data and FOLDER/parcels to KEEP, which outlasts the command; CIFAR-10 unpacked when all parcels are there
#   rows NAME ...   trainings for rows of Table 2 (tools/rows), within SLOT_SECONDS; no name: go on, then the next ones. One that is
#              too long is left running for the next command; SLOT_DETACH=0: stopped with a checkpoint, and gone on with bit for bit.
#              `python3 tools/rows home OUT` at home does the rest
#
# CUDA_LIBRARIES   folders of the CUDA libraries, colon separated; otherwise those of the nvidia wheels that python3 knows
# OUT              what comes home, eight files at most: logs.tar.gz, engines, rows; ./gpu_check.out otherwise
# SLOT_SECONDS     of this command; otherwise 570, or what is left of SLOT_TOTAL (780), counted from the first command
# KEEP             where data and trainings lie between two commands; workbench-keep in TMPDIR otherwise
set -uo pipefail

TESTS=(kernels golden gradients intervals properties capture step_graph)

pack() {
  local to=$1 other=${2:-} work name found
  work=$(mktemp -d) && mkdir -p "$to" "$work/tests" || return
  cargo build --release --features cuda || return
  strip -o "$work/workbench" "${CARGO_TARGET_DIR:-target}/release/workbench" || return
  for name in "${TESTS[@]}"; do
    found=$(cargo test --release --features cuda --no-run --test "$name" --message-format=json 2>/dev/null |
      grep -o "\"executable\":\"[^\"]*/deps/$name-[^\"]*\"" | tail -1 | cut -d'"' -f4)
    [ -n "$found" ] || { echo "the test $name does not build" >&2; return 1; }
    strip -o "$work/tests/$name" "$found" || return
  done
  if [ -n "$other" ]; then strip -o "$work/workbench-b" "$other" || return; fi
  mkdir -p "$work/sources/docs/results" && cp -r scripts tests benches tools "$work/sources/" || return
  cp docs/results/*.json "$work/sources/docs/results/" 2>/dev/null
  # What was measured in the last slot need not be measured again.
  cp runs/rows/cudnn_engines.json "$work/sources/" 2>/dev/null
  # The programs are nearly the same: with a dictionary larger than one of them, eight take the room of two.
  tar -C "$work" -cf - . | xz -T1 --lzma2=preset=3,dict=400MiB >"$to/packed.tar.xz" || return
  rm -rf "$work"
  cp "$0" "$to/gpu_check.sh"
}

if [ "${1:-}" = pack ]; then
  pack "${2:?a folder to pack into}" "${3:-}"
  exit
fi
if [ "${1:-}" = rows ] && [ "${2:-}" = --plan ]; then
  here=$(dirname "$0")
  [ -d "$here/rows" ] || here=$here/sources/tools
  exec python3 "$here/rows" --plan
fi

cd "$(dirname "$0")" || exit
OUT=${OUT:-$PWD/gpu_check.out}
KEEP=${KEEP:-${TMPDIR:-/tmp}/workbench-keep}
export DATA=${DATA:-}
[ -z "$DATA" ] && [ -d data ] && DATA=$PWD/data
mkdir -p "$OUT" "$KEEP"
LOGS=$(mktemp -d)
[ -x workbench ] || python3 -c 'import tarfile; tarfile.open("packed.tar.xz").extractall(".")' || exit
failed=0

# The slot's time: so many seconds of commands since the first one, and of each command what SLOT_SECONDS says; an old mark is of another slot.
now=$(date +%s)
began=$(cat "$KEEP/began" 2>/dev/null || echo 0)
if [ $((now - began)) -gt 1800 ]; then began=$now && echo "$began" >"$KEEP/began"; fi
rest=$((${SLOT_TOTAL:-780} - now + began))
SLOT_SECONDS=${SLOT_SECONDS:-$((rest < 570 ? rest : 570))}

# Engines of convolutions that an earlier slot has measured.
engines=${XDG_CACHE_HOME:-$HOME/.cache}/workbench/cudnn_engines.json
if [ -f sources/cudnn_engines.json ] && [ ! -f "$engines" ]; then
  mkdir -p "$(dirname "$engines")" && cp sources/cudnn_engines.json "$engines"
fi

# Runs a command of at most so many seconds, its output in a log of that name.
step() {
  local name=$1 seconds=$2 code began=$SECONDS
  shift 2
  timeout "$seconds" "$@" >"$LOGS/$name.log" 2>&1 && { echo "ok      $name ($((SECONDS - began)) s)"; return; }
  code=$?
  echo "FAILED  $name (exit code $code, $((SECONDS - began)) s), the end of $LOGS/$name.log:"
  tail -n 15 "$LOGS/$name.log"
  failed=1
  return 1
}

if [ -z "${CUDA_LIBRARIES:-}" ] && [ -z "${SOFTWARE_GPU:-}" ]; then
  wheels=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null)
  CUDA_LIBRARIES=$wheels/cu13/lib:$wheels/cudnn/lib:$wheels/nccl/lib
fi
export RUST_BACKTRACE=1
if [ -z "${SOFTWARE_GPU:-}" ]; then
  export LD_LIBRARY_PATH=$CUDA_LIBRARIES${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} CUDA_LAZY_PATH=$CUDA_LIBRARIES
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,clocks.mem --format=csv,noheader || {
    echo "no GPU here" >&2
    exit 1
  }
else
  echo "a GPU in software: times say nothing here"
fi

if [ -f "$KEEP/outlives" ]; then
  kill -0 "$(cat "$KEEP/outlives")" 2>/dev/null && outlived=outlived || outlived="ended with"
  echo "a process in a session of its own $outlived the command that began it"
  rm "$KEEP/outlives"
fi

# All at once: none of them fills the GPU. The tests look for their files beside the sources that they were built from.
check() {
  local name jobs=()
  for name in "${TESTS[@]}"; do
    (WORKBENCH_TEST_DEVICE=cuda WORKBENCH_CUDNN=first WORKBENCH_TEST_FOLDER=$PWD/sources step "test_$name" "${CHECK_SECONDS:-300}" "tests/$name" --test-threads 1) &
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
    ${DATA:+--data-dir "$DATA"} "${settings[@]}" && grep -E " ms a (step|batch)" "$LOGS/time_$name.log" | sed "s/^/        /"
}

timings() {
  timed 6c2f -- steps=200 precisions="f32 tf32 bf16"
  timed 6c2f_nchw -- steps=200 precisions=tf32 layout=nchw
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
  local arguments=() name=${1:-compare}
  eval "arguments=(${COMPARE:-})"
  step "$name" $((${COMPARE_SECONDS:-240} + 30)) python3 sources/benches/gpu_compare.py --workbench ./workbench \
    --seconds "${COMPARE_SECONDS:-240}" --out "$LOGS/$name.json" --peer-log "$LOGS/$name.peer.log" "${arguments[@]}"
  cat "$LOGS/$name.log"
}

profile() {
  local net precision name
  command -v ncu >/dev/null || { echo "left out: the profile, ncu is not here"; return; }
  for net in ${NETS:-cifar10_6c2f mnist_4c3f}; do
    for precision in ${PROFILE:-tf32}; do
      name=profile_${net}_$precision
      step "$name" 90 ncu --clock-control none --print-units base --csv --log-file "$LOGS/$name.csv" \
        --metrics gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum --launch-skip 3000 --launch-count 1500 \
        ./workbench run sources/benches/gpu_step.rhai --device cuda --set net="$net" --set steps=12 --set warm=2 \
        --set precisions="$precision" && python3 sources/tools/gpu_profile.py "$LOGS/$name.csv"
    done
  done
}

convs() {
  step convs $((${CONVS_SECONDS:-60} + 30)) python3 sources/benches/gpu_convs.py --seconds "${CONVS_SECONDS:-60}" --out "$LOGS/convs.json"
  cat "$LOGS/convs.log"
}

# Two programs in turn; without a second one, what a larger and a smaller batch cost.
ab() {
  local round program
  if [ ! -x workbench-b ]; then
    echo "no second program (pack FOLDER OTHER): batches of 64, 128 and 512 instead"
    for batch in 64 128 512; do timed "batch_$batch" -- batch="$batch" steps=200 precisions=tf32; done
    return
  fi
  for round in 1 2; do
    for program in a b; do
      case $program in a) WORKBENCH=./workbench ;; b) WORKBENCH=./workbench-b ;; esac
      echo "    $program, round $round"
      timed "ab_6c2f_$program$round" -- steps="${AB_STEPS:-200}" precisions=tf32
      timed "ab_mnist_$program$round" -- net=mnist_4c3f steps="${AB_STEPS:-200}" iterations=5 precisions=tf32
      timed "ab_small_$program$round" -- batch=8 steps="${AB_STEPS:-200}" precisions=tf32
      [ -n "$DATA" ] && [ -d "$DATA/mnist" ] &&
        timed "ab_loop_$program$round" -- net=mnist_4c3f data=mnist steps="${AB_STEPS:-200}" iterations=5 vectors=f32 precisions=tf32
    done
  done
  unset WORKBENCH
}

# What a CUDA graph of the step gains on the loop over MNIST, in turn with the same steps one by one; warm steps are a whole pass, since images
# that are new are not recorded. That its numbers are the same bit for bit is what the tests `step_graph` say.
graphs() {
  local round graph
  [ -n "$DATA" ] && [ -d "$DATA/mnist" ] || { echo "graphs: wants MNIST in $DATA"; return; }
  for round in 1 2; do
    for graph in unrecorded on; do
      timed "graphs_mnist_$graph$round" -- net=mnist_4c3f data=mnist train_limit=20480 warm=90 steps="${AB_STEPS:-200}" iterations=5 precisions=tf32 graph=$graph
      timed "graphs_small_$graph$round" -- net=mnist_4c3f data=mnist train_limit=1024 batch=16 warm=80 steps="${AB_STEPS:-200}" precisions=tf32 graph=$graph
    done
  done
}

# What a setting gains, in turn with what it takes the place of: power iterations of halves.
halves() {
  local round power
  for round in 1 2; do
    for power in own f16; do
      timed "halves_6c2f_$power$round" -- steps="${AB_STEPS:-200}" precisions=tf32 power=$power
      timed "halves_mnist_$power$round" -- net=mnist_4c3f steps="${AB_STEPS:-200}" iterations=5 precisions=tf32 power=$power
    done
  done
}

# What channels last are worth to a network's value alone, in turn with planes.
plain() {
  local round layout
  for round in 1 2; do
    for layout in nchw nhwc; do
      timed "plain_6c2f_$layout$round" -- method=standard steps="${AB_STEPS:-200}" precisions=tf32 layout=$layout
      timed "plain_mnist_$layout$round" -- net=mnist_4c3f method=gloro steps="${AB_STEPS:-200}" precisions=tf32 layout=$layout
    done
  done
}

capture() {
  step capture 90 env WORKBENCH_TEST_DEVICE=cuda WORKBENCH_TEST_FOLDER="$PWD/sources" tests/capture --nocapture --test-threads 1
  grep -E "captured|refused|replay" "$LOGS/capture.log" || cat "$LOGS/capture.log"
}

fused() {
  step fused 60 python3 sources/benches/gpu_fused.py
  cat "$LOGS/fused.log"
}

# Several GPUs of one machine: are the bits those of one GPU that takes the shards in turn, and what does a step cost by their number?
ranks() {
  local gpus n
  gpus=$(nvidia-smi -L | wc -l)
  [ "$gpus" -ge 2 ] && command -v mpirun >/dev/null || { echo "ranks: wants two GPUs and an mpirun; there are $gpus"; return; }
  cp sources/tests/processes/gpus.rhai "$OUT/gpus.rhai" && cd "$OUT" || return
  for n in 2 4 8; do
    [ "$n" -le "$gpus" ] || break
    step "ranks_$n" 120 mpirun --bind-to none -n "$n" "$OLDPWD/workbench" run gpus.rhai --device cuda --into "ranks_$n"
    step "ranks_turn_$n" 240 "$OLDPWD/workbench" run gpus.rhai --device cuda --shards "$n" --by-shard --into "ranks_turn_$n"
    step "ranks_fast_$n" 120 mpirun --bind-to none -n "$n" "$OLDPWD/workbench" run gpus.rhai --device cuda --sum fast --into "ranks_fast_$n"
    cmp "ranks_$n/model.safetensors" "ranks_turn_$n/model.safetensors" && echo "$n GPUs: the bits of one"
    grep -h "a step" "$LOGS/ranks_$n.log" "$LOGS/ranks_fast_$n.log" "$LOGS/ranks_turn_$n.log"
  done
  cd "$OLDPWD" || return
}

# Stages by what they decide, each only where its time is left.
slot() {
  dd if=/dev/zero of="$KEEP/disk" bs=64M count=32 conv=fsync 2>&1 | tail -1
  rm -f "$KEEP/disk"
  setsid sleep 1500 </dev/null >/dev/null 2>&1 &
  echo $! >"$KEEP/outlives"
  local what='--what step --nets "cifar10_6c2f:tf32 mnist_4c3f:tf32"'
  COMPARE="$what --styles 'graphed graphed_amp'" COMPARE_SECONDS=90 within 120 compare compare_graphed
  within 150 ab
  within 60 halves
  within 60 graphs
  within 60 plain
  within 60 capture
  within 90 profile
  within 90 convs
  within 60 fused
  COMPARE="$what --styles compiled" COMPARE_SECONDS=60 within 90 compare compare_compiled
}

within() {
  local seconds=$1
  shift
  if [ $((SECONDS + seconds)) -gt "$SLOT_SECONDS" ]; then echo "left out, no time: $*"; return; fi
  timed_stage "$@"
}

# What was brought, where it outlasts the command.
data() {
  mkdir -p "$KEEP/data" "$KEEP/parcels"
  [ -d data ] && cp -r data/. "$KEEP/data/"
  # The last file that unpacking writes says that it was done by an earlier command.
  if [ -d parcels ] && [ ! -f "$KEEP/data/cifar10/cifar-10-batches-bin/batches.meta.txt" ]; then
    cp parcels/parcel-* "$KEEP/parcels/"
    python3 sources/tools/cifar10_parcels.py unpack "$KEEP/parcels" "$KEEP/data/cifar10" || echo "CIFAR-10 is not whole yet"
  fi
}

rows() {
  { [ -d data ] || [ -d parcels ]; } && data
  [ -d "$KEEP/data" ] && DATA=$KEEP/data
  # A signal goes to all of a pipe: what listens must not end before what speaks.
  python3 sources/tools/rows train "$@" --program ./workbench --data "$DATA" --out "$OUT" --seconds $((SLOT_SECONDS - SECONDS)) \
    ${ROOM:+--room "$ROOM"} ${ROWS:-} 2>&1 | (trap '' INT TERM && exec tee -a "$LOGS/rows.log")
  local code=${PIPESTATUS[0]}
  # 3: a training is to go on in the next command.
  [ "$code" -eq 0 ] || [ "$code" -eq 3 ] || failed=1
}

# What a stage has left is there also when the next one is killed.
timed_stage() {
  local began=$SECONDS
  "$@"
  echo "-- $1: $((SECONDS - began)) s"
  tar -C "$LOGS" -czf "$OUT/logs.tar.gz" .
  cp "$engines" "$OUT/" 2>/dev/null
}

[ $# -gt 0 ] || set -- check timings
while [ $# -gt 0 ]; do
  stage=$1
  shift
  case $stage in
    check | timings | compare | slot | convs | ab | halves | graphs | plain | profile | capture | fused | data | ranks) timed_stage "$stage" ;;
    rows)
      timed_stage rows "$@"
      break
      ;;
    *) echo "no stage $stage; there are: check timings compare slot convs ab halves graphs plain profile capture fused data ranks rows" >&2; exit 2 ;;
  esac
done
rm -rf "$LOGS"
exit "$failed"
