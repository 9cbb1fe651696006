"""Radii against exact distances; certified balls and margins against attacks."""

import math
import numpy as np
from fractions import Fraction
from . import distances
from .boxes import into_ball
from .exact import within


def claims_of(job, told):
    """What is claimed: (sample, radius, margin that stays at least so large, by what)."""
    k, found = job["number"], []
    for b in range(len(job["x"])):
        say = lambda name: told[name][b] if name in told else np.nan
        radius = say(f"{k}.radius")
        for eps, margin, by in ((0.0, say(f"{k}.margins.zero"), "margins at 0"), (job["eps"][b], say(f"{k}.margins.box"), "margins"),
                                (radius / 2, say(f"{k}.margins.half"), "margins at half the radius")):
            if np.isfinite(margin):
                found.append((b, eps, margin, by))
        if radius > 0:
            found.append((b, radius, 0.0, "radius"))
        if f"{k}.cascade" in told:
            certified, margin, reach, eps = told[f"{k}.cascade"][b]
            if certified:
                found.append((b, eps, max(margin, 0.0), "cascade"))
            if reach > 0:
                found.append((b, reach, 0.0, "cascade's radius"))
    return found


def pgd(rng, net, x, y, eps, central, steps=25):
    """Descent on the margin in the balls, `x` [n, inputs] with a radius each, from the images where `central`, else from random points:
    the points with the smallest margins."""
    way = rng.standard_normal(x.shape)
    way *= eps[:, None] / np.linalg.norm(way, axis=1, keepdims=True)
    point = np.where(central[:, None], x, x + way)
    best, least = point.copy(), np.full(len(x), np.inf)
    for step in range(steps):
        margin, g = net.margin_and_gradient(point, y)
        better = margin < least
        best[better], least[better] = point[better], margin[better]
        length = np.abs(g).max(1, keepdims=True)
        g = g / np.where(length > 0, length, 1)
        length = np.linalg.norm(g, axis=1, keepdims=True)
        move = point - x - g / np.where(length > 0, length, 1) * eps[:, None] * (1.0 if step == 0 else 0.5 / (1 + step / 4))
        length = np.linalg.norm(move, axis=1, keepdims=True)
        point = x + move * np.minimum(1, eps[:, None] / np.where(length > 0, length, 1))
    return best


def check_claims(job, told, tally, rng, restarts):
    net, k, exact = job["net"], job["number"], job["exact"]
    claims = claims_of(job, told)
    if not claims:
        return
    b = np.repeat([c[0] for c in claims], restarts)
    eps = np.repeat([c[1] for c in claims], restarts)
    x, y = job["x"][b], job["y"][b]
    central = np.arange(len(x)) % restarts == 0
    points = into_ball(x, pgd(rng, net, x, y, eps, central), eps[:, None])
    margins = net.margins(points, y).reshape(len(claims), restarts)
    best = np.where(np.isfinite(margins), margins, np.inf).argmin(1)
    tally.count("claims attacked", len(claims))
    budget, size = int(np.clip(4e6 / job["cost"], 2, 12)), distances.magnitude(net, points).reshape(len(claims), restarts)
    worst = []
    for i, (sample, radius, margin, by) in enumerate(claims):
        reached, point = margins[i, best[i]], points[i * restarts + best[i]]
        if margin > 0 and by.startswith("margins") and reached - margin > 1e-9 * size[i, best[i]]:
            tally.ratio("margin reached/certified margin", reached / margin)
        worst.append(((reached - margin) / size[i, best[i]], i, point))
        if by == "radius" and radius > 0:
            direction = point - job["x"][sample]
            length = np.linalg.norm(direction)
            if length > 0:
                root = first_hit(job, tally, sample, direction / length, radius)
                tally.ratio("certified/attacked distance", radius / root if root > 0 else np.inf)
    for rank, (gap, i, point) in enumerate(sorted(worst, key=lambda w: w[0])):
        if rank >= budget and gap > 1e-9:
            break
        sample, radius, margin, by = claims[i]
        if within(point, job["x"][sample], radius):
            tally.count("claims judged exactly")
            judged = exact.margin(point, int(job["y"][sample]))
            if margin > 0 and by.startswith("margins"):
                tally.ratio("margin reached/certified margin", float(judged / Fraction(float(margin))))
            if judged < Fraction(float(margin)) or (judged <= 0 and by in ("radius", "cascade", "cascade's radius")):
                text = f"margin {float(judged)!r} within {float(radius)!r}, claimed {float(margin)!r}"
                tally.violation("attack", k, f"sample {sample}, {by}: {text}", point=point.tolist())


def first_hit(job, tally, sample, direction, radius):
    """How far along a direction the label holds; a violation where that is inside the certified radius."""
    x, y = job["x"][sample], int(job["y"][sample])
    root = distances.first_root(job["net"], x, y, direction, 100 * radius)
    tally.count("rays")
    if root < radius * (1 - 1e-9):
        judge_distance(job, tally, sample, direction, root, radius, "a ray")
    return root


def judge_distance(job, tally, sample, direction, distance, radius, how):
    y, k = int(job["y"][sample]), job["number"]
    point = distances.proof_near(job["exact"], job["x"][sample], y, direction, distance, radius)
    if point is None:
        tally.count("suspected distances that were none")
        return False
    tally.violation("distance", k, f"sample {sample}: radius {float(radius)!r} past {float(distance)!r}, by {how}", point=point.tolist())
    return True


def check_distances(job, told, tally):
    """Radii against exact distances."""
    net, k, x = job["net"], job["number"], job["x"]
    if f"{k}.radius" not in told:
        return
    for b, radius in enumerate(told[f"{k}.radius"]):
        y = int(job["y"][b])
        tally.count("radii")
        tally.count("radii above 0", radius > 0)
        if not radius > 0:
            continue
        found = known_distances(job, b)
        if found is None:
            continue
        tally.count(f"radii against exact distances, {net.mode}")
        if net.mode == "affine":
            tally.ratio("certified/exact distance, affine", radius / found[0][0] if found[0][0] > 0 else np.inf)
            for margin, squares in distances.affine_distances(net, job["exact"], x[b], y):
                if margin <= 0 or Fraction(float(radius))**2 * squares > margin**2:
                    text = f"radius {float(radius)!r}, distance {float(found[0][0])!r} of an affine network"
                    tally.violation("distance", k, f"sample {b}: {text}")
                    break
            continue
        for distance, direction in found[:100]:
            # What float64 takes for a point of the boundary may be none; the next nearest then.
            if radius <= distance * (1 + 1e-9):
                tally.ratio(f"certified/exact distance, {net.mode}", radius / distance)
                break
            if judge_distance(job, tally, b, direction, distance, radius, net.mode):
                break


def known_distances(job, b):
    """[(distance, unit direction)] of the points of the boundary that may be the nearest, nearest first; None where it is not known."""
    net, x, y = job["net"], job["x"][b], int(job["y"][b])
    if net.mode == "affine":
        pairs = distances.affine_distances(net, job["exact"], x, y)
        found = [float(margin) / math.sqrt(squares) if squares else np.inf for margin, squares in pairs]
        return [(max(min(found), 0.0), None)]
    if net.mode == "shallow":
        return distances.shallow_distances(net, x, y)
    if net.mode == "line":
        ways = [np.array([s]) for s in (1.0, -1.0)]
        return sorted(((distances.first_root(net, x, y, way, 1e9 * (1 + abs(x[0]))), way) for way in ways), key=lambda f: f[0])
    return None
