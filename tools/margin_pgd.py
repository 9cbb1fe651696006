#!/usr/bin/env python3
"""Accuracy under a margin PGD written without any of the program's code: what `std/evaluate` should come to.

    pip install numpy
    tools/margin_pgd.py RUN/model.safetensors --eps 0.1 0.3                       the test images of the digits that come along
    tools/margin_pgd.py net.safetensors --eps 1.58 --images x.npy --labels y.npy  images [n, C, H, W] in [0, 1]

Reads the network from the weights file and computes in float64, forward and backward by hand. From `--restarts` random points
of the l2 ball it descends the margin, label's logit less the largest other one, along its unit gradient: `--steps` steps of 2.5 eps
/ steps, then as many of a tenth of that, cut to [0, 1] and projected. An image falls where its margin is not above 0.
"""

import argparse
import csv
import gzip
import json
import struct
from pathlib import Path

import numpy as np


def read(path):
    """The layers and the parameters of a weights file."""
    raw = Path(path).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    kinds = {"F32": "<f4", "F64": "<f8", "F16": "<f2"}
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = (8 + size + at for at in entry["data_offsets"])
            values = np.frombuffer(raw[start:end], dtype=kinds[entry["dtype"]])
            tensors[name] = values.reshape(entry["shape"]).astype(np.float64)
    return json.loads(header["__metadata__"]["workbench.network"])["layers"], tensors


def windows(x, kernel, stride):
    """[B, C, H, W] as [B, C, h, w, kernel, kernel]."""
    view = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))
    return view[:, :, ::stride, ::stride]


def spread(g, shape, kernel, stride):
    """The adjoint of `windows`."""
    out = np.zeros(shape)
    h, w = g.shape[2:4]
    for i in range(kernel):
        for j in range(kernel):
            out[:, :, i : i + stride * h : stride, j : j + stride * w : stride] += g[:, :, :, :, i, j]
    return out


def layer(spec, index, tensors, x):
    """The output of a layer, and the map from its gradient to that of its input."""
    kind = spec["kind"]
    get = lambda name: tensors[f"{index}.{name}"]
    if kind == "flatten":
        return x.reshape(len(x), -1), lambda g: g.reshape(x.shape)
    if kind == "linear":
        weight = get("weight")
        return x @ weight.T + (get("bias") if spec["bias"] else 0), lambda g: g @ weight
    if kind == "conv2d":
        weight, p, k, s = get("weight"), spec["padding"], spec["kernel"], spec["stride"]
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        y = np.einsum("bchwij,ocij->bohw", windows(padded, k, s), weight, optimize=True)
        if spec["bias"]:
            y = y + get("bias")[:, None, None]

        def back(g):
            full = spread(np.einsum("bohw,ocij->bchwij", g, weight, optimize=True), padded.shape, k, s)
            return full[:, :, p : p + x.shape[2], p : p + x.shape[3]]

        return y, back
    if kind == "avg_pool2d":
        k, s = spec["kernel"], spec["stride"]
        back = lambda g: spread(np.broadcast_to(g[..., None, None] / k**2, g.shape + (k, k)), x.shape, k, s)
        return windows(x, k, s).mean((4, 5)), back
    if kind == "normalize":
        shape = (1, -1) + (1,) * (x.ndim - 2)
        mean, std = (np.array(spec[name]).reshape(shape) for name in ("mean", "std"))
        return (x - mean) / std, lambda g: g / std
    if kind in ("relu", "relu6", "relu_theta"):
        top = {"relu": np.inf, "relu6": 6.0}.get(kind)
        top = get("threshold") if top is None else top
        return np.clip(x, 0, top), lambda g: g * ((x > 0) & (x < top))
    if kind in ("maxmin", "clipped_maxmin"):
        p, q = np.split(x, 2, axis=1)
        first, upper, lower = p >= q, np.maximum(p, q), np.minimum(p, q)
        top, bottom = (get("max"), get("min")) if kind == "clipped_maxmin" else (np.inf, -np.inf)

        def back(g):
            a, b = np.split(g, 2, axis=1)
            a, b = a * (upper < top), b * (lower > bottom)
            return np.concatenate([np.where(first, a, b), np.where(first, b, a)], axis=1)

        return np.concatenate([np.minimum(upper, top), np.maximum(lower, bottom)], axis=1), back
    raise SystemExit(f"layer {index}: {kind} is not known here")


def margins(network, x, y):
    """The margins [B], and their gradient in x."""
    layers, tensors = network
    backs = []
    for index, spec in enumerate(layers):
        x, back = layer(spec, index, tensors, x)
        backs.append(back)
    if x.shape[1] == 1:  # One logit is two classes by its sign.
        x = np.concatenate([np.zeros_like(x), x], axis=1)
        backs.append(lambda g: g[:, 1:])
    rows = np.arange(len(x))
    others = x.copy()
    others[rows, y] = -np.inf
    rival = others.argmax(1)
    g = np.zeros_like(x)
    g[rows, y], g[rows, rival] = 1, -1
    for back in reversed(backs):
        g = back(g)
    return x[rows, y] - others[rows, rival], g


def flat_norm(d):
    return np.linalg.norm(d.reshape(len(d), -1), axis=1).reshape((-1,) + (1,) * (d.ndim - 1))


def unit(d):
    length = flat_norm(d)
    return d / np.where(length == 0, 1, length)


def fallen(network, x, y, eps, steps, restarts, random):
    """Which images some restart brings to a margin that is not above 0."""
    down = ~(margins(network, x, y)[0] > 0)
    for _ in range(restarts):
        left = np.flatnonzero(~down)
        if len(left) == 0:
            break
        centre, label = x[left], y[left]
        radius = random.random(len(left)) ** (1 / centre[0].size)
        radius = radius.reshape((-1,) + (1,) * (centre.ndim - 1))
        point = np.clip(centre + eps * radius * unit(random.standard_normal(centre.shape)), 0, 1)
        for step in range(2 * steps + 1):
            margin, g = margins(network, point, label)
            down[left[~(margin > 0)]] = True
            length = 2.5 * eps / steps * (1 if step < steps else 0.1)
            way = np.clip(point - length * unit(g), 0, 1) - centre
            point = np.clip(centre + way * np.minimum(1, eps / np.maximum(flat_norm(way), 1e-300)), 0, 1)
    return down


def digits():
    """The first 386 rows of the file: the data set's test images."""
    path = Path(__file__).parent.parent / "datasets/digits/digits.csv.gz"
    rows = np.array([list(map(float, row)) for row in csv.reader(gzip.open(path, "rt"))][:386])
    return rows[:, :64].reshape(-1, 1, 8, 8) / 16, rows[:, 64].astype(int)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("--eps", type=float, nargs="+", required=True, help="l2 radii")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1, help="so many attacks, with the mean of their accuracies")
    parser.add_argument("--images")
    parser.add_argument("--labels")
    given = parser.parse_args()
    network = read(given.weights)
    x, y = digits() if given.images is None else (np.load(given.images).astype(float), np.load(given.labels).astype(int))
    print(f"{len(x)} images, clean {100 * (margins(network, x, y)[0] > 0).mean():.2f} %")
    for eps in given.eps:
        shares = []
        for seed in range(given.seeds):
            down = fallen(network, x, y, eps, given.steps, given.restarts, np.random.default_rng(seed))
            shares.append(100 * (1 - down.mean()))
        print(f"eps {eps}: {np.mean(shares):.2f} % withstand; by seed {[round(float(share), 2) for share in shares]}")


if __name__ == "__main__":
    main()
