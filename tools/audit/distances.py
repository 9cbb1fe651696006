"""Exact distances to the decision boundary, where they can be had.

    affine      margin / ||w_y - w_j||, in exact arithmetic
    shallow     few inputs, one hidden layer: the nearest boundary point is the projection of x onto a piece's boundary and at most
                d - 1 bends; all of these are tried, and those kept at which the network itself says so
    line        along a ray the network is piecewise linear: its bends are found layer by layer, then its first root
"""

import itertools
import numpy as np
from .exact import Exact
from fractions import Fraction


def affine_distances(net, exact, x, y):
    """Of every other class, [(margin, ||w_y - w_j||^2)] as fractions."""
    product = exact.layers[-1][1]
    for _, matrix, _ in reversed(exact.layers[:-1]):
        product = Exact(product.whole.dot(matrix.whole), product.power + matrix.power)
    logits = exact.walk(x)[-1].fractions()
    found = []
    for j in range(net.classes):
        if j != y:
            found.append((logits[y] - logits[j], (product.part(y) - product.part(j)).square()))
    return found


def pieces(activation, n):
    """The affine maps that each unit of an activation may be: [[(outputs, rows, constants)]], whether or not it ever is."""
    unit = np.eye(n)
    zero = np.zeros(n)
    if activation.kind in ("relu", "clip"):
        options = []
        for i in range(n):
            here = [([i], [zero], [0.0]), ([i], [unit[i]], [0.0])]
            if activation.kind == "clip":
                here.append(([i], [zero], [max(activation.thresholds[0][i], 0.0)]))
            options.append(here)
        return options
    half, options = n // 2, []
    for i in range(half):
        tops, bottoms = [(unit[i], 0.0), (unit[half + i], 0.0)], [(unit[i], 0.0), (unit[half + i], 0.0)]
        if activation.kind == "clipped_maxmin":
            tops.append((zero, activation.thresholds[0][i]))
            bottoms.append((zero, activation.thresholds[1][i]))
        options.append([([i, half + i], [t[0], b[0]], [t[1], b[1]]) for t in tops for b in bottoms])
    return options


def shallow_distances(net, x, y):
    """[(distance, unit direction)] from x to points where another class ties, nearest first."""
    at = next(i for i, layer in enumerate(net.layers) if not hasattr(layer, "matrix"))
    activation, d = net.layers[at], len(x)
    matrix, offset = np.eye(d), np.zeros(d)
    for layer in net.layers[:at]:
        matrix, offset = layer.matrix @ matrix, layer.matrix @ offset + layer.bias
    tail, tail_offset = np.eye(len(offset)), np.zeros(len(offset))
    for layer in net.layers[at + 1:]:
        tail, tail_offset = layer.matrix @ tail, layer.matrix @ tail_offset + layer.bias
    zero = activation.kinks(offset[None])[0]
    bends = (activation.kinks(matrix.T + offset) - zero).T                     # normals, one a row
    n, normals, levels = len(offset), [], []
    for choice in itertools.product(*pieces(activation, n)):
        slope, constant = np.zeros((n, n)), np.zeros(n)
        for outputs, rows, constants in choice:
            slope[outputs], constant[outputs] = rows, constants
        logits, level = tail @ slope @ matrix, tail @ (slope @ offset + constant) + tail_offset
        for j in range(net.classes):
            if j != y:
                normals.append(logits[y] - logits[j])
                levels.append(-(level[y] - level[j]))
    normals, levels = np.array(normals), np.array(levels)
    unique = np.unique(np.column_stack([normals, levels]), axis=0)
    normals, levels = unique[:, :-1], unique[:, -1]
    points = []
    for size in range(d):
        for subset in itertools.combinations(range(len(bends)), size):
            facets, right = bends[list(subset)], -zero[list(subset)]
            system = np.concatenate([normals[:, None], np.broadcast_to(facets, (len(normals), size, d))], 1)
            values = np.concatenate([levels[:, None], np.broadcast_to(right, (len(normals), size))], 1)
            scale = np.linalg.norm(system, axis=2)
            scale[scale == 0] = 1
            system, values = system / scale[..., None], values / scale
            gap = values - system @ x
            points.append(x + np.einsum("kdm,km->kd", np.linalg.pinv(system, rcond=1e-10), gap))
    points = np.concatenate(points)
    points = points[np.isfinite(points).all(1)]
    points = points if len(points) else x[None]
    reached, size = np.abs(net.margins(points, np.full(len(points), y))), magnitude(net, points)
    points = points[reached <= 1e-10 * size]
    away = np.linalg.norm(points - x, axis=1)
    return [(away[i], (points[i] - x) / (away[i] or 1)) for i in away.argsort()]


def magnitude(net, points):
    """How large the terms are that the logits are sums of."""
    size = np.abs(points)
    for layer in net.layers:
        if hasattr(layer, "matrix"):
            size = size @ np.abs(layer.matrix).T + np.abs(layer.bias)
        elif layer.kind == "clipped_maxmin":
            size = size + np.concatenate([np.abs(t) for t in layer.thresholds])
        if not hasattr(layer, "matrix") and "maxmin" in layer.kind:
            p, q = layer.halves(size)
            size = np.concatenate([np.maximum(p, q)] * 2, -1)
    return size.max(1)


def bends_along(net, x, direction, far):
    """Where on the ray x + t direction, 0 <= t <= far, the network bends: between these t it is linear."""
    ts = np.array([0.0, far])
    for i, layer in enumerate(net.layers):
        if hasattr(layer, "matrix"):
            continue
        here = net.walk(x + ts[:, None] * direction)[i]
        k = layer.kinks(here)
        crossed = (k[:-1] < 0) != (k[1:] < 0)
        at, unit = np.nonzero(crossed)
        a, b = k[at, unit], k[at + 1, unit]
        share = a / np.where(a == b, 1, a - b)
        ts = np.unique(np.concatenate([ts, ts[at] + np.clip(share, 0, 1) * (ts[at + 1] - ts[at])]))
    return ts


def first_root(net, x, y, direction, far):
    """The smallest t at which y no longer has the largest logit; infinite where it keeps it up to `far`."""
    ts = bends_along(net, x, direction, far)
    logits = net.forward(x + ts[:, None] * direction)
    others = np.delete(logits[:, [y]] - logits, y, 1)
    low = others <= 0
    if low[0].any():
        return 0.0
    at, j = np.nonzero(low[1:] & ~low[:-1])
    if len(at) == 0:
        return np.inf
    a, b = others[at, j], others[at + 1, j]
    return float((ts[at] + a / (a - b) * (ts[at + 1] - ts[at])).min())


def proof_near(exact, x, y, direction, distance, radius):
    """A point of the ball that has another label, in exact arithmetic, a little beyond `distance` along a unit direction; or None."""
    for more in (0, 1e-15, 1e-12, 1e-10, 1e-9, 1e-8, 1e-6, 1e-4, 1e-2):
        point = x + direction * (distance * (1 + more))
        inside = (Exact.of(point) - Exact.of(x)).square() <= Fraction(float(radius))**2
        if inside and exact.margin(point, y) <= 0:
            return point
    return None
