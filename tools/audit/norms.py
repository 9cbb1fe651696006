"""Upper bounds on norms of masked layers against the singular values of the masked matrix."""

import numpy as np
from fractions import Fraction
from .exact import stretched


def pad(mask, n):
    """A flat mask of bools; all of them without one."""
    return np.ones(n, bool) if mask is None else mask.reshape(-1).astype(bool)


def above(matrix, upper):
    """The norm, and whether it lies above `upper`: proved by a vector, so that no rounding counts."""
    _, s, right = np.linalg.svd(matrix)
    if not np.isfinite(upper) or upper > s[0] * (1 + 1e-9):
        return s[0], False
    return s[0], s[0] > 0 and stretched(matrix, right[0]) > Fraction(float(upper))**2


def check_norms(job, told, tally):
    k = job["number"]
    for ask in job["norms"]:
        got = told.get(f"{k}.norm.{ask['number']}.upper")
        if got is None:
            continue
        lower, options = told[f"{k}.norm.{ask['number']}.lower"], ask["options"]
        matrix, method = ask["matrix"], options["method"]
        for b in range(len(got)):
            columns = pad(ask["mask"][0][b] if ask["columns"] else None, matrix.shape[1])
            rows = pad(ask["mask"][1][b] if ask["rows"] else None, matrix.shape[0])
            part = matrix[rows][:, columns]
            sigma, broken = above(part, got[b]) if part.size else (0.0, got[b] < 0)
            tally.count("norms")
            tally.count(f"norms {method}")
            text = (f"{method} {options}, layer {ask['layer']} {ask['spec']}, sample {b}: "
                    f"upper {float(got[b])!r}, norm {float(sigma)!r}, lower {float(lower[b])!r}")
            chance = options.get("failure", 0.0) if method == "lanczos" else 0.0
            if chance > 1e-7:
                tally.luck = [tally.luck[0] + chance, tally.luck[1] + int(broken)]
            elif broken:
                tally.violation("norm", k, text)
            if lower[b] > sigma * (1 + 1e-12) + 1e-300:
                tally.violation("norm lower", k, text)
            if not np.isfinite(got[b]):
                tally.count("norms not finite")
            elif sigma > 0:
                tally.ratio(f"upper/norm - 1, {method}", got[b] / sigma - 1)
                # No certificate rests on tightness: this is told, and no violation.
                if method in ("factor", "lanczos") and ask["plain"] and got[b] > sigma * (1 + options["tolerance"]) * (1 + 1e-9):
                    tally.count(f"norms looser than asked, {method}")
                    tally.ratio(f"(upper/norm - 1)/tolerance, {method}", (got[b] / sigma - 1) / options["tolerance"])
                    tally.notes.append(f"net {k}, {text}, the layer unmasked {float(np.linalg.norm(matrix, 2))!r}")
