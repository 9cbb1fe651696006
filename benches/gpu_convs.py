#!/usr/bin/env python3
"""Milliseconds of every convolution of 6C2F and MNIST 4C3F on the GPU at hand, by direction, number type and batch: what cuDNN gives at
best (benchmark on, channels last), as replays of a CUDA graph over rotating inputs. Stage `convs` of tools/gpu_check.sh.

    python3 benches/gpu_convs.py --seconds 90 --out "$OUT/convs.json"
"""
import argparse, json, time
import torch
import torch.nn.functional as F

NETS = {"6c2f": (3, 32, [(32, 3, 1, 1), (32, 3, 1, 1), (32, 4, 2, 1), (64, 3, 1, 1), (64, 3, 1, 1), (64, 4, 2, 1)]),
        "4c3f": (1, 28, [(32, 3, 1, 1), (32, 4, 2, 1), (64, 3, 1, 1), (64, 4, 2, 1)])}
p = argparse.ArgumentParser()
p.add_argument("--seconds", type=float, default=90); p.add_argument("--out"); a = p.parse_args()
end, rows, left = time.monotonic() + a.seconds, [], []
torch.backends.cudnn.benchmark = True

def layers(net):
    c, side, convs = NETS[net]
    for number, (o, k, s, pad) in enumerate(convs, 1):
        yield number, c, side, o, k, s, pad
        c, side = o, (side + 2 * pad - k) // s + 1

def timed(works, repeats):
    """Median milliseconds of one work; `works` do the same on different memory."""
    side = torch.cuda.Stream(); side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for work in works * 2: work()
    torch.cuda.current_stream().wait_stream(side); torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for k in range(repeats): works[k % len(works)]()
    graph.replay(); torch.cuda.synchronize(); found = []
    for _ in range(7):
        begin, done = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record(); graph.replay(); done.record(); torch.cuda.synchronize(); found.append(begin.elapsed_time(done) / repeats)
    return sorted(found)[3]

def case(net, layer, numbers, batch, padded=False):
    number, c, side, o, k, s, pad = layer
    c = 4 if padded else c
    dtype = {"tf32": torch.float32, "f32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[numbers]
    torch.backends.cudnn.allow_tf32 = numbers != "f32"
    draw = lambda *shape: torch.randn(*shape, device="cuda").to(dtype).contiguous(memory_format=torch.channels_last)
    out = (side + 2 * pad - k) // s + 1
    copies = 3 if batch > 16 else 1
    sets = [(draw(batch, c, side, side), draw(o, c, k, k), draw(batch, o, out, out)) for _ in range(copies)]
    back = lambda x, w, y, wanted: torch.ops.aten.convolution_backward(y, x, w, None, (s, s), (pad, pad), (1, 1), False, (0, 0), 1, wanted)
    forms = {"forward": lambda x, w, y: F.conv2d(x, w, None, s, pad), "data": lambda x, w, y: back(x, w, y, (True, False, False)),
             "filter": lambda x, w, y: back(x, w, y, (False, True, False))}
    gflop, bytes_ = 2e-9 * batch * o * out * out * c * k * k, dtype.itemsize * sum(t.numel() for t in sets[0])
    for way, form in forms.items():
        if time.monotonic() > end: left.append((net, number, numbers, batch, way)); continue
        try:
            ms = timed([lambda t=t: form(*t) for t in sets], 12)
            rows.append(dict(net=net, layer=number, channels=c, numbers=numbers, batch=batch, way=way, ms=ms, tflops=gflop / ms, tbs=bytes_ / ms / 1e9))
        except Exception as error:
            left.append((net, number, numbers, batch, way, f"{type(error).__name__} {error}"[:200]))

# What decides most comes first.
for numbers, batch in [("tf32", 256), ("fp16", 256), ("tf32", 1), ("bf16", 256), ("tf32", 257), ("fp16", 769), ("tf32", 769), ("tf32", 512), ("f32", 256)]:
    for net in NETS:
        for layer in layers(net):
            case(net, layer, numbers, batch)
            if layer[0] == 1: case(net, layer, numbers, batch, padded=True)

print(torch.cuda.get_device_name(), "torch", torch.__version__, "cuDNN", torch.backends.cudnn.version())
key = lambda r: (r["net"], r["layer"], r["channels"], r["way"])
columns = sorted({(r["numbers"], r["batch"]) for r in rows})
print(f"{'us':28}" + "".join(f"{n + ' ' + str(b):>11}" for n, b in columns))
for name in sorted({key(r) for r in rows}):
    cells = {(r["numbers"], r["batch"]): r["ms"] * 1e3 for r in rows if key(r) == name}
    print(f"{' '.join(map(str, name)):28}" + "".join(f"{cells[c]:11.1f}" if c in cells else f"{'-':>11}" for c in columns))
for line in left[:10]: print("left out:", *line)
if len(left) > 10: print(f"and {len(left) - 10} more")
if a.out: json.dump(dict(rows=rows, left=[list(map(str, line)) for line in left]), open(a.out, "w"))
