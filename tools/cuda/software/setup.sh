#!/usr/bin/env bash
# A GPU in software: builds and tests `--features cuda` on any x86-64 Linux with Rust, a C++ compiler and python3, without CUDA, a
# GPU or a download.
#
#   cargo fetch
#   tools/cuda/software/setup.sh DEST
#   . DEST/env.sh
#   cargo test --release --features cuda               # tensors of the tests live on the software GPU
#   SOFTWARE_GPU_TRACE=FILE workbench run ...          # FILE gets a line for every call
#
# The program calls the driver, NVRTC, cuBLAS and cuDNN as on a GPU, by libraries of these names that it finds at its first call;
# those here do the work on the CPU, thread by thread, candle's kernels too. They stop the program where a call reads beyond a
# tensor or a stream uses another's memory unasked, and they count launches, allocations, bytes and waits (account.py). Graphs are
# captured: calls are kept and done at each launch, and what CUDA says that a capture refuses is refused.
#
# What this shows: that calls, arguments, sizes, orders and results are right, and how many there are. What it cannot: how long
# anything takes on a GPU, and what the real libraries do that these do not know of. That remains for a GPU (tools/gpu_check.sh).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dest=$(mkdir -p "${1:?a folder to build into}" && cd "$1" && pwd)
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
source_of() {
  local found
  found=$(find "$registry" -maxdepth 2 -type d -name "$1" 2>/dev/null | sort -V | tail -1)
  [ -n "$found" ] || { echo "$1 is not in $registry; run cargo fetch first" >&2; exit 1; }
  echo "$found"
}
compiler=${CXX:-c++}
command -v "$compiler" >/dev/null || { echo "no C++ compiler ($compiler)" >&2; exit 1; }

# What a build asks for: a compiler, the libraries' names.
mkdir -p "$dest/bin" "$dest/include" "$dest/lib/stubs" "$dest/gpu"
install -m 755 "$here/nvcc" "$dest/bin/nvcc"
ln -sfn lib "$dest/lib64"
python3 "$here/../stand_ins.py" "$(source_of 'cudarc-0.19.*')" "$dest/lib/stubs" lazy >"$dest/stand_ins.log"
rm -f "$dest/lib/libnothing.a" && ar rcs "$dest/lib/libnothing.a"
echo "INPUT($dest/lib/libnothing.a)" >"$dest/lib/libcudart.so"

# What a program finds at its first call.
library() {
  local name=$1
  shift
  "$compiler" -std=c++17 -O3 -shared -fPIC -Wl,-rpath,"\$ORIGIN" -o "$dest/gpu/$name" "$@"
}
library libcuda.so.1 "$here/memory.cpp" "$here/driver.cpp" -ldl
library libnvrtc.so.13 "$here/nvrtc.cpp"
library libcurand.so.10 "$here/curand.cpp"
library libcublas.so.13 -march=native "$here/cublas.cpp" "$dest/gpu/libcuda.so.1"
library libcudnn.so.9 -march=native "$here/cudnn.cpp" "$dest/gpu/libcuda.so.1"
library libnccl.so.2 "$here/nccl.cpp" "$dest/gpu/libcuda.so.1"
cp "$here/threads.hpp" "$dest/gpu/"
python3 "$here/candle.py" "$(source_of 'candle-kernels-0.11.*')/src" "$here" "$dest/gpu/candle" >"$dest/candle.log"

cat >"$dest/env.sh" <<X
export CUDA_HOME=$dest CUDA_COMPUTE_CAP=90 NVCC=$dest/bin/nvcc CUDARC_CUDA_VERSION=13000 CUDA_LAZY_PATH=$dest/gpu
# Engines of convolutions are not worth measuring here.
# Opened by this name where several processes have a GPU each; SOFTWARE_GPU_DEVICES says how many there are.
export WORKBENCH_NCCL=$dest/gpu/libnccl.so.2
export SOFTWARE_GPU=1 PATH=$dest/bin:\$PATH WORKBENCH_TEST_DEVICE=cuda WORKBENCH_CUDNN=first
X
echo "the software GPU lies in $dest; . $dest/env.sh"
