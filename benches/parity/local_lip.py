"""Local Lipschitz bounds in PyTorch: the peer that the workbench is compared with.

Algorithm 1 of Huang, Zhang, Shi, Kolter, Anandkumar, "Training Certifiably Robust Neural Networks with Efficient Local
Lipschitz Bounds" (NeurIPS 2021) for networks of convolutions, linear layers and ReLU-theta, and its losses, written from the
paper and independently of any published implementation. Where a gradient is a matter of convention (ties, a square root at
0) the comments say which side is taken.
"""
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


# ---- networks -------------------------------------------------------------------------------------------------------

class ReLUTheta(nn.Module):
    """min(max(x, 0), theta) with one learnable theta >= 0 per neuron. At x >= theta the gradient is theta's."""

    def __init__(self, shape, theta):
        super().__init__()
        self.threshold = nn.Parameter(torch.full((1, *shape), float(theta)))

    def forward(self, x):
        return torch.where(x < self.threshold, x.relu(), self.threshold)


def network(shape, convolutions, hidden, classes, theta):
    """`convolutions` are (channels, kernel, stride, padding). Layers are numbered as in the workbench."""
    (channels, side, _), layers = shape, []
    for out, kernel, stride, padding in convolutions:
        side = (side + 2 * padding - kernel) // stride + 1
        layers += [nn.Conv2d(channels, out, kernel, stride, padding), ReLUTheta((out, side, side), theta)]
        channels = out
    layers.append(nn.Flatten())
    features = channels * side * side
    for out in hidden:
        layers += [nn.Linear(features, out), ReLUTheta((out,), theta)]
        features = out
    return nn.Sequential(*layers, nn.Linear(features, classes))


def mnist_4c3f():
    return network((1, 28, 28), [(32, 3, 1, 1), (32, 4, 2, 1), (64, 3, 1, 1), (64, 4, 2, 1)], [512, 512], 10, 1.0)


def cifar10_6c2f():
    convolutions = [(32, 3, 1, 1), (32, 3, 1, 1), (32, 4, 2, 1), (64, 3, 1, 1), (64, 3, 1, 1), (64, 4, 2, 1)]
    return network((3, 32, 32), convolutions, [512], 10, 2.0)


def is_affine(layer):
    return isinstance(layer, (nn.Conv2d, nn.Linear))


def project_thresholds(model):
    """theta >= 0, after each step of the optimiser."""
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, ReLUTheta):
                layer.threshold.clamp_(min=0)


# ---- one affine layer -----------------------------------------------------------------------------------------------

def linear_map(layer, u, weight=None):
    """W u, or with another weight of the same shape."""
    weight = layer.weight if weight is None else weight
    if isinstance(layer, nn.Linear):
        return F.linear(u, weight)
    return F.conv2d(u, weight, None, layer.stride, layer.padding)


def adjoint(layer, v, like):
    """W^T v, in the shape of `like`."""
    if isinstance(layer, nn.Linear):
        return v @ layer.weight
    # What the stride cuts off at the lower right is given back, per dimension.
    lost = [(n + 2 * p - k) % s for n, p, k, s in zip(like.shape[2:], layer.padding, layer.kernel_size, layer.stride)]
    return F.conv_transpose2d(v, layer.weight, None, layer.stride, layer.padding, output_padding=lost)


def per_sample(values, like):
    """[B] -> [B, 1, ...]."""
    return values.view(-1, *[1] * (like.dim() - 1))


def unit(x):
    """Each sample divided by its norm; zero stays zero."""
    norm = x.flatten(1).norm(dim=1)
    return x / per_sample(torch.where(norm > 0, norm, 1.0), x)


def masked(x, mask):
    return x if mask is None else x * mask


@torch.no_grad()
def singular_vectors(layer, u, columns, rows, iterations, tolerance=None):
    """Power iteration on I_rows W I_columns from `u`; with a tolerance each sample stops when its u moves by less."""
    u, v = masked(u, columns).clone(), linear_map(layer, u)
    left = torch.arange(len(u))                                           # the samples still at work
    for _ in range(iterations):
        part = lambda mask: None if mask is None else mask[left]
        v_new = unit(masked(linear_map(layer, u[left]), part(rows)))
        u_new = unit(masked(adjoint(layer, v_new, u), part(columns)))
        moved = (u_new - u[left]).flatten(1).norm(dim=1)
        u[left], v[left] = u_new, v_new
        if tolerance is not None:
            left = left[moved > tolerance]
            if len(left) == 0:
                break
    return u, v


def spectral_norm(layer, u, columns, rows, power):
    """sigma = v . (W u) at the vectors of the last iteration, which is ||I W^T v||, and the vectors u to go on from. The
    gradient is the envelope's: u and v are constant."""
    u, v = singular_vectors(layer, u, columns, rows, **power)
    return (v * linear_map(layer, u)).flatten(1).sum(1), u


# ---- Algorithm 1 ----------------------------------------------------------------------------------------------------

@dataclass
class Bounds:
    logits: torch.Tensor        # [B, C]
    center: torch.Tensor        # clean activations before the last layer, [B, features]
    lower: torch.Tensor         # their box
    upper: torch.Tensor
    lipschitz: torch.Tensor     # [B], product of the local norms of all layers but the last
    radius: torch.Tensor        # [B], eps times it


def local_bounds(model, x, eps, local, global_, power):
    """Ball, box and local norms, layer by layer. `local` {layer: u [B, ...]} and `global_` {layer: u [1, ...]} hold the
    start vectors of the power iterations and receive the new ones."""
    layers = list(model)
    center, lower, upper = x, x - eps, x + eps
    ball = torch.full((len(x),), float(eps), dtype=x.dtype)              # radius of the ball, by global norms
    lipschitz, columns = torch.ones_like(ball), None                      # columns: what varies before the layer
    for i, layer in enumerate(layers[:-1]):
        if is_affine(layer):
            whole, global_[i] = spectral_norm(layer, global_[i], None, None, power)
            middle = layer((lower + upper) / 2)
            half = linear_map(layer, (upper - lower) / 2, layer.weight.abs())
            center = layer(center)
            norms = layer.weight.flatten(1).norm(dim=1)                   # of the output units' own rows
            reach = per_sample(ball, center) * norms.view(1, -1, *[1] * (center.dim() - 2))
            # Where box and ball meet exactly the gradient is the ball's.
            low_box, low_ball, high_box, high_ball = middle - half, center - reach, middle + half, center + reach
            lower = torch.where(low_box > low_ball, low_box, low_ball)
            upper = torch.where(high_box < high_ball, high_box, high_ball)
            ball = ball * whole
            # I_V: which of the neurons behind this layer can vary.
            rows = ((upper > 0) & (lower < layers[i + 1].threshold)).to(x.dtype).detach()
            own, local[i] = spectral_norm(layer, local[i], columns, rows, power)
            lipschitz, columns = lipschitz * own, rows
        elif isinstance(layer, ReLUTheta):
            center, lower, upper = layer(center), layer(lower), layer(upper)
        else:                                                             # flatten
            center, lower, upper, columns = (t.flatten(1) for t in (center, lower, upper, columns))
    return Bounds(layers[-1](center), center, lower, upper, lipschitz, eps * lipschitz)


# ---- worst logits and losses ----------------------------------------------------------------------------------------

def safe_sqrt(x):
    """A square root whose gradient at 0 (and below, where it is 0) is 0."""
    return torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0)


def worst_logits(last, bounds, y, iterations):
    """logit_j + max (w_j - w_y) . d over ||d|| <= radius and the box, by clip-and-enlarge: an upper bound after any
    number of iterations, the maximum when no further coordinate leaves the box."""
    d = last.weight[None] - last.weight[y][:, None]                       # [B, C, features]
    low, high = bounds.lower - bounds.center, bounds.upper - bounds.center
    low = torch.where(low < 0, low, 0.0)[:, None]
    high = torch.where(high > 0, high, 0.0)[:, None]
    radius2 = bounds.radius[:, None] ** 2                                 # [B, 1]
    corner = torch.where(d > 0, high, low)                                # where a clipped coordinate sits
    with torch.no_grad():
        clipped = torch.zeros_like(d, dtype=torch.bool)
        for _ in range(iterations):
            left = (radius2 - (corner * clipped).square().sum(-1)).clamp(min=0)
            free = (d * ~clipped).square().sum(-1)
            point = d * (left / free).sqrt()[..., None]                   # NaN for the label itself: clips nothing
            grown = clipped | (point > high) | (point < low)
            if torch.equal(grown, clipped):
                break
            clipped = grown
    fixed, free = torch.where(clipped, corner, 0.0), torch.where(clipped, 0.0, d)
    rest = safe_sqrt(free.square().sum(-1)) * safe_sqrt(radius2 - fixed.square().sum(-1))
    return bounds.logits + (d * fixed).sum(-1) + rest


def bcp_loss(logits, worst, y, kappa):
    return kappa * F.cross_entropy(logits, y) + (1 - kappa) * F.cross_entropy(worst, y)


def gloro_loss(logits, worst, y):
    """Cross-entropy with an extra class whose logit is the largest worst logit of the other classes."""
    others = worst.masked_fill(F.one_hot(y, worst.shape[1]).bool(), -torch.inf)
    return F.cross_entropy(torch.cat([logits, others.max(dim=1, keepdim=True).values], dim=1), y)


# ---- schedule and step ----------------------------------------------------------------------------------------------

def ramp(position, start, length, begin, end):
    """From `begin` to `end`, linearly, while the position (in epochs) goes from `start` to `start + length`."""
    if position >= start + length:
        return float(end)
    return begin + (end - begin) * max(0.0, position - start) / length


def learning_rate(epoch, epochs, lr, lr_end):
    """Constant until 3/4 of a short run (under 100 epochs), then exponentially down to `lr_end` at the last epoch."""
    flat, last = epochs * 3 // 4, epochs - 1
    return lr if epoch <= flat or last <= flat else lr * (lr_end / lr) ** ((epoch - flat) / (last - flat))


def train(model, images, labels, order, local, global_, cfg, report=lambda *_: None):
    """Local-Lip-B or -G. `order` [epochs, images] says which images come when; `local` {layer: [images, ...]} and
    `global_` {layer: [1, ...]} are kept from one visit to the next. Calls `report(epoch, step, eps, kappa, loss)`."""
    optimizer, step = torch.optim.Adam(model.parameters(), lr=cfg["lr"], eps=1e-8), 0
    for epoch, images_of_epoch in enumerate(order):
        batches = images_of_epoch.split(cfg["batch"])
        for number, index in enumerate(batches):
            position = epoch + number / len(batches)
            eps = ramp(position, cfg["warmup"], cfg["ramp"], 0.0, cfg["eps_train"])
            kappa = ramp(position, cfg["warmup"], cfg["ramp"], 1.0, 0.0)
            own = {i: u[index] for i, u in local.items()}
            bounds = local_bounds(model, images[index], eps, own, global_, dict(iterations=cfg["iterations"]))
            for i, u in own.items():
                local[i][index] = u
            y = labels[index]
            worst = worst_logits(model[-1], bounds, y, cfg["worst_iterations"])
            if cfg["loss"] == "gloro":
                loss = gloro_loss(bounds.logits, worst, y)
            else:
                loss = bcp_loss(bounds.logits, worst, y, kappa)
            optimizer.param_groups[0]["lr"] = learning_rate(epoch, cfg["epochs"], cfg["lr"], cfg["lr_end"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            project_thresholds(model)
            report(epoch, step, eps, kappa, loss.item())
            step += 1


# ---- evaluation -----------------------------------------------------------------------------------------------------

@torch.no_grad()
def evaluate(model, images, labels, eps, batch=250):
    """Clean and certified accuracy: norms from random vectors until each sample's moves by no more than 1e-3 (at most
    2000 iterations), worst logits to convergence. A certificate needs a finite margin above 0."""
    clean = certified = 0
    shapes, x = {}, images[:1]
    for i, layer in enumerate(model[:-1]):
        if is_affine(layer):
            shapes[i] = x.shape[1:]
        x = layer(x)
    global_ = {i: torch.randn(1, *shape, dtype=x.dtype) for i, shape in shapes.items()}
    for x, y in zip(images.split(batch), labels.split(batch)):
        local = {i: torch.randn(len(x), *shape, dtype=x.dtype) for i, shape in shapes.items()}
        bounds = local_bounds(model, x, eps, local, global_, dict(iterations=2000, tolerance=1e-3))
        margin = lambda logits: logits.gather(1, y[:, None])[:, 0] - logits.masked_fill(
            F.one_hot(y, logits.shape[1]).bool(), -torch.inf).max(dim=1).values
        right = margin(bounds.logits) > 0
        worst = margin(worst_logits(model[-1], bounds, y, bounds.center.shape[1]))
        clean += right.sum().item()
        certified += (right & (worst > 0) & worst.isfinite()).sum().item()
    return clean / len(images), certified / len(images)
