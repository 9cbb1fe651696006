#!/usr/bin/env python3
"""stand_ins.py CUDARC_SRC OUTDIR link|lazy
Stand-ins for the CUDA libraries that `cargo build` links candle/cudarc against (x86-64 Linux, no CUDA install needed).
  link: lib<name>.so, an empty shared object with the real SONAME -> the binary gets DT_NEEDED entries, needs the libs to start.
  lazy: lib<name>.so is a linker script pulling in a small static archive whose functions dlopen the real library at the
        first call -> no DT_NEEDED; the binary starts anywhere. Without the library a call returns 100 for libcuda
        (CUDA_ERROR_NO_DEVICE) and aborts with a message for the others (unreachable: cuInit fails first).
Symbols: every `extern "C"` function of cudarc's sys module for that library."""
import re, subprocess, sys, pathlib
src, out, mode = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
out.mkdir(parents=True, exist_ok=True)
LIBS = [("driver", "cuda", "libcuda.so.1"), ("cublas", "cublas", "libcublas.so.13"),
        ("cublaslt", "cublasLt", "libcublasLt.so.13"), ("curand", "curand", "libcurand.so.10"),
        ("nvrtc", "nvrtc", "libnvrtc.so.13"), ("cudnn", "cudnn", "libcudnn.so.9"), ("nccl", "nccl", "libnccl.so.2")]
RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static long no_dev(void) { return 100; }
/* Extra directories: $CUDA_LAZY_PATH (colon separated), tried before the loader's own search. */
__attribute__((visibility("hidden"))) void *@L@_lazy_resolve(const char *sym) {
  static void *h; static int tried;
  if (!h && !tried) {
    const char *p = getenv("CUDA_LAZY_PATH");
    char buf[4096];
    while (p && *p && !h) {
      size_t n = strcspn(p, ":");
      snprintf(buf, sizeof buf, "%.*s/@SO@", (int)n, p);
      h = dlopen(buf, RTLD_NOW | RTLD_GLOBAL);
      if (h && @NVRTC@) { /* libnvrtc looks its builtins up by bare name and has no RUNPATH */
        snprintf(buf, sizeof buf, "%.*s/libnvrtc-builtins.so.13.0", (int)n, p);
        dlopen(buf, RTLD_NOW | RTLD_GLOBAL);
      }
      p += n; if (*p) p++;
    }
    if (!h) h = dlopen("@SO@", RTLD_NOW | RTLD_GLOBAL);
    __atomic_store_n(&tried, 1, __ATOMIC_RELEASE);
  }
  void *f = h ? dlsym(h, sym) : 0;
  if (f) return f;
  if (!h && @NODEV@) return (void *)no_dev;
  fprintf(stderr, "cuda-lazy: %s: %s\n", h ? sym : "@SO@", h ? "no such symbol" : "cannot be loaded");
  abort();
}
"""
for mod, name, so in LIBS:
    text = (src / "src" / mod / "sys" / "mod.rs").read_text()
    syms = sorted(set(re.findall(r"^\s*fn (\w+)\(", text, re.M)))
    (out / f"lib{name}.so").unlink(missing_ok=True)
    if mode == "link":
        a = [".text"] + [f".globl {s}\n.type {s},@function\n{s}: ud2" for s in syms]
        a.append('.section .note.GNU-stack,"",@progbits\n')
        (out / "t.s").write_text("\n".join(a))
        subprocess.run(["gcc", "-shared", "-nostdlib", f"-Wl,-soname,{so}", "-o", out / f"lib{name}.so", out / "t.s"], check=True)
    else:
        save = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "rbx"]
        a = []
        for i, s in enumerate(syms):  # one section per function, so --gc-sections drops what is unused
            a.append(f'''.section .text.{s},"ax",@progbits
.globl {s}
.type {s},@function
{s}:
  movq .Lslot_{i}(%rip), %r11
  testq %r11, %r11
  je 1f
  jmp *%r11
1:leaq .Lname_{i}(%rip), %r10
  leaq .Lslot_{i}(%rip), %r11
  jmp {name}_lazy_tramp
.section .rodata.{s},"a",@progbits
.Lname_{i}: .asciz "{s}"
.section .bss.{s},"aw",@nobits
.balign 8
.Lslot_{i}: .zero 8''')
        # trampoline: r10 = name, r11 = &slot; keep every argument register, 16-byte aligned stack
        a.append(f'''.section .text.{name}_lazy_tramp,"ax",@progbits
.type {name}_lazy_tramp,@function
{name}_lazy_tramp:
  pushq %rbp
  movq %rsp, %rbp
  subq $208, %rsp
  andq $-16, %rsp''')
        regs = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "r11"]
        a += [f"  movq %{r}, {8*k}(%rsp)" for k, r in enumerate(regs)]
        a += [f"  movups %xmm{k}, {64+16*k}(%rsp)" for k in range(8)]
        a += ["  movq %r10, %rdi", f"  call {name}_lazy_resolve", "  movq 56(%rsp), %r11", "  movq %rax, (%r11)", "  movq %rax, %r10"]
        a += [f"  movq {8*k}(%rsp), %{r}" for k, r in enumerate(regs[:7])]
        a += [f"  movups {64+16*k}(%rsp), %xmm{k}" for k in range(8)]
        a += ["  leave", "  jmp *%r10", '.section .note.GNU-stack,"",@progbits\n']
        (out / "t.s").write_text("\n".join(a))
        (out / "t.c").write_text(RESOLVER.replace("@L@", name).replace("@SO@", so).replace("@NVRTC@", "1" if name == "nvrtc" else "0").replace("@NODEV@", "1" if name == "cuda" else "0"))
        subprocess.run(["gcc", "-c", "-fPIC", "-o", out / "ts.o", out / "t.s"], check=True)
        subprocess.run(["gcc", "-c", "-O2", "-fPIC", "-ffunction-sections", "-o", out / "tc.o", out / "t.c"], check=True)
        ar = out / f"lib{name}_lazy.a"
        ar.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", ar, out / "ts.o", out / "tc.o"], check=True)
        (out / f"lib{name}.so").write_text(f"INPUT({ar.resolve()})\n")
    for t in ("t.s", "t.c", "ts.o", "tc.o"):
        (out / t).unlink(missing_ok=True)
    print(f"{name}: {len(syms)} symbols ({mode})")
