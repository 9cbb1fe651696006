#!/usr/bin/env python3
"""account.py SHORT LONG: what one more step asks of the device, from two accounts (SOFTWARE_GPU_TRACE) that differ by that step.

For each kind of call how often it comes, the bytes of the tensors that it reads and writes (each whole, from where the call begins
to read), and the arithmetic of products and convolutions. Bytes are an upper bound: a call need not touch all of a tensor."""
import collections, sys

def totals(path):
    rows = collections.Counter(), collections.Counter(), collections.Counter()
    for line in open(path):
        words = line.rstrip("\n").split("\t")
        kind, name, moved, flop = words[0], words[0], 0, 0
        if kind == "launch":
            name, moved = words[1], int(words[4]) + int(words[5])
        elif kind == "product":
            m, n, k, batch, read, written = map(int, words[2:8])
            name, moved, flop = f"product {words[1]}", read + written, 2 * m * n * k * batch
        elif kind == "convolution":
            batch, inputs, _, outputs, kernel, side = map(int, words[4:10])
            name, moved = f"convolution {words[1]} {words[2]} {words[3]}", int(words[12]) + int(words[13])
            flop = 2 * batch * inputs * outputs * kernel * kernel * side * side
        elif kind in ("copy", "set", "to the device", "from the device"):
            moved = int(words[1]) * (2 if kind == "copy" else 1)
        for counter, amount in zip(rows, (1, moved, flop)):
            counter[name] += amount
    return rows

short, long = (totals(path) for path in sys.argv[1:3])
calls, moved, flop = ({name: b[name] - a[name] for name in b} for a, b in zip(short, long))
print(f"{'call':40} {'number':>7} {'MB':>10} {'GFLOP':>8}")
for name in sorted(calls, key=lambda name: (-moved[name], -calls[name], name)):
    if calls[name]:
        print(f"{name:40} {calls[name]:7} {moved[name] / 1e6:10.2f} {flop[name] / 1e9:8.2f}")
work = [name for name in calls if name not in ("alloc", "free", "event", "wait", "pool")]
print(f"{'all but memory':40} {sum(calls[n] for n in work):7} {sum(moved[n] for n in work) / 1e6:10.2f} {sum(flop.values()) / 1e9:8.2f}")
