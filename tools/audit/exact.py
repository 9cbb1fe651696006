"""The judge: what a network does in exact arithmetic, on whole numbers times a power of two.

Weights, thresholds, points, bounds are all binary fractions, so nothing is rounded anywhere: a violation that stands here is none of
the audit's own rounding. float64 only looks for suspects.
"""

import numpy as np
from fractions import Fraction

BITS = 53


class Exact:
    """An array `whole * 2**power`, `whole` of Python's integers."""

    def __init__(self, whole, power):
        self.whole, self.power = whole, power

    @staticmethod
    def of(values):
        values = np.asarray(values, np.float64)
        mantissa, exponent = np.frexp(values)
        whole = (mantissa * 2.0**BITS).astype(np.int64).astype(object)
        exponent = exponent.astype(np.int64) - BITS
        least = int(exponent[values != 0].min()) if (values != 0).any() else 0
        shift = np.where(values != 0, exponent - least, 0).astype(object)
        return Exact(np.left_shift(whole, shift) if whole.size else whole, least)

    def to(self, power):
        return self.whole * (1 << (self.power - power))

    def together(self, other):
        power = min(self.power, other.power)
        return self.to(power), other.to(power), power

    def __add__(self, other):
        a, b, power = self.together(other)
        return Exact(a + b, power)

    def __sub__(self, other):
        a, b, power = self.together(other)
        return Exact(a - b, power)

    def maximum(self, other):
        a, b, power = self.together(other)
        return Exact(np.where(a >= b, a, b), power)

    def minimum(self, other):
        a, b, power = self.together(other)
        return Exact(np.where(a <= b, a, b), power)

    def less(self, other):
        a, b, _ = self.together(other)
        return (a < b).astype(bool)

    def dot(self, x):
        """This matrix times a vector."""
        return Exact(self.whole.dot(x.whole), self.power + x.power)

    def square(self):
        """The sum of squares, a fraction."""
        return sum(int(v)**2 for v in self.whole.reshape(-1)) * Fraction(2)**(2 * self.power)

    def fractions(self):
        return [int(v) * Fraction(2)**self.power for v in self.whole.reshape(-1)]

    def part(self, at):
        return Exact(self.whole[at], self.power)


class ExactNet:
    """Parameters of a network turned into whole numbers once."""

    def __init__(self, net):
        self.layers = []
        for layer in net.layers:
            if hasattr(layer, "matrix"):
                self.layers.append(("affine", Exact.of(layer.matrix), Exact.of(layer.bias)))
            else:
                self.layers.append((layer.kind, [Exact.of(t) for t in layer.thresholds], None))

    def walk(self, x):
        """Input and what stands behind every layer, exactly, at one point."""
        values = [x if isinstance(x, Exact) else Exact.of(x)]
        for kind, a, b in self.layers:
            z = values[-1]
            if kind == "affine":
                z = a.dot(z) + b
            elif kind in ("relu", "clip"):
                if kind == "clip":
                    z = z.minimum(a[0])
                z = z.maximum(Exact.of(np.zeros(len(z.whole))))
            else:
                half = len(z.whole) // 2
                p, q = z.part(slice(0, half)), z.part(slice(half, None))
                top, bottom = p.maximum(q), p.minimum(q)
                if kind == "clipped_maxmin":
                    top, bottom = top.minimum(a[0]), bottom.maximum(a[1])
                top, bottom, power = top.together(bottom)
                z = Exact(np.concatenate([top, bottom]), power)
            values.append(z)
        return values

    def margin(self, x, y):
        """How far label y's logit stands above the best other one, a fraction."""
        logits = self.walk(x)[-1].fractions()
        return logits[y] - max(v for j, v in enumerate(logits) if j != y)


def within(point, x, radius):
    """Is the point in the ball?"""
    return (Exact.of(point) - Exact.of(x)).square() <= Fraction(float(radius))**2


def stretched(matrix, vector):
    """||A v||^2 / ||v||^2, a fraction: the squared norm is at least this."""
    v = Exact.of(vector)
    return Exact.of(matrix).dot(v).square() / v.square()
