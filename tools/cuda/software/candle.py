#!/usr/bin/env python3
"""candle.py SOURCES THREADS_FOLDER OUTDIR: candle's CUDA kernels compiled for the software GPU.

SOURCES is the folder src of candle-kernels. Each source becomes a library in OUTDIR whose kernels can be called by name. What has
short floating-point numbers is left out, but conversions; quantised kernels altogether. The sources are read where cargo put them."""
import os, pathlib, re, subprocess, sys, tempfile

sources, here, out = (pathlib.Path(p).resolve() for p in sys.argv[1:4])
KINDS = ["affine", "binary", "cast", "conv", "fill", "indexing", "reduce", "sort", "ternary", "unary"]
# Conversions that candle compiles for newer devices only.
MORE = {"cast": "CAST_OP(__nv_bfloat16, float, cast_bf16_f32)\nCAST_OP(float, __nv_bfloat16, cast_f32_bf16)\n"
                "CAST_OP(__half, float, cast_f16_f32)\nCAST_OP(float, __half, cast_f32_f16)\n"}
HEADERS = ["compatibility.cuh", "cuda_fp16.h", "cuda_bf16.h", "cuda_fp8.h", "cuda.h", "cuda/std/limits"]
compiler = os.environ.get("CXX") or "c++"

out.mkdir(parents=True, exist_ok=True)
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for header in HEADERS:
        (folder / header).parent.mkdir(parents=True, exist_ok=True)
        (folder / header).write_text('#include "builtins.hpp"\n')
    for source in [f"{kind}.cu" for kind in KINDS] + ["cuda_utils.cuh", "binary_op_macros.cuh"]:
        text = (sources / source).read_text()
        # Memory of a size known at the launch: as much as a block can have.
        text = re.sub(r"extern\s+__shared__\s+(\w+)\s+(\w+)\[\];", r"__shared__ \1 \2[49152];", text)
        (folder / source).write_text(text + MORE.get(source.split(".")[0], ""))
    common = [compiler, "-std=c++17", "-w", "-include", here / "threads.hpp", "-include", here / "builtins.hpp", "-I", folder, "-I", here, "-x", "c++"]
    running = []
    for kind in KINDS:
        source = folder / f"{kind}.cu"
        seen = subprocess.run([*common, "-E", "-P", source], check=True, capture_output=True, text=True).stdout
        names = sorted(set(re.findall(r'extern\s+"C"\s+(?:inline\s+)?void\s+(\w+)\s*\(', seen)))
        names = [name for name in names if not name.startswith("software_")]
        with source.open("a") as file:
            file.writelines(f"ENTRY({name})\n" for name in names)
        running.append((kind, len(names), subprocess.Popen([*common, "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-o", out / f"{kind}.so", source])))
    for kind, count, process in running:
        if process.wait() != 0:
            sys.exit(f"candle's {kind}.cu does not compile")
        print(f"{kind}: {count} kernels")
