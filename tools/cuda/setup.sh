#!/usr/bin/env bash
# A CUDA 13.0 toolkit to build with, without a GPU, a driver or root: compilers and headers from NVIDIA's wheels on PyPI
# (105 MB), stand-ins for the libraries that only a GPU machine has.
#
#   tools/cuda/setup.sh DEST [lazy|link]
#   . DEST/env.sh
#   cargo build --release --features cuda
#
#   lazy (default)   the libraries are opened at the first call: the same program also runs on a machine without CUDA
#   link             candle's usual way: the program does not start without the CUDA libraries
#
# Needs x86-64 Linux, python3 with pip, gcc and binutils, and cudarc's sources: run `cargo fetch` first (or set CUDARC_SRC).
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
MODE=${2:-lazy}
DEST=$(mkdir -p "${1:?DEST}" && cd "$1" && pwd)
if [ -z "${CUDARC_SRC:-}" ]; then
  CUDARC_SRC=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 2 -name 'cudarc-0.19.*' -type d | sort -V | tail -1)
fi
[ -n "$CUDARC_SRC" ] || { echo "cudarc's sources are not there; run cargo fetch first" >&2; exit 1; }
W=$DEST/.wheels
S=$DEST/.site
mkdir -p "$W"
python3 -m pip download -q --no-deps --only-binary=:all: \
  --python-version 3.12 --implementation cp --abi cp312 --abi abi3 --abi none \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
  --platform manylinux2014_x86_64 --platform manylinux_2_12_x86_64 --platform manylinux2010_x86_64 -d "$W" \
  nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 \
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
rm -rf "$S"; python3 -m pip install -q --no-deps --no-index --no-compile --root-user-action=ignore --target "$S" "$W"/*.whl
for d in bin include lib nvvm; do rm -rf "${DEST:?}/$d"; mv "$S/nvidia/cu13/$d" "$DEST/$d"; done
rm -rf "$S"; chmod +x "$DEST"/bin/* "$DEST"/nvvm/bin/cicc
ln -sfn lib "$DEST/lib64"
ln -sf libcudart.so.13 "$DEST/lib/libcudart.so"

# Stand-ins for libcuda, libcublas, libcublasLt, libcurand, libnvrtc, libcudnn, libnccl (see stand_ins.py).
python3 "$HERE/stand_ins.py" "$CUDARC_SRC" "$DEST/lib/stubs" "$MODE"
if [ "$MODE" = lazy ]; then # cudart linked statically: no libcudart.so.13 needed at start
  rm -f "$DEST/lib/libcudart.so"
  echo "INPUT($DEST/lib/libcudart_static.a)" > "$DEST/lib/libcudart.so"
fi
# Optional nvcc front (export NVCC=$DEST/bin/nvcc-noquant): candle-kernels' GGUF-quantised and MoE kernels, nine tenths
# of its build time and 32 MB of the binary, become stubs that abort; everything else goes to the real nvcc.
cat > "$DEST/bin/nvcc-noquant" <<'X'
#!/usr/bin/env bash
set -e
here=$(cd "$(dirname "$0")" && pwd); src=${!#}
case $src in *src/moe/*.cu|*src/mmq_gguf/*.cu|*src/mmvq_gguf.cu)
  out=; a=("$@"); for ((i=0;i<$#;i++)); do [ "${a[i]}" = -o ] && out=${a[i+1]}; done
  { echo 'void abort(void);'
    case $src in *mmq_quantize.cu) grep -oP 'pub fn \K\w+' "${src%src/*}src/ffi.rs" | sort -u |
      while read -r f; do echo "void $f(void){abort();}"; done;; esac; } | gcc -x c -w -O1 -fPIC -ffunction-sections -c -o "$out" -
  exit;;
esac
exec "$here/nvcc" "$@"
X
chmod +x "$DEST/bin/nvcc-noquant"
cat > "$DEST/env.sh" <<X
export CUDA_HOME=$DEST CUDA_COMPUTE_CAP=\${CUDA_COMPUTE_CAP:-90}
export PATH=$DEST/bin:\$PATH
# candle's kernels for quantised and mixture-of-experts models, nine tenths of the build, are left out; cudarc asks nvcc.
export NVCC=$DEST/bin/nvcc-noquant CUDARC_CUDA_VERSION=13000
X
"$DEST/bin/nvcc" --version | tail -2; du -sh "$DEST"
