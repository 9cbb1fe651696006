"""What an audit has counted and found."""

import numpy as np


class Tally:
    """Counts, extremes, violations."""

    def __init__(self):
        self.counts, self.least, self.most, self.violations, self.luck, self.notes = {}, {}, {}, [], [0.0, 0], []

    def count(self, what, n=1):
        self.counts[what] = self.counts.get(what, 0) + int(n)

    def ratio(self, what, value):
        if np.isfinite(value):
            self.least[what] = min(self.least.get(what, np.inf), float(value))
            self.most[what] = max(self.most.get(what, -np.inf), float(value))

    def violation(self, kind, k, text, **proof):
        self.violations.append({"kind": kind, "net": k, "text": text, "proof": proof})

    def add(self, other):
        for what, n in other.counts.items():
            self.count(what, n)
        for what in other.most:
            self.ratio(what, other.least[what])
            self.ratio(what, other.most[what])
        self.violations += other.violations
        self.notes += other.notes
        self.luck = [a + b for a, b in zip(self.luck, other.luck)]
