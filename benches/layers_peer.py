#!/usr/bin/env python3
"""Layers of norm 1 in PyTorch, plain and compiled, in turn with benches/layers.rhai on the same machine in the same minute.

    peer-venv/bin/python benches/layers_peer.py target/release/workbench [LAYER ...]

A step is the value of two layers in a row, the gradients of their parameters and of the input between them, Adam; the least of some rounds. Formulas written for this project, as a
researcher would write them (torch.fft, torch.linalg); `compiled` is torch.compile of layer and loss. Prints a table: ours, plain, compiled, ratios.
"""
import math, os, re, subprocess, sys, time, warnings
import torch, torch.nn as nn, torch.nn.functional as F

THREADS = int(os.environ.get("THREADS", "2"))
torch.set_num_threads(THREADS)
warnings.filterwarnings("ignore")
C, N, K, B, D, DB = 64, 16, 3, 64, 512, 256


def cayley(W):
    o, i = W.shape[-2:]
    if i > o:
        return cayley(W.transpose(-1, -2)).transpose(-1, -2)
    U, V = W[..., :i, :], W[..., i:, :]
    eye = torch.eye(i, dtype=W.dtype)
    A = U - U.mH if o == i else U - U.mH + V.mH @ V
    Z = torch.linalg.inv(eye + A)
    return Z @ (eye - A) if o == i else torch.cat([Z @ (eye - A), -2 * V @ Z], -2)


def by_frequency(x, Q):  # x [B, i, n, n], Q [n (n/2+1), o, i]
    n = x.shape[-1]
    X = torch.fft.rfft2(x).permute(2, 3, 1, 0).reshape(-1, x.shape[1], x.shape[0])
    Y = (Q @ X).reshape(n, n // 2 + 1, -1, x.shape[0]).permute(3, 2, 0, 1)
    return torch.fft.irfft2(Y, s=(n, n))


class Layer(nn.Module):
    def __init__(self, *shape, bias=None, **more):
        super().__init__()
        fan = math.prod(shape[1:])
        self.weight = nn.Parameter((torch.rand(*shape) * 2 - 1) / math.sqrt(fan))
        self.bias = nn.Parameter(torch.zeros(bias or shape[0]))
        for name, value in more.items():
            setattr(self, name, nn.Parameter(value))


class PlainConv(Layer):
    def forward(self, x): return F.conv2d(x, self.weight, self.bias, padding=1)


class AolConv(Layer):
    def forward(self, x):
        T = self.weight.transpose(0, 1)
        d = F.conv2d(T, T, padding=K - 1).abs().sum((1, 2, 3))
        return F.conv2d(x, self.weight * d.rsqrt()[None, :, None, None], self.bias, padding=1)


class LinearResidual(Layer):
    def forward(self, x):
        eye = F.pad(torch.eye(C)[:, :, None, None], (1, 1, 1, 1))
        return F.conv2d(x, eye + 0.3 * self.gain[:, None, None, None] * self.weight, self.bias, padding=1)


class CayleyConv(Layer):
    def forward(self, x):
        n = x.shape[-1]
        f = torch.arange(n).view(-1, 1) + torch.arange(n // 2 + 1).view(1, -1)
        shift = torch.exp(2j * math.pi * ((K - 1) // 2) * f / n).reshape(-1, 1, 1)
        W = torch.fft.rfft2(self.weight, s=(n, n)).reshape(C, C, -1).permute(2, 0, 1) * shift
        W = W.conj()
        Q = cayley(self.alpha * W / W.abs().pow(2).sum().sqrt())
        return by_frequency(x, Q) + self.bias[:, None, None]


class BroConv(Layer):
    def forward(self, x):
        x = F.pad(x, (1, 1, 1, 1)); n = x.shape[-1]
        V = torch.fft.rfft2(self.weight, s=(n, n)).reshape(C, C // 2, -1).permute(2, 0, 1)
        Q = torch.eye(C) - 2 * V @ torch.linalg.inv(V.mH @ V) @ V.mH
        return by_frequency(x, Q)[:, :, 1:-1, 1:-1] + self.bias[:, None, None]


class SocConv(Layer):
    def forward(self, x):
        S = self.weight - self.weight.transpose(0, 1).flip(2, 3)
        forms = (S.permute(0, 2, 1, 3).reshape(C * K, C * K), S.permute(0, 3, 1, 2).reshape(C * K, C * K), S.reshape(C, -1), S.permute(0, 2, 3, 1).reshape(-1, C))
        norms = []
        for M in forms:  # converged, as ours: published code takes a step of power iteration from kept vectors
            with torch.no_grad():
                v = torch.ones(M.shape[1])
                for _ in range(50): v = F.normalize(M.T @ (M @ v), dim=0)
                u = F.normalize(M @ v, dim=0)
            norms.append(u @ M @ v)
        Kn = 0.7 * S / torch.stack(norms).min()
        y = z = x
        for t in range(1, 6):
            z = F.conv2d(z, Kn, padding=1) / t; y = y + z
        return y + self.bias[:, None, None]


class SllConv(Layer):
    def forward(self, x):
        kk = F.conv2d(self.weight, self.weight, padding=K - 1).abs().sum((2, 3))
        T = self.q.exp() / (kk @ self.q.exp())
        h = torch.relu(F.conv2d(x, self.weight, self.bias, padding=1)) * T[:, None, None]
        return x - 2 * F.conv_transpose2d(h, self.weight, padding=1)


class CplConv(Layer):
    def __init__(self, *shape):
        super().__init__(*shape)
        self.register_buffer("u", F.normalize(torch.ones(1, C, N, N), dim=(1, 2, 3)))

    def forward(self, x):
        with torch.no_grad():  # one step from the kept vector, as published
            v = F.conv2d(self.u, self.weight, padding=1); v = v / v.norm()
            u = F.conv_transpose2d(v, self.weight, padding=1); self.u.copy_(u / u.norm())
        s = (v * F.conv2d(self.u, self.weight, padding=1)).sum()
        h = torch.relu(F.conv2d(x, self.weight, self.bias, padding=1)) * (2 / s ** 2)
        return x - F.conv_transpose2d(h, self.weight, padding=1)


class PlainLinear(Layer):
    def forward(self, x): return F.linear(x, self.weight, self.bias)


class AolLinear(Layer):
    def forward(self, x): return F.linear(x, self.weight * (self.weight.T @ self.weight).abs().sum(0).rsqrt(), self.bias)


class CayleyLinear(Layer):
    def forward(self, x): return F.linear(x, cayley(self.alpha * self.weight / self.weight.norm()), self.bias)


class BroLinear(Layer):
    def forward(self, x):
        V = self.weight
        return F.linear(x, torch.eye(D) - 2 * V @ torch.linalg.inv(V.T @ V) @ V.T, self.bias)


class CholeskyLinear(Layer):
    def forward(self, x):
        X = torch.eye(D) + 0.3 * self.gain[:, None] * self.weight
        S = X @ X.T
        S = S + (1e-3 * S.diagonal().mean()).detach() * torch.eye(D)
        return F.linear(x, torch.linalg.solve_triangular(torch.linalg.cholesky(S), X, upper=False), self.bias)


class LlnLinear(Layer):
    def forward(self, x): return F.linear(x, F.normalize(self.weight, dim=1), self.bias)


class SllLinear(Layer):
    def forward(self, x):
        T = self.q.exp() / ((self.weight @ self.weight.T).abs() @ self.q.exp())
        return x - 2 * (torch.relu(F.linear(x, self.weight, self.bias)) * T) @ self.weight


class CplLinear(Layer):
    def forward(self, x):
        with torch.no_grad():
            v = torch.ones(D)
            for _ in range(50): v = F.normalize(self.weight.T @ (self.weight @ v), dim=0)
            u = F.normalize(self.weight @ v, dim=0)
        s = u @ self.weight @ v
        return x - 2 / s ** 2 * torch.relu(F.linear(x, self.weight, self.bias)) @ self.weight


def layers():
    conv, one = (C, C, K, K), torch.ones
    return {
        "plain_conv2d": lambda: PlainConv(*conv), "aol_conv2d": lambda: AolConv(*conv),
        "linear_residual": lambda: LinearResidual(*conv, gain=one(C)), "cayley_conv2d": lambda: CayleyConv(*conv, alpha=one(1) * 20),
        "bro_conv2d": lambda: BroConv(C, C // 2, K, K), "soc_conv2d": lambda: SocConv(*conv), "sll_conv2d": lambda: SllConv(*conv, q=torch.zeros(C)),
        "cpl_conv2d": lambda: CplConv(*conv),
        "plain_linear": lambda: PlainLinear(D, D), "aol_linear": lambda: AolLinear(D, D), "cayley_linear": lambda: CayleyLinear(D, D, alpha=one(1) * 13),
        "bro_linear": lambda: BroLinear(D, D // 2), "cholesky_linear": lambda: CholeskyLinear(D, D, gain=one(D)), "lln_linear": lambda: LlnLinear(D, D),
        "sll_linear": lambda: SllLinear(D, D, q=torch.zeros(D)), "cpl_linear": lambda: CplLinear(D, D),
    }


def step_of(name, compiled):
    torch.manual_seed(0)
    dense = name.endswith("linear")
    both = nn.Sequential(layers()[name](), layers()[name]())
    shape = (DB, D) if dense else (B, C, N, N)
    optimizer = torch.optim.Adam(both.parameters(), lr=1e-4)
    x = torch.randn(shape)
    loss = lambda x: both(x).square().mean()
    if compiled: loss = torch.compile(loss)
    def step():
        optimizer.zero_grad(set_to_none=True); loss(x).backward(); optimizer.step()
    return step


def least(step, rounds=7, steps=3):
    step(); best = math.inf
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(steps): step()
        best = min(best, (time.perf_counter() - began) * 1e3 / steps)
    return best


def main():
    program, names = sys.argv[1], sys.argv[2:] or list(layers())
    here = os.path.dirname(os.path.abspath(__file__))
    print(f"{'layer':18} {'ours ms':>9} {'plain ms':>9} {'compiled':>9}   plain / ours   compiled / ours")
    for name in names:
        ours, plain, compiled = [], [], []
        for _ in range(2):  # in turn, so that drift meets all
            text = subprocess.run([program, "run", f"{here}/layers.rhai", "--set", f"layers={name}"], capture_output=True, text=True, check=True,
                                  env=os.environ | {"RAYON_NUM_THREADS": str(THREADS)}).stdout
            ours.append(float(re.search(rf"layer {name} ([0-9.]+)", text)[1]))
            plain.append(least(step_of(name, False)))
            if os.environ.get("COMPILE") == "0":  # where compiling takes longer than the run
                compiled.append(math.nan); continue
            try:
                compiled.append(least(step_of(name, True)))
            except Exception as e:  # what torch.compile cannot do is said, and plain stands for it
                print(f"# {name}: torch.compile: {str(e).splitlines()[0][:120]}", flush=True)
                compiled.append(plain[-1])
        a, b, c = min(ours), min(plain), min(compiled)
        print(f"{name:18} {a:9.2f} {b:9.2f} {c:9.2f}   {b / a:12.2f}   {c / a:15.2f}", flush=True)


if __name__ == "__main__":
    main()
