"""Networks drawn at random, to be as awkward as they may: weights over sixteen powers of ten and more, zeros, repeated rows, rank
one, nearly singular or orthogonal; biases that cancel to the last bit at an image; dead and saturated neurons; labels that are wrong.
"""

import numpy as np
from .nets import Net, build

STYLES = ["gauss", "orthogonal", "rank one", "repeated", "near singular", "sparse", "wild", "constant", "zero"]
CHANCES = [0.3, 0.25, 0.08, 0.08, 0.08, 0.1, 0.05, 0.04, 0.02]


def matrix(rng, m, n, style):
    a = rng.standard_normal((m, n)) / np.sqrt(n)
    if style == "orthogonal":
        q = np.linalg.qr(rng.standard_normal((max(m, n), min(m, n))))[0]
        a = (q if m >= n else q.T) + rng.choice([0, 1e-3, 0.05]) * a
    elif style == "rank one":
        a = np.outer(rng.standard_normal(m), rng.standard_normal(n)) / np.sqrt(n)
    elif style == "repeated":
        a = a[rng.integers(0, max(1, m // 2), m)]
    elif style == "near singular":
        a = np.outer(rng.standard_normal(m), rng.standard_normal(n)) / np.sqrt(n) + a * 10.0**rng.uniform(-12, -3)
    elif style == "sparse":
        a *= rng.random((m, n)) < 0.2
    elif style == "wild":
        a = np.sign(a) * 10.0**rng.uniform(-8, 8, (m, n))
    elif style == "constant":
        a[:] = a[0, 0]
    elif style == "zero":
        a[:] = 0
    return a


def typical(z):
    """The usual size of the values, never 0."""
    size = np.sqrt(np.mean(z * z))
    return size if size > 0 and np.isfinite(size) else 1.0


def bias_of(rng, pre, count, style):
    """One number for each of `count` channels; `pre` [n] are the products at the anchor."""
    each = pre.reshape(count, -1)
    here = each[np.arange(count), rng.integers(0, each.shape[1], count)]
    if style == "zero":
        return np.zeros(count)
    if style == "cancelling":
        return -here * (rng.random(count) < 0.8)
    if style == "dead":
        return -here + rng.standard_normal(count) * typical(pre)
    return rng.standard_normal(count) * typical(pre) * rng.choice([0.1, 1, 10])


def random_net(rng, mode, dtype, large=False):
    """A network, and the image it was made around."""
    steps, input = plan(rng, mode, large)
    specs, params, shape = [], {}, list(input)
    offset = rng.choice([0.0, 1.0, 1e6], p=[0.6, 0.35, 0.05])
    anchor = offset + rng.random(int(np.prod(input))) * 10.0**rng.choice([0, 0, 0, -3, 3])
    z, extreme, reach = anchor[None], rng.random() < 0.2, rng.choice([2, 8, 30], p=[0.3, 0.6, 0.1])
    for at, spec in enumerate(steps):
        spec = dict(spec)
        kind = spec["kind"]
        style, last = rng.choice(STYLES, p=CHANCES), at == len(steps) - 1
        if last and style == "zero":
            style = "gauss"
        gain = 10.0**(rng.uniform(-reach, reach) if extreme else rng.normal(0, 0.3))
        if kind in ("linear", "conv2d"):
            out = spec["features" if kind == "linear" else "channels"]
            form = (out, shape[0]) if kind == "linear" else (out, shape[0], spec["kernel"], spec["kernel"])
            params[f"{at}.weight"] = (gain * matrix(rng, out, int(np.prod(form[1:])), style)).reshape(form).astype(dtype)
            params[f"{at}.bias"] = np.zeros(out, dtype)
            bias = spec.pop("bias") if spec.get("bias") is False else True
            made, _ = build(at, spec | {"bias": True}, shape, params)
            if bias:
                how = rng.choice(["random", "zero", "cancelling", "dead"], p=[0.4, 0.15, 0.15, 0.3])
                params[f"{at}.bias"] = bias_of(rng, made.forward(z)[0], out, how).astype(dtype)
            else:
                del params[f"{at}.bias"]
            spec["bias"] = bias
        elif kind == "normalize":
            spec["mean"] = [float(v) for v in rng.random(shape[0])]
            spec["std"] = [float(v) for v in 10.0**rng.uniform(-1.5, 1, shape[0])]
        elif kind == "relu_theta":
            spec["theta"] = 1.0
            limits = np.abs(rng.standard_normal(z.shape[1])) * typical(z) * rng.choice([0.1, 1, 10])
            limits[rng.random(len(limits)) < 0.05] *= rng.choice([0, 0, -1])
            params[f"{at}.threshold"] = limits.reshape([1] + shape).astype(dtype)
        elif kind == "clipped_maxmin":
            spec["max"], spec["min"] = 0.2, -0.2
            half = [1, shape[0] // 2] + shape[1:]
            for name in ("max", "min"):
                params[f"{at}.{name}"] = (rng.standard_normal(half) * typical(z) * rng.choice([0.3, 1, 3])).astype(dtype)
        for name in ("weight", "bias", "threshold", "max", "min"):
            if f"{at}.{name}" in params:                           # what f32 cannot hold is its largest number
                params[f"{at}.{name}"] = np.nan_to_num(params[f"{at}.{name}"])
        made, shape = build(at, spec, shape, params)
        specs.append(spec)
        if made is not None:
            z = made.forward(z)
    if mode != "affine" and shape[0] > 2 and rng.random() < 0.1:
        name = f"{len(steps) - 1}.weight"                          # two classes that are equal, or nearly so
        params[name][1] = params[name][0] * dtype(rng.choice([1.0, 1.0 + 1e-6]))
    return Net(list(input), specs, params, mode), anchor


def plan(rng, mode, large):
    """The layers, as specifications without numbers, and the input's shape."""
    pick = lambda *options: options[rng.integers(len(options))]
    kinds = ["relu", "relu_theta", "relu6", "maxmin", "clipped_maxmin"]
    activation = lambda: {"kind": str(rng.choice(kinds, p=[0.25, 0.3, 0.1, 0.15, 0.2]))}
    linear = lambda n: {"kind": "linear", "features": int(n), "bias": rng.random() < 0.8}
    last = lambda: linear(pick(1, 2, 3, 4, 10))
    if mode == "image" or (mode == "affine" and rng.random() < 0.6):
        c, h, w = pick(1, 2, 3), rng.integers(3, 9), rng.integers(3, 9)
        if large:
            c, h, w = 3, 12, 12
        steps, shape = [], [int(c), int(h), int(w)]
        if rng.random() < 0.4:
            steps.append({"kind": "normalize"})
        input = list(shape)
        for _ in range(rng.integers(1, 4)):
            kernel, stride, padding = int(rng.integers(1, 5)), int(pick(1, 1, 2, 3)), int(pick(0, 0, 1, 1, 2, 3))
            if rng.random() < 0.2:
                kind = {"kind": "avg_pool2d", "kernel": min(kernel, *shape[1:]), "stride": stride}
                out, padding = shape[0], 0
            else:
                out = int(pick(2, 4, 6) if not large else 8)
                kind = {"kind": "conv2d", "channels": out, "kernel": kernel, "stride": stride, "padding": padding}
                kind["bias"] = rng.random() < 0.8
            size = [(n + 2 * padding - kind["kernel"]) // stride + 1 for n in shape[1:]]
            if min(size) < 1 or min(shape[1:]) + 2 * padding < kind["kernel"] or out * size[0] * size[1] > (900 if large else 300):
                continue
            steps.append(kind)
            shape = [out] + [int(n) for n in size]
            if mode != "affine" and shape[0] % 2 == 0 and rng.random() < 0.85:
                steps.append(activation())
        steps.append({"kind": "flatten"})
        for _ in range(rng.integers(0, 3)):
            steps.append(linear(2 * rng.integers(1, 16)))
            if mode != "affine":
                steps.append(activation())
        return steps + [last()], input
    if mode in ("vector", "affine"):
        steps = []
        for _ in range(pick(1, 1, 2, 3, 4, 8)):
            steps.append(linear(2 * rng.integers(1, 20)))
            if mode != "affine":
                steps.append(activation())
        return steps + [last()], [int(rng.integers(1, 30))]
    if mode == "line":
        steps = []
        for _ in range(rng.integers(1, 7)):
            steps += [linear(2 * rng.integers(1, 8)), activation()]
        return steps + [last()], [1]
    # shallow: few inputs, one hidden layer.
    act, d = activation(), int(rng.integers(2, 4))
    width = {"relu": 6, "relu6": 4, "relu_theta": 4, "maxmin": 6, "clipped_maxmin": 4}[act["kind"]]
    first = [{"kind": "normalize"}] if rng.random() < 0.2 else []
    return first + [linear(width), act, linear(pick(1, 2, 3))], [d]


def images(rng, net, anchor, count):
    """The anchor itself, images near it and far from it; labels as the network says, some wrong."""
    n = net.inputs
    spread = typical(anchor) * 10.0**rng.uniform(-3, 1, (count, 1))
    x = anchor + spread * rng.standard_normal((count, n))
    x[0] = anchor
    if rng.random() < 0.5:
        x = x.astype(np.float32).astype(np.float64)
    y = net.forward(x).argmax(1)
    wrong = rng.random(count) < 0.1
    return x, np.where(wrong, rng.integers(0, net.classes, count), y)
