"""Random networks, and what they are in numpy: flat matrices and activations, forward and gradient.

Every layer of a network is one of

    affine      z = A x + b, A dense, made by sending unit vectors through loops over the kernel's taps
    activation  relu, clip (ReLU-theta, ReLU6), maxmin, clipped maxmin, on flat vectors; flatten is the identity

so that what is known of a convolution here shares nothing with how the program computes one.
"""

import numpy as np

# ---------------------------------------------------------------- layers as matrices


class Affine:
    def __init__(self, matrix, bias, spec):
        self.matrix, self.bias, self.spec = matrix, bias, spec

    def forward(self, x):
        return x @ self.matrix.T + self.bias

    def backward(self, x, g):
        return g @ self.matrix


class Activation:
    """`kind` and the flat thresholds it needs: (high,) of a clip, (max, min) of clipped maxmin."""

    def __init__(self, kind, thresholds, spec):
        self.kind, self.thresholds, self.spec = kind, thresholds, spec

    def halves(self, x):
        half = x.shape[-1] // 2
        return x[..., :half], x[..., half:]

    def forward(self, x):
        if self.kind == "relu":
            return np.maximum(x, 0)
        if self.kind == "clip":
            return np.maximum(np.minimum(x, self.thresholds[0]), 0)
        p, q = self.halves(x)
        top, bottom = np.maximum(p, q), np.minimum(p, q)
        if self.kind == "clipped_maxmin":
            top, bottom = np.minimum(top, self.thresholds[0]), np.maximum(bottom, self.thresholds[1])
        return np.concatenate([top, bottom], -1)

    def backward(self, x, g):
        if self.kind == "relu":
            return g * (x > 0)
        if self.kind == "clip":
            return g * ((x > 0) & (x < self.thresholds[0]))
        (p, q), (top, bottom) = self.halves(x), self.halves(g)
        if self.kind == "clipped_maxmin":
            top = top * (np.maximum(p, q) < self.thresholds[0])
            bottom = bottom * (np.minimum(p, q) > self.thresholds[1])
        first = p >= q
        return np.concatenate([np.where(first, top, bottom), np.where(first, bottom, top)], -1)

    def kinks(self, x):
        """Affine functions of x whose zeros are where this bends."""
        if self.kind == "relu":
            return x
        if self.kind == "clip":
            return np.concatenate([x, x - self.thresholds[0]], -1)
        p, q = self.halves(x)
        bends = [p - q]
        if self.kind == "clipped_maxmin":
            bends += [half - limit for half in (p, q) for limit in self.thresholds]
        return np.concatenate(bends, -1)


class Net:
    """`layers` in the program's order, without flatten, and `places`, their numbers there; `shapes` before and behind each of the
    program's layers. One logit has become two."""

    def __init__(self, input, specs, params, mode):
        self.input, self.specs, self.params, self.mode = input, specs, params, mode
        self.layers, self.places, self.shapes, shape = [], [], [], list(input)
        for at, spec in enumerate(specs):
            before = shape
            made, shape = build(at, spec, shape, params)
            self.shapes.append((before, shape))
            if made is not None:
                self.layers.append(made)
                self.places.append(at)
        last = self.layers[-1]
        if len(last.bias) == 1:
            zero = np.zeros((1, last.matrix.shape[1]))
            last.matrix, last.bias = np.vstack([zero, last.matrix]), np.concatenate([[0.0], last.bias])
            self.shapes[-1] = (self.shapes[-1][0], [2])
        self.classes, self.inputs = len(last.bias), int(np.prod(input))

    def forward(self, x):
        return self.walk(x)[-1]

    def walk(self, x):
        """Input and what stands behind every layer."""
        values = [x]
        for layer in self.layers:
            values.append(layer.forward(values[-1]))
        return values

    def margin_and_gradient(self, x, y, target=None):
        """Margins against `target`, or the best other class, and their gradients in x."""
        values, rows = self.walk(x), np.arange(len(x))
        logits = values[-1].copy()
        own = logits[rows, y]
        if target is None:
            logits[rows, y] = -np.inf
            target = logits.argmax(1)
        g = np.zeros_like(logits)
        g[rows, y] += 1
        g[rows, target] -= 1
        margin = own - values[-1][rows, target]
        for layer, before in zip(reversed(self.layers), reversed(values[:-1])):
            g = layer.backward(before, g)
        return margin, g

    def margins(self, x, y):
        logits = self.forward(x)
        rows = np.arange(len(x))
        own = logits[rows, y]
        logits[rows, y] = -np.inf
        return own - logits.max(1)

    def jacobian(self, x, upto):
        """The matrix of the first `upto` layers at one point x."""
        values, at = self.walk(x[None]), np.eye(len(self.walk(x[None])[upto][0]))
        for i in range(upto - 1, -1, -1):
            at = self.layers[i].backward(np.repeat(values[i], len(at), 0), at)
        return at

    def describe(self):
        return f"{self.mode}: {self.input} " + " ".join(s["kind"] for s in self.specs)


def windows(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


def build(at, spec, shape, params):
    """The layer of a specification over `shape`, and the shape behind it."""
    kind, get = spec["kind"], lambda name: params[f"{at}.{name}"].astype(np.float64)
    n = int(np.prod(shape))
    if kind == "flatten":
        return None, [n]
    if kind == "linear":
        bias = get("bias") if spec["bias"] else np.zeros(spec["features"])
        return Affine(get("weight"), bias, spec), [spec["features"]]
    if kind == "normalize":
        each = n // shape[0]
        scale = np.repeat([1.0 / s for s in spec["std"]], each)
        shift = np.repeat([-m / s for m, s in zip(spec["mean"], spec["std"])], each)
        return Affine(np.diag(scale), shift, spec), shape
    if kind in ("conv2d", "avg_pool2d"):
        c, h, w = shape
        k, stride = spec["kernel"], spec["stride"]
        if kind == "conv2d":
            weight, padding = get("weight"), spec["padding"]
            bias = get("bias") if spec["bias"] else np.zeros(spec["channels"])
        else:
            weight, padding, bias = np.zeros((c, c, k, k)), 0, np.zeros(c)
            weight[np.arange(c), np.arange(c)] = 1.0 / (k * k)
        out = [len(weight), windows(h, k, stride, padding), windows(w, k, stride, padding)]
        units = np.zeros((n, c, h + 2 * padding, w + 2 * padding))
        units[:, :, padding:padding + h, padding:padding + w] = np.eye(n).reshape(n, c, h, w)
        image = np.zeros([n] + out)
        for dy in range(k):
            for dx in range(k):
                seen = units[:, :, dy:dy + stride * out[1]:stride, dx:dx + stride * out[2]:stride][:, :, :out[1], :out[2]]
                image += np.einsum("oc,nchw->nohw", weight[:, :, dy, dx], seen)
        return Affine(image.reshape(n, -1).T.copy(), np.repeat(bias, out[1] * out[2]), spec), out
    if kind == "relu":
        return Activation("relu", (), spec), shape
    if kind == "relu6":
        return Activation("clip", (np.full(n, 6.0),), spec), shape
    if kind == "relu_theta":
        return Activation("clip", (get("threshold").reshape(-1),), spec), shape
    if kind == "maxmin":
        return Activation("maxmin", (), spec), shape
    if kind == "clipped_maxmin":
        return Activation("clipped_maxmin", (get("max").reshape(-1), get("min").reshape(-1)), spec), shape
    raise ValueError(kind)


