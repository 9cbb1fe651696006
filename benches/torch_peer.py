#!/usr/bin/env python3
"""The peer to beat: the same networks and the same Local-Lip-B training step in PyTorch, on this machine, CPU or CUDA.

    python3 -m venv peer-venv && peer-venv/bin/pip install torch numpy        # about 4 GB
    peer-venv/bin/python torch_peer.py --what step --net cifar10_6c2f --batch 64 --threads 2

--what   conv      GFLOP/s of every convolution of the net: forward, gradient of the input, gradient of the weight, transposed
         ce        one plain cross-entropy training step (forward, backward, Adam)
         step      one Local-Lip-B step: gather u, bounds, 2 power iterations, worst logits, loss, backward, Adam, scatter u
         certify   bounds with 200 power iterations from random vectors, nothing stopped early, no gradient
--style  plain     as a researcher would write it first: a separate clean pass, autograd through the unrolled iterations, all C x C pairs
         tuned     as a good engineer would: one pass, iterations without a graph, envelope gradient, stacked convolutions, label rows only
         compiled  tuned, with torch.compile on the element-wise parts
         graphed   tuned, the whole step as one CUDA graph (torch.cuda.graph, capturable Adam): no launches on the processor's side
         amp       tuned, under torch.autocast in bf16;   graphed_amp  both
--channels-last  the other memory layout: try both, compare with the better
--serve  read one JSON object of these options per line, prepare that work, answer {"ready": ...}; then each line "go N" runs work N once and
         answers {"ms": ...}. So that a benchmark can alternate its own calls with these (benches/peer does).
Prints one JSON line: median and minimum milliseconds, peak resident (or device) memory in MiB. Times are of one machine in one minute: compare
only within one run, alternating the two sides. Written for this project; independent of any published implementation.
"""
import argparse, json, resource, sys, time
import torch, torch.nn as nn, torch.nn.functional as F

NETS = {  # (in_channels, side, [conv (out, k, s, p)], [hidden fc], classes, theta, eps)
    "mnist_4c3f":   (1, 28, [(32, 3, 1, 1), (32, 4, 2, 1), (64, 3, 1, 1), (64, 4, 2, 1)], [512, 512], 10, 1.0, 1.58),
    "cifar10_4c3f": (3, 32, [(32, 3, 1, 1), (32, 4, 2, 1), (64, 3, 1, 1), (64, 4, 2, 1)], [512, 512], 10, 1.0, 0.1551),
    "cifar10_6c2f": (3, 32, [(32, 3, 1, 1), (32, 3, 1, 1), (32, 4, 2, 1), (64, 3, 1, 1), (64, 3, 1, 1), (64, 4, 2, 1)], [512], 10, 2.0, 0.1551),
    "tiny_8c2f":    (3, 64, [(64, 3, 1, 1), (64, 3, 1, 1), (64, 4, 2, 0), (128, 3, 1, 1), (128, 3, 1, 1), (128, 4, 2, 0), (256, 3, 1, 1), (256, 4, 2, 0)], [256], 200, 1.0, 0.16),
}

class ReLUTheta(nn.Module):
    def __init__(self, shape, theta):
        super().__init__(); self.theta = nn.Parameter(torch.full(shape, theta))
    def forward(self, x): return torch.clamp(torch.minimum(x, self.theta), min=0)

def build(net):
    cin, side, convs, fcs, classes, theta, _ = NETS[net]; layers = []; c, h = cin, side
    for out, k, s, p in convs:
        conv = nn.Conv2d(c, out, k, s, p); nn.init.normal_(conv.weight, 0, (2 / (k * k * out)) ** 0.5); nn.init.zeros_(conv.bias)
        h = (h + 2 * p - k) // s + 1; c = out; layers += [conv, ReLUTheta((1, c, h, h), theta)]
    layers.append(nn.Flatten()); n = c * h * h
    for m in fcs: layers += [nn.Linear(n, m), ReLUTheta((1, m), theta)]; n = m
    return nn.Sequential(*layers, nn.Linear(n, classes))

def bc(v, like): return v.view(-1, *([1] * (like.dim() - 1)))
def per_sample_norm(t): return t.flatten(1).norm(dim=1)
def forward_w(l, x): return F.conv2d(x, l.weight, None, l.stride, l.padding) if isinstance(l, nn.Conv2d) else F.linear(x, l.weight)
def adjoint_w(l, v, shape):
    if isinstance(l, nn.Linear): return v @ l.weight
    op = (shape[2] + 2 * l.padding[0] - l.kernel_size[0]) % l.stride[0]
    return F.conv_transpose2d(v, l.weight, None, l.stride, l.padding, output_padding=op)

# ---- plain ---------------------------------------------------------------------------------------------------------------------
def sigma_plain(l, u, mask_in, mask_out, iters):
    for _ in range(iters):
        u_in = u if mask_in is None else u * mask_in
        v = forward_w(l, u_in); v = v if mask_out is None else v * mask_out; v = v / (bc(per_sample_norm(v), v) + 1e-12)
        u = adjoint_w(l, v, u.shape); u = u if mask_in is None else u * mask_in; u = u / (bc(per_sample_norm(u), u) + 1e-12)
    out = forward_w(l, u if mask_in is None else u * mask_in); out = out if mask_out is None else out * mask_out
    return (v * out).flatten(1).sum(1), u

def worst_plain(W, m, lb, ub, r):
    D = (W[:, None] - W[None]).unsqueeze(0); n = D.norm(dim=-1, keepdim=True) + 1e-12               # 1,C,C,h : w_i - w_j
    z = r.view(-1, 1, 1, 1) * D / n; lo, hi = torch.clamp(lb - m, max=0)[:, None, None], torch.clamp(ub - m, min=0)[:, None, None]
    out = (z < lo) | (z > hi); cl = torch.minimum(torch.maximum(z, lo), hi)
    fixed = torch.where(out, cl, torch.zeros_like(z)); free = torch.where(out, torch.zeros_like(z), z)
    left = torch.clamp(r.view(-1, 1, 1) ** 2 - fixed.pow(2).sum(-1), min=0); ratio = torch.sqrt((left + 1e-12) / (free.pow(2).sum(-1) + 1e-12))
    return (D * (fixed + free * ratio.unsqueeze(-1))).sum(-1)

def loss_plain(model, x, y, eps, gu, ud, kappa, iters):
    logits = model(x); B = x.shape[0]; m, lb, ub = x, x - eps, x + eps; r = torch.full((B,), eps, device=x.device); lip = 1.0; mask = None
    gu, ud = list(gu), list(ud); L = list(model)
    for i, l in enumerate(L[:-1]):
        if isinstance(l, (nn.Conv2d, nn.Linear)):
            c, h = (ub + lb) / 2, (ub - lb) / 2; m = l(m); c = l(c)
            h = F.conv2d(h, l.weight.abs(), None, l.stride, l.padding) if isinstance(l, nn.Conv2d) else F.linear(h, l.weight.abs())
            row = l.weight.flatten(1).norm(dim=1); rr = bc(r, m) * row.view(1, -1, *([1] * (m.dim() - 2)))
            lb, ub = torch.maximum(c - h, m - rr), torch.minimum(c + h, m + rr)
            g, gu[i] = sigma_plain(l, gu[i], None, None, iters); r = r * g; theta = L[i + 1].theta
            with torch.no_grad(): new = ((ub > 0) & (lb <= theta)).float()
            s, ud[i] = sigma_plain(l, ud[i], mask, new, iters); lip = lip * s; mask = new; gu[i], ud[i] = gu[i].detach(), ud[i].detach()
        elif isinstance(l, ReLUTheta):
            lb, ub = torch.maximum(l(lb), l(m - bc(r, m))), torch.minimum(l(ub), l(m + bc(r, m))); m = l(m)
        else: m, lb, ub, mask = m.flatten(1), lb.flatten(1), ub.flatten(1), mask.flatten(1)
    T = worst_plain(L[-1].weight, m, lb, ub, eps * lip); one = F.one_hot(y, T.shape[1]).to(T.dtype)
    worst = L[-1](m) + T.bmm(one.unsqueeze(2)).squeeze(2) * (1 - one)
    return kappa * F.cross_entropy(logits, y) + (1 - kappa) * F.cross_entropy(worst, y), gu, ud

# ---- tuned ---------------------------------------------------------------------------------------------------------------------
class Sigma(torch.autograd.Function):
    @staticmethod
    def forward(ctx, W, s, u, v, conv): ctx.save_for_backward(W, u, v); ctx.conv = conv; return s
    @staticmethod
    def backward(ctx, g):
        W, u, v = ctx.saved_tensors
        vg = (v * bc(g, v)).to(u.dtype)  # under autocast u and v are bf16
        if ctx.conv is None: return (vg.t() @ u).to(W.dtype), None, None, None, None
        s, p = ctx.conv
        return torch.ops.aten.convolution_backward(vg, u, W.to(u.dtype), None, s, p, (1, 1), False, (0, 0), 1, (False, True, False))[1].to(W.dtype), None, None, None, None

@torch.no_grad()
def power(l, u, mask_in, mask_out, iters):
    B = u.shape[0] - 1; u = u.clone()
    if mask_in is not None: u[:B].mul_(mask_in)
    for _ in range(iters):
        v = forward_w(l, u); v[:B].mul_(mask_out); v.mul_(bc(1 / (per_sample_norm(v) + 1e-12), v))
        u = adjoint_w(l, v, u.shape)
        if mask_in is not None: u[:B].mul_(mask_in)
        s = per_sample_norm(u); u.mul_(bc(1 / (s + 1e-12), u))
    return s, u, v

def meet(c, h, m, rr): return torch.maximum(c - h, m - rr), torch.minimum(c + h, m + rr)
def activate(lb, ub, m, r, theta):
    lb = torch.clamp(torch.minimum(torch.maximum(lb, m - r), theta), min=0); ub = torch.clamp(torch.minimum(torch.minimum(ub, m + r), theta), min=0)
    return (ub + lb) * 0.5, (ub - lb) * 0.5, torch.clamp(torch.minimum(m, theta), min=0)
def varying(lb, ub, theta): return ((ub > 0) & (lb <= theta)).to(lb.dtype)
def worst_tuned(W, y, m, c, h, r):
    D = W[None] - W[y][:, None]; ub = torch.clamp(c + h - m, min=0)[:, None]; lb = torch.clamp(c - h - m, max=0)[:, None]
    z = D * (r.view(-1, 1, 1) * torch.rsqrt((D * D).sum(-1, keepdim=True) + 1e-24)); lo, hi = z <= lb, z >= ub; inside = ~(lo | hi); zero = torch.zeros((), dtype=D.dtype, device=D.device)
    cl = torch.where(lo, lb, torch.where(hi, ub, zero)); free = torch.where(inside, z, zero)
    left = torch.clamp(r.view(-1, 1, 1) ** 2 - (cl * cl).sum(-1, keepdim=True), min=0)
    return (D * (cl + free * torch.sqrt((left + 1e-12) / ((free * free).sum(-1, keepdim=True) + 1e-12)))).sum(-1)
PLAIN_OPS = dict(meet=meet, activate=activate, varying=varying, worst=worst_tuned); OPS = dict(PLAIN_OPS)

def loss_tuned(model, x, y, eps, gu, ud, kappa, iters):
    B = x.shape[0]; m = c = x; h = None; r = torch.full((B,), eps, device=x.device); lip = mask = None; gu, ud = list(gu), list(ud); L = list(model)
    for i, l in enumerate(L[:-1]):
        if isinstance(l, nn.Flatten): m, c, h, mask = m.flatten(1), c.flatten(1), h.flatten(1), mask.flatten(1); continue
        if isinstance(l, ReLUTheta): continue
        conv = isinstance(l, nn.Conv2d); A = l.weight.abs(); aff = lambda t, w, b: F.conv2d(t, w, b, l.stride, l.padding) if conv else F.linear(t, w, b)
        if h is None: m = c = aff(x, l.weight, l.bias); h = aff(torch.full_like(x[:1], eps), A, None)
        else: mc = aff(torch.cat([m, c]), l.weight, l.bias); m, c = mc[:B], mc[B:]; h = aff(h, A, None)
        row = l.weight.flatten(1).norm(dim=1); theta = L[i + 1].theta
        lb, ub = OPS["meet"](c, h, m, bc(r, m) * row.view(1, -1, *([1] * (m.dim() - 2))))
        with torch.no_grad(): new = OPS["varying"](lb.detach(), ub.detach(), theta.detach())
        s, u, v = power(l, torch.cat([ud[i], gu[i]]), mask, new, iters); gu[i], ud[i] = u[B:], u[:B]
        s = Sigma.apply(l.weight, s, u, v, (l.stride, l.padding) if conv else None)
        r = r * s[B]; lip = s[:B] if lip is None else lip * s[:B]; c, h, m = OPS["activate"](lb, ub, m, bc(r, m), theta); mask = new
    logits = L[-1](m); worst = logits + OPS["worst"](L[-1].weight, y, m, c, h, lip * eps)
    return kappa * F.cross_entropy(logits, y) + (1 - kappa) * F.cross_entropy(worst, y), gu, ud

# ---- measuring -----------------------------------------------------------------------------------------------------------------
def timed(fn, device, reps, warm):
    sync = torch.cuda.synchronize if device == "cuda" else (lambda: None); t = []
    for _ in range(warm): fn()
    for _ in range(reps): sync(); a = time.perf_counter(); fn(); sync(); t.append((time.perf_counter() - a) * 1e3)
    t.sort(); return {"ms_median": round(t[len(t) // 2], 3), "ms_min": round(t[0], 3), "reps": reps}

def parser():
    p = argparse.ArgumentParser(); p.add_argument("--what", default="step"); p.add_argument("--style", default="tuned"); p.add_argument("--net", default="cifar10_6c2f")
    p.add_argument("--batch", type=int, default=64); p.add_argument("--threads", type=int, default=2); p.add_argument("--device", default="cpu"); p.add_argument("--reps", type=int, default=7)
    p.add_argument("--iterations", type=int); p.add_argument("--tf32", action="store_true"); p.add_argument("--channels-last", action="store_true"); p.add_argument("--serve", action="store_true")
    p.add_argument("--layer", type=int, default=0); p.add_argument("--direction", default="forward"); p.add_argument("--width", type=int, default=1)
    return p

def conv_work(a, layer, direction, fmt):
    """One direction of one convolution of the net, in one memory layout; (work, GFLOP, shape)."""
    cin, side, convs, *_ = NETS[a.net]; c, h = cin, side
    for o, k, s, pd in convs[:layer]: c, h = o, (h + 2 * pd - k) // s + 1
    o, k, s, pd = convs[layer]
    x = torch.randn(a.batch, c, h, h, device=a.device).contiguous(memory_format=fmt); W = torch.randn(o, c, k, k, device=a.device).contiguous(memory_format=fmt); y = F.conv2d(x, W, None, s, pd)
    back = lambda m: torch.ops.aten.convolution_backward(y, x, W, None, (s, s), (pd, pd), (1, 1), False, (0, 0), 1, m)
    work = {"forward": lambda: F.conv2d(x, W, None, s, pd), "input": lambda: back((True, False, False)), "weight": lambda: back((False, True, False))}[direction]
    return work, 2e-9 * y.numel() * c * k * k, [c, o, k, s, pd, h]

def net_work(a):
    """The function that does one `ce`, `step` or `certify`, with all it needs prepared. `width` multiplies all hidden sizes."""
    dev, B = a.device, a.batch; cin, side, convs, fcs, classes, theta, eps = NETS[a.net]
    if a.width > 1: NETS[a.net + "x"] = (cin, side, [(o * a.width, k, s, p) for o, k, s, p in convs], [m * a.width for m in fcs], classes, theta, eps)
    model = build(a.net + ("x" if a.width > 1 else "")).to(dev); x = torch.rand(B, cin, side, side, device=dev); y = torch.randint(0, classes, (B,), device=dev); N = 8 * B; idx = torch.randperm(N, device=dev)[:B]
    graphed, amp = "graphed" in a.style, "amp" in a.style
    if graphed and (dev != "cuda" or a.what != "step"): raise SystemExit("graphed: a step on a GPU")
    opt = torch.optim.Adam(model.parameters(), lr=1e-3, fused=a.style != "plain", capturable=graphed); loss_fn = loss_plain if a.style == "plain" else loss_tuned; ops = dict(PLAIN_OPS)
    if a.style == "compiled":
        torch._dynamo.config.recompile_limit = 64
        for k in ops: ops[k] = torch.compile(PLAIN_OPS[k], dynamic=False)
    shapes = []; t = torch.zeros(1, cin, side, side, device=dev)
    for l in list(model)[:-1]: shapes.append(t.shape[1:] if isinstance(l, (nn.Conv2d, nn.Linear)) else None); t = l(t)
    store = [None if s is None else torch.randn(N, *s, device=dev) for s in shapes]; gu = [None if s is None else torch.randn(1, *s, device=dev) for s in shapes]
    if a.channels_last:
        cl = lambda t: t.contiguous(memory_format=torch.channels_last) if t is not None and t.dim() == 4 else t
        model = model.to(memory_format=torch.channels_last); x = cl(x); store = [cl(t) for t in store]; gu = [cl(t) for t in gu]
    iters = a.iterations or (2 if a.what == "step" else 200); state = {"gu": gu}
    def ce(): opt.zero_grad(set_to_none=True); F.cross_entropy(model(x), y).backward(); opt.step()
    cast = lambda: torch.autocast(dev, torch.bfloat16, enabled=amp, cache_enabled=not graphed)
    def step():
        OPS.update(ops)
        with cast(): loss, new_gu, new = loss_fn(model, x, y, eps, state["gu"], [None if s is None else s[idx] for s in store], 0.5, iters)
        opt.zero_grad(set_to_none=True); loss.backward(); opt.step()
        with torch.no_grad():
            if graphed:  # a replay reads what the one before wrote, so at the same place
                for s, u in zip(state["gu"], new_gu):
                    if s is not None: s.copy_(u)
            else: state["gu"] = [None if u is None else u.to(torch.float32) for u in new_gu]
            for s, u in zip(store, new):
                if s is not None: s[idx] = u.to(s.dtype)
            for m in model:
                if isinstance(m, ReLUTheta): m.theta.clamp_(min=0)
    if graphed:
        side = torch.cuda.Stream(); side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3): step()
        torch.cuda.current_stream().wait_stream(side); torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph): step()
        def replay(held=(step, graph)): graph.replay()  # what the graph reads has to stay
        return replay
    def certify():
        OPS.update(ops)
        with torch.no_grad(), cast(): loss_fn(model, x, y, eps, gu, [None if s is None else torch.randn(B, *s, device=dev) for s in shapes], 0.5, iters)
    return {"ce": ce, "step": step, "certify": certify}[a.what]

def setup(a):
    torch.set_num_threads(a.threads); torch.manual_seed(0)
    if a.device == "cuda": torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = a.tf32; torch.backends.cudnn.benchmark = True

def resident(name):
    with open("/proc/self/status") as f: return next(int(l.split()[1]) / 1024 for l in f if l.startswith(name + ":"))

def serve():
    jobs = []
    for line in sys.stdin:
        if line.startswith("go"):
            a, work = jobs[int(line.split()[1])]; sync = torch.cuda.synchronize if a.device == "cuda" else (lambda: None)
            sync(); t = time.perf_counter(); work(); sync(); print(json.dumps({"ms": (time.perf_counter() - t) * 1e3, "peak_mib": resident("VmHWM")}), flush=True); continue
        a = parser().parse_args([]); vars(a).update(json.loads(line)); setup(a)
        if a.what == "conv": work, gflop, _ = conv_work(a, a.layer, a.direction, torch.channels_last if a.channels_last else torch.contiguous_format)
        else: work, gflop = net_work(a), 0
        jobs.append((a, work)); print(json.dumps({"ready": len(jobs) - 1, "gflop": gflop, "torch": torch.__version__, "resident_mib": resident("VmRSS")}), flush=True)

def main():
    a = parser().parse_args(); dev = a.device
    if a.serve: serve(); return
    setup(a); out = vars(a) | {"torch": torch.__version__}
    if a.what == "conv":
        rows = []
        for layer in range(len(NETS[a.net][2])):
            best = {}
            for name in ("forward", "input", "weight"):
                for fmt in (torch.contiguous_format, torch.channels_last):
                    work, gf, shape = conv_work(a, layer, name, fmt); best[name] = max(best.get(name, 0), round(gf / timed(work, dev, a.reps, 3)["ms_min"] * 1e3, 1))
            rows.append({"conv": shape, "gflops": best})
        print(json.dumps(out | {"layers": rows})); return
    r = timed(net_work(a), dev, a.reps, 0 if a.what == "certify" else 3)
    mem = torch.cuda.max_memory_allocated() / 2**20 if dev == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(out | r | {"peak_mib": round(mem)}))

if __name__ == "__main__": main()
