"""Boxes, balls, masks and local norms against the activations of points of the ball; suspects judged in exact arithmetic."""

import math
import numpy as np
from fractions import Fraction
from .exact import Exact, within
from .norms import above, pad


def points_of(rng, net, x, eps, count):
    """Points of the ball in float64: the centre, random ones, corners along gradients and singular directions of every layer."""
    ways = [rng.standard_normal((count, net.inputs))]
    ways.append(rng.standard_normal((count // 2, net.inputs)))
    for upto, layer in enumerate(net.layers, 1):
        if hasattr(layer, "matrix") and net.inputs * len(layer.bias) < 60000:
            jacobian = net.jacobian(x, upto)
            if not np.isfinite(jacobian).all():
                continue
            right = np.linalg.svd(jacobian, full_matrices=False)[2][:2]
            rows = jacobian[rng.integers(0, len(jacobian), 6)]
            rows = np.concatenate([right, rows])
            ways += [rows, -rows]
    ways.append(np.sign(rng.standard_normal((4, net.inputs))))
    ways.append(np.eye(net.inputs)[rng.integers(0, net.inputs, 4)])
    ways = np.concatenate(ways)
    length = np.abs(ways).max(1, keepdims=True)
    ways = ways / np.where(length > 0, length, 1)
    length = np.linalg.norm(ways, axis=1, keepdims=True)
    reach = np.ones((len(ways), 1))
    reach[count:count + count // 2] = rng.random((count // 2, 1))**(1 / net.inputs)
    return np.concatenate([x[None], into_ball(x, x + eps * reach * ways / np.where(length > 0, length, 1), eps)])


def into_ball(x, points, eps):
    """Points drawn in until what is stored lies in the ball; x itself where rounding leaves nothing."""
    for _ in range(6):
        way = points - x
        length = np.linalg.norm(way, axis=-1, keepdims=True)
        far = ~(length * (1 + 1e-14) <= eps)
        if not far.any():
            return points
        points = np.where(far, x + way * (eps / np.where(length > 0, length, 1) * (1 - 1e-13)), points)
    length = np.linalg.norm(points - x, axis=-1, keepdims=True)
    return np.where(length * (1 + 1e-14) <= eps, points, x)


def check_boxes(job, told, tally, rng):
    net, k, x, exact = job["net"], job["number"], job["x"], job["exact"]
    if f"{k}.box.{net.places[-1]}.lower" not in told:
        return
    budget = int(np.clip(4e6 / job["cost"], 3, 16))
    for b in range(len(x)):
        points = points_of(rng, net, x[b], job["eps"][b], 24) if job["eps"][b] > 0 else x[b][None]
        values = net.walk(points)
        tally.count("points", len(points))
        suspects = {0: -np.inf}
        for layer, at, z in zip(net.layers, net.places, values[1:]):
            low, high, center, radius = (told[f"{k}.box.{at}.{name}"][b] for name in ("lower", "upper", "center", "radius"))
            tally.count("boxes")
            if not (np.isfinite(low).all() and np.isfinite(high).all() and np.isfinite(radius)):
                tally.count("boxes not finite")
                continue
            width = np.maximum(high - low, 1e-300)
            over = (np.maximum(z - high, low - z) / width).max(1)
            ball = np.linalg.norm(z - center, axis=1) / max(radius, 1e-300) - 1
            if job["eps"][b] > 0:
                tally.ratio(f"share of the box reached, layer {at}" if at < 4 else "share of the box reached, deeper", 1 + 2 * over.max())
                tally.ratio(f"share of the ball reached, layer {at}" if at < 4 else "share of the ball reached, deeper", 1 + ball.max())
            for score in (over, ball):
                worst = int(score.argmax())
                suspects[worst] = max(suspects.get(worst, -np.inf), score[worst])
        check_local(job, told, tally, b, points, values, suspects)
        order = sorted(suspects, key=lambda i: -suspects[i])
        for i in dict.fromkeys([0] + order[:max(2, budget // len(x))]):
            judge_boxes(job, told, tally, b, points[i], exact)


def judge_boxes(job, told, tally, b, point, exact):
    """Boxes, balls and features at one point of the ball, in exact arithmetic."""
    net, k = job["net"], job["number"]
    if not within(point, job["x"][b], job["eps"][b]):
        return
    tally.count("points judged exactly")
    values = exact.walk(point)
    for at, z in zip(net.places, values[1:]):
        low, high, center, radius = (told[f"{k}.box.{at}.{name}"][b] for name in ("lower", "upper", "center", "radius"))
        if np.isfinite(low).all() and np.isfinite(high).all():
            out = z.less(Exact.of(low)) | Exact.of(high).less(z)
            if out.any():
                i = int(np.argmax(out))
                text = f"value {i} is {float(z.fractions()[i])!r}, outside [{float(low[i])!r}, {float(high[i])!r}]"
                tally.violation("box", k, f"sample {b}, layer {at} {net.specs[at]['kind']}: {text}", point=point.tolist())
        if np.isfinite(radius) and np.isfinite(center).all():
            away = (z - Exact.of(center)).square()
            if away > Fraction(float(radius))**2:
                text = f"{math.sqrt(away)!r} from the centre, radius {float(radius)!r}"
                tally.violation("ball", k, f"sample {b}, layer {at} {net.specs[at]['kind']}: {text}", point=point.tolist())
    if f"{k}.features.center" in told:
        center, radius = told[f"{k}.features.center"][b], told[f"{k}.features.radius"][b]
        if np.isfinite(radius) and np.isfinite(center).all():
            away = (values[-2] - Exact.of(center)).square()
            if away > Fraction(float(radius))**2:
                text = f"{math.sqrt(away)!r} from the centre, radius {float(radius)!r} by local norms"
                tally.violation("features", k, f"sample {b}: {text}", point=point.tolist())


def check_local(job, told, tally, b, points, values, suspects):
    """Masks: what is called constant must be. Local norms: as large as the masked matrices'. The local Lipschitz bound."""
    net, k = job["net"], job["number"]
    if f"{k}.lipschitz" not in told:
        return
    for i, (layer, at) in enumerate(zip(net.layers[:-1], net.places)):
        if not hasattr(layer, "matrix"):
            continue
        columns, rows = told.get(f"{k}.local.{at}.columns"), told.get(f"{k}.local.{at}.rows")
        columns = pad(None if columns is None else columns[b], layer.matrix.shape[1])
        rows = pad(None if rows is None else rows[b], len(layer.bias))
        for name, mask, z in (("columns", columns, values[i]), ("rows", rows, values[i + 2])):
            if mask.all():
                continue
            tally.count("masks")
            tally.count("neurons masked", (~mask).sum())
            moved = (z[:, ~mask] != z[0][~mask]).any(0)
            if moved.any():
                # Two float64 walks may differ in the last bit where the exact values do not.
                neuron = np.nonzero(~mask)[0][int(np.argmax(moved))]
                other = int(np.argmax(z[:, neuron] != z[0, neuron]))
                depth = i if name == "columns" else i + 2
                one, two = (job["exact"].walk(points[at])[depth].fractions()[neuron] for at in (0, other))
                if one != two:
                    text = f"sample {b}, {name} of layer {at}: neuron {neuron} is called constant and moves"
                    tally.violation("mask", k, text, point=points[other].tolist())
        upper = told[f"{k}.local.{at}.upper"]
        upper = upper[b if len(upper) > 1 else 0]
        part = layer.matrix[rows][:, columns]
        if part.size:
            sigma, broken = above(part, upper)
            tally.count("local norms")
            if broken:
                tally.violation("local norm", k, f"sample {b}, layer {at}: {float(upper)!r} below {float(sigma)!r}")
    lipschitz = told[f"{k}.lipschitz"]
    lipschitz = lipschitz[b if len(lipschitz) > 1 else 0]
    center, radius = told[f"{k}.features.center"][b], told[f"{k}.features.radius"][b]
    away = np.linalg.norm(values[-2] - center, axis=1) / max(radius, 1e-300) - 1
    suspects[int(away.argmax())] = max(suspects.get(int(away.argmax()), -np.inf), away.max())
    if np.isfinite(lipschitz) and net.inputs * values[-2].shape[1] < 60000:
        norms = np.prod([np.linalg.norm(layer.matrix, 2) for layer in net.layers[:-1] if hasattr(layer, "matrix")])
        for i in sorted(suspects, key=lambda i: -suspects[i])[:2]:
            jacobian = net.jacobian(points[i], len(net.layers) - 1)
            if np.isfinite(jacobian).all():
                slope = np.linalg.norm(jacobian, 2)
                tally.count("jacobians")
                tally.ratio("slope/lipschitz", slope / lipschitz if lipschitz > 0 else 0)
                if slope > lipschitz * (1 + 1e-9) + 1e-12 * norms:
                    text = f"sample {b}: slope {float(slope)!r} above {float(lipschitz)!r}"
                    tally.violation("lipschitz", k, text, point=points[i].tolist())
