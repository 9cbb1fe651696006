"""Auto-PGD in l2 (Croce & Hein 2020, Algorithm 1), image by image in float64: what tests/attacks.rs compares with.

    tests/cases/apgd.py tests/cases/apgd.safetensors        (torch, safetensors)

P cuts to [0, 1] (where asked for), projects onto the ball, cuts again. Ends are the best points by the objective.
"""

import sys

import torch
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
STEPS = [1, 3, 10, 40, 100]
EPSILON = 0.35


def cross_entropy(z, y, t):
    return torch.logsumexp(z, 0) - z[y]


def ratio(z, y, t):
    if len(z) < 4:
        return z[t] - z[y]
    s = z.sort(descending=True).values
    return -(z[y] - z[t]) / (s[0] - (s[2] + s[3]) / 2)


def value_and_slope(net, objective, x, y, t):
    x = x.clone().requires_grad_(True)
    value = objective(net(x), y, t)
    return value.item(), torch.autograd.grad(value, x)[0]


def project(point, x, clip):
    cut = (lambda p: p.clamp(0, 1)) if clip else (lambda p: p)
    way = cut(point) - x
    length = way.norm()
    return cut(x + (way if length <= EPSILON else way * (EPSILON / length)))


def checkpoints(n):
    p = [0, 22]  # in hundredths, so that nothing is rounded
    while p[-1] < 100:
        p.append(p[-1] + max(p[-1] - p[-2] - 3, 6))
    return sorted({-(-share * n // 100) for share in p[1:]})


def apgd(net, objective, x, start, y, t, n, clip):
    xs, fs = [project(start, x, clip)], []
    eta, etas = 2 * EPSILON, []
    f, g = value_and_slope(net, objective, xs[0], y, t)
    fs.append(f)
    best, best_f, best_g = xs[0], f, g
    last_w, last_best, rises = 0, f, 0
    halved = False
    for k in range(n):
        z = project(xs[k] + eta * g / g.norm(), x, clip)
        new = z if k == 0 else project(xs[k] + 0.75 * (z - xs[k]) + 0.25 * (xs[k] - xs[k - 1]), x, clip)
        f, g = value_and_slope(net, objective, new, y, t)
        rises += f > fs[k]
        if f > best_f:
            best, best_f, best_g = new, f, g
        if k + 1 in checkpoints(n) and k + 1 < n:
            first = rises < 0.75 * (k + 1 - last_w)
            second = not halved and best_f == last_best
            halved = first or second
            if halved:
                eta, new, f, g = eta / 2, best, best_f, best_g
            last_w, last_best, rises = k + 1, best_f, 0
        xs.append(new)
        fs.append(f)
        etas.append(eta)
    return best, len(set(etas))


def case(name, classes, seed, out):
    torch.manual_seed(seed)
    images, size, hidden = 6, 8, 12
    weights = [torch.randn(hidden, size) * 0.8, torch.randn(hidden) * 0.3, torch.randn(classes, hidden) * 0.6, torch.randn(classes) * 0.3]
    net = lambda x: weights[2] @ torch.relu(weights[0] @ x + weights[1]) + weights[3]
    x = torch.rand(images, size)
    start = x + torch.randn(images, size) * 0.1
    y = torch.stack([net(one) for one in x]).argmax(1)
    out.update({f"{name}/{i}": w for i, w in enumerate(weights)})
    out.update({f"{name}/x": x, f"{name}/start": start, f"{name}/y": y.to(torch.uint8)})
    halvings = 0
    for clip in [True, False]:
        for what, objective in [("cross_entropy", cross_entropy), ("dlr", ratio)]:
            for n in STEPS:
                ends = []
                for i in range(images):
                    others = [c for c in net(x[i]).argsort(descending=True).tolist() if c != y[i]]
                    end, lengths = apgd(net, objective, x[i], start[i], y[i].item(), others[0], n, clip)
                    ends.append(end)
                    halvings += lengths - 1
                out[f"{name}/{what}/{'images' if clip else 'free'}/{n}"] = torch.stack(ends)
    print(name, "steps were halved", halvings, "times")


out = {}
case("five", 5, 1, out)
case("three", 3, 2, out)
save_file({name: tensor.contiguous() for name, tensor in out.items()}, sys.argv[1])
