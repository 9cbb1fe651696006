#!/usr/bin/env python3
"""Linear relaxations over an l2 ball in plain PyTorch (CPU): a peer to measure against.

    relax_peer.py crown_ibp  [--batch 32] [--steps 5] [--eps 0.1] [--compile]    CIFAR-10 6C2F, one training step of CROWN-IBP
    relax_peer.py crown      [--images 2] [--rows 256] [--eps 0.3] [--compile]  MNIST 4C3F, full CROWN, one image at a time
    relax_peer.py auto_lirpa [--images 2] [--batch 32] ...                       the two bounds by auto_LiRPA from PyPI
    relax_peer.py all        ...                                                 each of the above in a process of its own
    relax_peer.py --check                                                        both walks in float64 against the golden values

Common: --threads 2, --file F.safetensors (`N.weight`, `N.bias`, `x`, `y`; N counts activations and flatten, as nn.Sequential does;
without it: seeded default initialisation, images uniform in [0, 1]), --seed 0, --channels-last. One JSON line per measurement.

Memory, MiB, by VmHWM (reset through /proc/self/clear_refs) less VmRSS:
  peak_extra_mib         from before the first step or image (model and data already there): with Adam's state, and with a compiler's
  peak_extra_steady_mib  from after the warm-up (freed memory given back): one step's or image's own
"""
import argparse, ctypes, gc, json, os, statistics, subprocess, sys, time, warnings

warnings.filterwarnings('ignore')
import torch
import torch.nn as nn
import torch.nn.functional as F

GOLDEN = os.environ.get('WORKBENCH_GOLDEN', 'golden')


# ------------------------------------------------------------------------------------------------------------------ nets
def net_6c2f():
    c = lambda i, o, k, s: [nn.Conv2d(i, o, k, s, 1), nn.ReLU()]
    return nn.Sequential(*c(3, 32, 3, 1), *c(32, 32, 3, 1), *c(32, 32, 4, 2), *c(32, 64, 3, 1), *c(64, 64, 3, 1), *c(64, 64, 4, 2),
                         nn.Flatten(), nn.Linear(64 * 8 * 8, 512), nn.ReLU(), nn.Linear(512, 10)), (3, 32, 32)


def net_4c3f():
    c = lambda i, o, k, s: [nn.Conv2d(i, o, k, s, 1), nn.ReLU()]
    return nn.Sequential(*c(1, 32, 3, 1), *c(32, 32, 4, 2), *c(32, 64, 3, 1), *c(64, 64, 4, 2),
                         nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)), (1, 28, 28)


def load(make, args, count):
    """The net with its weights, `count` images and labels."""
    torch.manual_seed(args.seed)
    net, shape = make()
    if args.file:
        from safetensors.torch import load_file
        t = load_file(args.file)
        net.load_state_dict({k: t[k].float() for k in net.state_dict()})
        x, y = t['x'].float(), t['y'].long().flatten()
        if len(x) < count:
            r = -(-count // len(x)); x, y = x.repeat(r, 1, 1, 1), y.repeat(r)      # repeated when the file holds too few
        x, y = x[:count].reshape(count, *shape).contiguous(), y[:count]
    else:
        g = torch.Generator().manual_seed(args.seed + 1)
        x = torch.rand(count, *shape, generator=g); y = torch.randint(0, 10, (count,), generator=g)
    if args.channels_last:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    return net, x, y


class Layer:
    """One affine layer with what stands before it: a ReLU and/or a flatten. in_shape is the shape the layer's input has."""
    __slots__ = ('m', 'conv', 'index', 'relu', 'in_shape', 'out_shape', 'before', 'out_pad')


def plan(net, shape):
    """The affine layers, first to last; `before` is the shape in front of a flatten that precedes the layer, else None."""
    layers, s, relu, before = [], torch.zeros(1, *shape, dtype=next(net.parameters()).dtype), False, None
    with torch.no_grad():
        for i, m in enumerate(net):
            o = m(s)
            if isinstance(m, nn.ReLU): relu = True
            elif isinstance(m, nn.Flatten): before = tuple(s.shape[1:])
            else:
                l = Layer(); l.m, l.conv, l.index, l.relu, l.before = m, isinstance(m, nn.Conv2d), i, relu, before
                l.in_shape, l.out_shape, l.out_pad = tuple(s.shape[1:]), tuple(o.shape[1:]), None
                if l.conv:      # what the transposed convolution needs to give back the exact input size
                    l.out_pad = tuple(s.shape[d] - ((o.shape[d] - 1) * m.stride[d - 2] - 2 * m.padding[d - 2] + m.kernel_size[d - 2]) for d in (2, 3))
                layers.append(l); relu, before = False, None
            s = o
    return layers


def affine(l, x, w, b=None):
    return F.conv2d(x, w, b, l.m.stride, l.m.padding) if l.conv else F.linear(x, w, b)


def affine_t(l, a, w):
    """W^T on coefficients with the rows in the batch dimension, [R, out...] -> [R, in...], the flatten undone."""
    if l.conv: return F.conv_transpose2d(a, w, None, l.m.stride, l.m.padding, l.out_pad)
    a = a @ w
    return a if l.before is None else a.view(a.shape[0], *l.before)


def flat(a, cl):
    """All but the leading dimensions as one, in the order of memory: no copy, channels last or not."""
    n = a.dim() - 3
    return a.movedim(n, -1).flatten(n) if cl and n >= 1 else a.flatten(max(n, 1))


def times_bias(l, a, b):
    return a.sum((2, 3)) @ b if l.conv else a @ b


def interval(l, lo, hi):
    """Box behind layer l from the box in front of it."""
    c, d = affine(l, (hi + lo) * 0.5, l.m.weight, l.m.bias), affine(l, (hi - lo) * 0.5, l.m.weight.abs())
    return c - d, c + d


def through(l, lo, hi):
    """The box of a pre-activation taken through the ReLU and the flatten in front of layer l."""
    lo, hi = lo.relu(), hi.relu()
    return (lo.flatten(1), hi.flatten(1)) if l.before is not None else (lo, hi)


def relu_lines(lo, hi):
    """Upper slope, lower slope (adaptive: 1 if u > -l else 0), upper intercept; stable neurons come out right by the clamps."""
    lo = lo.clamp(max=0)
    hi = torch.maximum(hi.clamp(min=0), lo + 1e-8)
    us = hi / (hi - lo)
    return us, (hi > -lo).to(us.dtype), -lo * us


# ------------------------------------------------------------------------------------------------------------- CROWN-IBP
def specification(y, classes):
    """Rows e_y - e_j for all j != y: [B, classes - 1, classes]."""
    e = torch.eye(classes)
    other = torch.arange(classes - 1).expand(len(y), -1)
    other = other + (other >= y.unsqueeze(1))
    return e[y].unsqueeze(1) - e[other]


def crown_ibp_margins(layers, x, y, eps, cl=False):
    """Margins by the walk over interval boxes, margins by intervals: [B, S] each."""
    first, last = layers[0], layers[-1]
    B = len(x)
    # intervals; first layer from the ball, with the norm of the channel's whole kernel
    w = first.m.weight
    c, d = affine(first, x, w, first.m.bias), eps * w.flatten(1).norm(dim=1)
    if first.conv: d = d.view(1, -1, 1, 1)
    boxes = [(c - d, c + d)]
    for l in layers[1:-1]: boxes.append(interval(l, *through(l, *boxes[-1])))
    # last layer merged with the specification
    C = specification(y, last.out_shape[0]).to(x.dtype)
    S = C.shape[1]
    w, k = C @ last.m.weight, C @ last.m.bias
    lo, hi = through(last, *boxes[-1])
    m_i = ((w @ ((hi + lo) * 0.5).unsqueeze(2)) - (w.abs() @ ((hi - lo) * 0.5).unsqueeze(2))).squeeze(2) + k
    # one walk backward, samples and rows folded into the batch
    a = w.flatten(0, 1)
    if last.before is not None: a = a.view(-1, *last.before)
    fmt = torch.channels_last if cl else torch.contiguous_format
    for l, box in zip(reversed(layers[:-1]), reversed(boxes)):
        us, ls, ui = relu_lines(*box)
        if l.conv: a = a.contiguous(memory_format=fmt)      # a copy at the flatten alone
        a = a.view(B, S, *l.out_shape)
        ap, an = a.clamp(min=0), a.clamp(max=0)
        fa, fu = (flat(an, cl), flat(ui, cl)) if l.conv else (an, ui)
        k = k + (fa @ fu.unsqueeze(2)).squeeze(2)
        a = (ap * ls.unsqueeze(1) + an * us.unsqueeze(1)).flatten(0, 1)
        k = k + times_bias(l, a, l.m.bias).view(B, S)
        a = affine_t(l, a, l.m.weight)
    a = a.reshape(B, S, -1)
    m_c = (a @ x.reshape(B, -1, 1)).squeeze(2) - eps * a.norm(dim=2) + k
    return m_c, m_i


def crown_ibp_loss(net, layers, x, y, eps, kappa=0.5, beta=0.5, cl=False):
    m_c, m_i = crown_ibp_margins(layers, x, y, eps, cl)
    m = beta * m_c + (1 - beta) * m_i
    robust = F.cross_entropy(torch.cat([torch.zeros_like(m[:, :1]), -m], 1), torch.zeros_like(y))      # 10 entries, 0 at the label
    return kappa * F.cross_entropy(net(x), y) + (1 - kappa) * robust


# ------------------------------------------------------------------------------------------------------------ full CROWN
class Crown:
    """Boxes of every hidden pre-activation by walks of their own, then margins; one image. Rows live in the batch dimension."""

    def __init__(self, net, shape, rows, compiled=False, cl=False):
        self.layers, self.rows, self.compiled, self.cl = plan(net, shape), rows, compiled, cl
        first = self.layers[0]
        with torch.no_grad():      # norms of the first layer's real rows (cut by the padding): no image needed
            w = first.m.weight
            self.row_norm = affine(first, torch.ones(1, *shape, dtype=w.dtype), w * w).sqrt()
        self.step = [self._step(l, cl) for l in self.layers]
        self.input_bound = Crown._input_bound
        if compiled:
            import torch._dynamo as dynamo
            for n in ('recompile_limit', 'cache_size_limit'):
                if hasattr(dynamo.config, n): setattr(dynamo.config, n, 256)
            self.mark = lambda a: dynamo.mark_dynamic(a, 0)
            self.step = [torch.compile(s) for s in self.step]
            self.input_bound = torch.compile(self.input_bound)

    @staticmethod
    def _step(l, cl):
        """Coefficients and constants from behind layer l (`lines`: of the ReLU behind it, None at a walk's start) to in front of it."""
        def step(a, k, lines, w, b):
            if lines is not None:
                us, ls, ui = lines
                ap, an = a.clamp(min=0), a.clamp(max=0)
                k = k + (flat(an, cl) @ flat(ui, cl).squeeze(0) if l.conv else an @ ui.squeeze(0))
                a = ap.mul_(ls).addcmul_(an, us)
            k = k + times_bias(l, a, b)
            a = affine_t(l, a, w)
            if cl and a.dim() == 4: a = a.contiguous(memory_format=torch.channels_last)      # a copy at the flatten alone
            return a, k
        return step

    @staticmethod
    def _input_bound(a, k, x, eps):
        a = a.flatten(1)
        return a @ x.flatten() - eps * a.norm(dim=1) + k

    def walk(self, a, start, lines, x, eps):
        """Lower bounds of the rows a [R, out...] of layer `start`."""
        k = torch.zeros(len(a), dtype=a.dtype)
        for i in range(start, -1, -1):
            l = self.layers[i]
            if self.compiled: self.mark(a); self.mark(k)
            a, k = self.step[i](a, k, None if i == start else lines[i], l.m.weight, l.m.bias)
        if self.compiled: self.mark(a); self.mark(k)
        return self.input_bound(a, k, x, eps)

    @torch.no_grad()
    def __call__(self, x, y, eps, limit=None):
        """x [1, ...], y an integer. Margins of the classes but y, boxes, walked neurons per layer, seconds per layer. limit: walk for no more neurons (warm-up)."""
        L = self.layers
        c, d = affine(L[0], x, L[0].m.weight, L[0].m.bias), eps * self.row_norm
        lo, hi = c - d, c + d
        if self.cl: lo, hi = lo.contiguous(), hi.contiguous()

        def box_lines(lo, hi):
            t = relu_lines(lo, hi)
            return [s.contiguous(memory_format=torch.channels_last) for s in t] if self.cl and lo.dim() == 4 else t
        boxes, lines, walked, secs = [(lo, hi)], [box_lines(lo, hi)], {}, {}
        for i, l in enumerate(L[1:-1], 1):
            t0 = time.perf_counter()
            lo, hi = interval(l, *through(l, lo, hi))
            if self.cl: lo, hi = lo.contiguous(), hi.contiguous()
            lo_, hi_ = lo.view(-1), hi.view(-1)
            idx = ((lo_ < 0) & (hi_ > 0)).nonzero().squeeze(1)[:limit]
            for part in idx.split(max(1, self.rows // 2)):       # a lower and an upper row for every neuron
                n = len(part)
                a = torch.zeros(2 * n, lo_.numel(), dtype=x.dtype)
                a[:n].scatter_(1, part.unsqueeze(1), 1.); a[n:].scatter_(1, part.unsqueeze(1), -1.)
                a = a.view(2 * n, *l.out_shape)
                if self.cl and l.conv: a = a.contiguous(memory_format=torch.channels_last)
                b = self.walk(a, i, lines, x, eps)
                lo_[part] = torch.maximum(lo_[part], b[:n]); hi_[part] = torch.minimum(hi_[part], -b[n:])
            boxes.append((lo, hi)); lines.append(box_lines(lo, hi))
            walked[str(l.index)] = len(idx); secs[str(l.index)] = round(time.perf_counter() - t0, 4)
        C = specification(torch.tensor([y]), L[-1].out_shape[0])[0].to(x.dtype)
        return self.walk(C, len(L) - 1, lines, x, eps), boxes, walked, secs


# ------------------------------------------------------------------------------------------------------------- measuring
def status(key):
    with open('/proc/self/status') as f:
        return next(int(r.split()[1]) for r in f if r.startswith(key + ':')) / 1024


class Peak:
    """MiB by which the resident set rose above where it stood at the start."""
    def __init__(self):
        gc.collect()
        try: ctypes.CDLL('libc.so.6').malloc_trim(0)
        except OSError: pass
        self.how = 'VmHWM'
        try:
            with open('/proc/self/clear_refs', 'w') as f: f.write('5')
        except OSError: self.how = 'VmHWM, not reset'
        self.base = status('VmRSS')

    def __call__(self): return round(status('VmHWM') - self.base, 1)


def emit(**d): print(json.dumps(d), flush=True)


def common(args):
    return dict(threads=torch.get_num_threads(), torch=torch.__version__, eps=args.eps, weights=os.path.basename(args.file) if args.file else f'seed {args.seed}',
                channels_last=args.channels_last, flush_denormal=args.flush_denormal, load_average=round(os.getloadavg()[0], 2))


def graphs():
    from torch._dynamo.utils import counters
    return counters['stats'].get('unique_graphs', 0)


def bench_crown_ibp(args):
    args.eps = 0.1 if args.eps is None else args.eps
    net, x, y = load(net_6c2f, args, args.batch)
    layers = plan(net, tuple(x.shape[1:]))
    opt = torch.optim.Adam(net.parameters(), lr=args.lr)
    loss_fn = lambda x, y: crown_ibp_loss(net, layers, x, y, args.eps, cl=args.channels_last)
    if args.compile: loss_fn = torch.compile(loss_fn)
    part = []

    def step():
        t = [time.perf_counter()]
        opt.zero_grad(set_to_none=True)
        loss = loss_fn(x, y); t.append(time.perf_counter())
        loss.backward(); t.append(time.perf_counter())
        opt.step(); v = loss.item(); t.append(time.perf_counter())
        part.append([t[-1] - t[0]] + [b - a for a, b in zip(t, t[1:])])
        return v

    whole = Peak()
    losses = [step()]                   # warm-up, with the compile time where there is one; the same batch and the first update
    warm, = part; part.clear()
    g0 = graphs() if args.compile else 0
    steady = Peak()
    losses += [step() for _ in range(args.steps)]
    steady_mib, whole_mib = steady(), None
    whole_mib = round(max(status('VmHWM'), steady.base) - whole.base, 1) if steady.how == 'VmHWM' else whole()
    with torch.no_grad(): m_c, m_i = crown_ibp_margins(layers, x, y, args.eps, args.channels_last) if args.batch <= 8 else (torch.tensor(float('nan')),) * 2
    med = [statistics.median(c) for c in zip(*part)]
    emit(name='crown_ibp', net='cifar 6c2f relu', batch=args.batch, steps=args.steps, compile=args.compile, seconds_per_step=med[0], seconds_per_image=med[0] / args.batch,
         forward=med[1], backward=med[2], optimiser=med[3], fastest=min(p[0] for p in part), all_seconds=[round(p[0], 4) for p in part],
         warmup_seconds=warm[0], compile_seconds=warm[0] - med[0] if args.compile else 0., recompiles_while_timed=graphs() - g0 if args.compile else 0,
         peak_extra_mib=whole_mib, peak_extra_steady_mib=steady_mib, memory=steady.how, loss=losses[0], losses=losses,
         margin_crown_sum_after=None if args.batch > 8 else m_c.sum().item(), margin_ibp_sum_after=None if args.batch > 8 else m_i.sum().item(), **common(args))


def bench_crown(args):
    args.eps = 0.3 if args.eps is None else args.eps
    net, x, y = load(net_4c3f, args, args.images)
    net.requires_grad_(False)
    crown = Crown(net, tuple(x.shape[1:]), args.rows, args.compile, args.channels_last)
    whole = Peak()
    t0 = time.perf_counter(); crown(x[:1], int(y[0]), args.eps, limit=8); warm = time.perf_counter() - t0       # warm-up: 8 neurons of a layer
    g0 = graphs() if args.compile else 0
    steady = Peak()
    secs, res = [], []
    for j in range(args.images):
        s = []
        for _ in range(args.repeats):
            t0 = time.perf_counter(); m, boxes, walked, layer_s = crown(x[j:j + 1], int(y[j]), args.eps); s.append(time.perf_counter() - t0)
        secs.append(statistics.median(s))
        cross = {str(l.index): int(((lo < 0) & (hi > 0)).sum()) for l, (lo, hi) in zip(crown.layers, boxes)}
        res.append(dict(margins_sum=m.sum().item(), margins_min=m.min().item(), walked=walked, crossing_after=cross, seconds=secs[-1], seconds_per_layer=layer_s,
                        width_sums={str(l.index): (hi - lo).sum().item() for l, (lo, hi) in zip(crown.layers, boxes)}))
    steady_mib = steady()
    whole_mib = round(max(status('VmHWM'), steady.base) - whole.base, 1) if steady.how == 'VmHWM' else whole()
    emit(name='crown', net='mnist 4c3f relu', images=args.images, rows=args.rows, repeats=args.repeats, compile=args.compile, seconds_per_image=statistics.median(secs),
         warmup_seconds=warm, recompiles_while_timed=graphs() - g0 if args.compile else 0, peak_extra_mib=whole_mib, peak_extra_steady_mib=steady_mib, memory=steady.how,
         margins_sum=sum(r['margins_sum'] for r in res), per_image=res, **common(args))


# ------------------------------------------------------------------------------------------------------------ auto_LiRPA
def shim_torch():
    """auto_LiRPA 0.3 (the newest on PyPI) takes three private names of torch.onnx and the trace's scopes; given here where newer torch lacks them."""
    did = []
    import torch.onnx.symbolic_helper as sh
    if not hasattr(sh, '_set_opset_version'):
        def setter(v):
            try:
                from torch.onnx._internal.torchscript_exporter._globals import GLOBALS
            except ImportError:
                from torch.onnx._globals import GLOBALS
            GLOBALS.export_onnx_opset_version = v
        sh._set_opset_version = setter; did.append('symbolic_helper._set_opset_version')
    import torch.onnx.utils as u
    if not hasattr(u, '_optimize_graph'):
        from torch.onnx._internal.torchscript_exporter import utils as tu
        u._optimize_graph = tu._optimize_graph; did.append('utils._optimize_graph')
    if not hasattr(torch._C.Node, '__getitem__'):
        torch._C.Node.__getitem__ = lambda node, k: getattr(node, node.kindOf(k))(k); did.append('Node.__getitem__')
    return did


def bench_auto_lirpa(args):
    why = lambda e: f'{type(e).__name__}: {str(e)[:400]}'
    did, plain = [], None
    try: import auto_LiRPA
    except Exception as e:
        plain = why(e)
        for n in [n for n in sys.modules if n.startswith('auto_LiRPA')]: del sys.modules[n]
        try: did = shim_torch(); import auto_LiRPA
        except Exception as e2:
            return emit(name='auto_lirpa', runs=False, reason=plain, reason_with_shim=why(e2), torch=torch.__version__)
    from auto_LiRPA import BoundedModule, BoundedTensor
    from auto_LiRPA.perturbations import PerturbationLpNorm
    old = BoundedModule._named_members      # newer torch passes remove_duplicate
    import inspect
    if 'remove_duplicate' not in inspect.signature(old).parameters:
        BoundedModule._named_members = lambda self, get, prefix='', recurse=True, remove_duplicate=True: old(self, get, prefix, recurse); did.append('BoundedModule._named_members')
    try:
        from importlib.metadata import version; ver = version('auto_LiRPA')
    except Exception: ver = getattr(auto_LiRPA, '__version__', '?')
    base = dict(version=ver, shimmed=did, import_without_shim=plain or 'fine')

    def bound(net, x, y, eps, method, options, grad=False):
        bm = BoundedModule(net, torch.zeros_like(x[:1]), bound_opts=options, device='cpu')
        bm.train(grad)      # in eval mode its parameters carry no gradient
        C = specification(y, 10)

        def run():
            t = BoundedTensor(x, PerturbationLpNorm(norm=2, eps=eps))
            with torch.set_grad_enabled(grad):
                lb = bm.compute_bounds(x=(t,), C=C, method=method, bound_upper=False)[0]
                if grad:
                    for p in net.parameters(): p.grad = None
                    lb.sum().backward()
                    assert all(p.grad is not None for p in list(net.parameters())[:-1])      # the last layer's bias: none, where it is merged as a constant
            return lb.detach()
        return bm, run

    eps = args.eps
    # measurement 2: full CROWN, one image at a time (its first-layer box uses the whole kernel's norm)
    if not args.only or args.only == 'crown':
        for conv_mode in (['patches', 'matrix'] if args.conv_mode == 'both' else [args.conv_mode]):
            try:
                args.eps = 0.3 if eps is None else eps
                net, x, y = load(net_4c3f, args, args.images); net.requires_grad_(False)
                steady = whole = Peak(); secs, sums = [], []
                for j in range(args.images):
                    bm, run = bound(net, x[j:j + 1], y[j:j + 1], args.eps, 'backward', dict(conv_mode=conv_mode, sparse_intermediate_bounds=True, relu='adaptive'))
                    t0 = time.perf_counter(); m = run(); secs.append(time.perf_counter() - t0); sums.append(m.sum().item())
                emit(name='auto_lirpa crown', runs=True, net='mnist 4c3f relu', conv_mode=conv_mode, images=args.images, seconds_per_image=statistics.median(secs), all_seconds=secs,
                     peak_extra_mib=steady(), margins_sum=sum(sums), per_image=sums, **base, **common(args))
            except Exception as e: emit(name='auto_lirpa crown', runs=False, conv_mode=conv_mode, reason=why(e), **base)
    # CROWN-IBP's bound alone, and with a gradient of its sum
    if not args.only or args.only == 'crown_ibp':
        for grad in (False, True):
            try:
                args.eps = 0.1 if eps is None else eps
                net, x, y = load(net_6c2f, args, args.batch)
                bm, run = bound(net, x, y, args.eps, 'CROWN-IBP', dict(conv_mode='matrix', relu='adaptive'), grad)
                peak = Peak(); secs = []
                run()
                for _ in range(args.steps): t0 = time.perf_counter(); m = run(); secs.append(time.perf_counter() - t0)
                emit(name='auto_lirpa crown_ibp bound' + (' with gradient' if grad else ''), runs=True, net='cifar 6c2f relu', batch=args.batch, seconds_per_step=statistics.median(secs),
                     all_seconds=secs, peak_extra_mib=peak(), margins_sum=m.sum().item(), **base, **common(args))
            except Exception as e: emit(name='auto_lirpa crown_ibp bound' + (' with gradient' if grad else ''), runs=False, reason=why(e), **base)


# ----------------------------------------------------------------------------------------------------------------- check
def check(args):
    from safetensors.torch import load_file
    torch.set_default_dtype(torch.float64)

    def build(name, t):
        mods = []
        for l in json.load(open(f'{GOLDEN}/{name}.json'))['layers']:
            k = l['kind']
            mods.append(nn.Conv2d(l['ci'], l['co'], l['k'], l['s'], l['p']) if k == 'conv' else nn.Linear(l['i'], l['o']) if k == 'linear' else nn.Flatten() if k == 'flatten' else nn.ReLU())
        net = nn.Sequential(*mods); net.load_state_dict({k: t[f'param/{k}'].double() for k in net.state_dict()})
        return net

    ok = True
    rel = lambda a, b: ((a.detach() - b).abs().max() / b.abs().max().clamp(min=1e-12)).item()
    for golden, source in (('tiny_standrelu', 'tiny_standrelu'), ('tiny_oddpad_relu', 'tiny_oddpad_relux')):
        t, g = load_file(f'{GOLDEN}/{source}.safetensors'), load_file(f'{GOLDEN}/baselines/{golden}.safetensors')
        radii = json.load(open(f'{GOLDEN}/baselines/{golden}.json'))['radii']
        net, x, y = build(source, t), t['x'].double(), t['y'].long().flatten()
        layers, B = plan(net, tuple(x.shape[1:])), len(x)
        classes = layers[-1].out_shape[0]
        other = ~F.one_hot(y, classes).bool()
        for e, eps in enumerate(radii):
            K, d = f'eps{e}/', {}
            pick = lambda name: g[f'{K}{name}/margin'][other].view(B, -1)
            m_c, m_i = crown_ibp_margins(layers, x, y, eps)
            d['crown_ibp/margin'], d['ibp/margin'] = rel(m_c, pick('crown_ibp')), rel(m_i, pick('ibp'))
            net.zero_grad(); loss = crown_ibp_loss(net, layers, x, y, eps); loss.backward()
            L = 'crown_ibp/loss_k0.5_b0.5'
            d[L] = rel(loss, g[K + L])
            d['grad'] = max(rel(p.grad, g[f'{K}grad/{L}/{n}']) for n, p in net.named_parameters())
            net.zero_grad(); net.to(memory_format=torch.channels_last)
            loss = crown_ibp_loss(net, layers, x.contiguous(memory_format=torch.channels_last), y, eps, cl=True); loss.backward()
            d['channels last: loss'] = rel(loss, g[K + L])
            d['channels last: grad'] = max(rel(p.grad, g[f'{K}grad/{L}/{n}']) for n, p in net.named_parameters())
            net.to(memory_format=torch.contiguous_format)
            for rows, cl in ((8, False), (10 ** 6, False), (10, True)):
                c = Crown(net.to(memory_format=torch.channels_last) if cl else net, tuple(x.shape[1:]), rows, cl=cl)
                out = [c(x[j:j + 1], int(y[j]), eps) for j in range(B)]
                d[f'crown/margin, rows {rows}' + (', channels last' if cl else '')] = rel(torch.stack([o[0] for o in out]), pick('crown'))
            worst = max(d.values()); ok &= worst < 1e-10
            # boxes: never outside the golden ones (all neurons walked there, not cut); first layer equal
            boxes = {l.index: [torch.cat([o[1][i][s] for o in out]) for s in (0, 1)] for i, l in enumerate(layers[:-1])}
            cut = max(max((g[f'{K}crown/lb/{i}'] - lo)[(hi > 0) & (lo < 0)].clamp(min=0).max().item() if ((hi > 0) & (lo < 0)).any() else 0.,
                          (hi - g[f'{K}crown/ub/{i}'])[(hi > 0) & (lo < 0)].clamp(min=0).max().item() if ((hi > 0) & (lo < 0)).any() else 0.) for i, (lo, hi) in boxes.items())
            emit(check=golden, eps=eps, worst=worst, passes=worst < 1e-10, relative=d, crossing_boxes_outside_golden_by=cut, walked=[o[2] for o in out])
    # the real architecture: CROWN-IBP of 6C2F with plain ReLU on 3 images
    try:
        sys.path.insert(0, GOLDEN); import golden_io
        t, s = golden_io.load(GOLDEN, 'cifar_6c2f_relux'); g = load_file(f'{GOLDEN}/baselines/cifar_6c2f_relux.safetensors')
        net, shape = net_6c2f(); net.load_state_dict({k: torch.tensor(t[f'param/{k}']).double() for k in net.state_dict()})
        x, y = torch.tensor(t['x']).double(), torch.tensor(t['y']).long().flatten(); layers = plan(net, shape); other = ~F.one_hot(y, 10).bool()
        d = {}
        for e in (0, 1):
            eps = g['radii'][e].item(); K = f'eps{e}/relu/'
            loss = crown_ibp_loss(net, layers, x, y, eps); net.zero_grad(); loss.backward()
            with torch.no_grad(): m_c, m_i = crown_ibp_margins(layers, x, y, eps)
            d[K + 'crown_ibp/margin'] = rel(m_c, g[K + 'crown_ibp/margin'][other].view(len(x), -1)); d[K + 'ibp/margin'] = rel(m_i, g[K + 'ibp/margin'][other].view(len(x), -1))
            d[K + 'loss'] = rel(loss, g[K + 'crown_ibp/loss_k0.5_b0.5']); d[K + 'grad norms'] = max(rel(p.grad.norm(), g[f'{K}grad/{n}#norm']) for n, p in net.named_parameters())
        worst = max(d.values()); ok &= worst < 1e-10
        emit(check='cifar_6c2f (plain ReLU)', worst=worst, passes=worst < 1e-10, relative=d)
    except Exception as e: emit(check='cifar_6c2f (plain ReLU)', skipped=f'{type(e).__name__}: {e}')
    emit(check='all', passes=bool(ok))
    return 0 if ok else 1


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('mode', nargs='?', choices=['crown_ibp', 'crown', 'auto_lirpa', 'all', 'check'])
    p.add_argument('--check', action='store_true')
    p.add_argument('--threads', type=int, default=2)
    p.add_argument('--file', help='weights and images'); p.add_argument('--seed', type=int, default=0)
    p.add_argument('--eps', type=float, help='default 0.1 (crown_ibp), 0.3 (crown)')
    p.add_argument('--batch', type=int, default=32); p.add_argument('--steps', type=int, default=5); p.add_argument('--lr', type=float, default=1e-3)
    p.add_argument('--images', type=int, default=2); p.add_argument('--rows', type=int, default=256, help='coefficient rows of a chunk (two for a neuron)')
    p.add_argument('--no-flush-denormal', dest='flush_denormal', action='store_false', help='subnormals as PyTorch has them by default (wide margins make subnormal gradients: steps up to 3 times slower)')
    p.add_argument('--repeats', type=int, default=1)
    p.add_argument('--compile', action='store_true'); p.add_argument('--channels-last', action='store_true')
    p.add_argument('--only', choices=['crown', 'crown_ibp'], help='auto_lirpa: this part alone')
    p.add_argument('--conv-mode', choices=['patches', 'matrix', 'both'], default='patches', help='auto_lirpa crown; matrix takes gigabytes')
    args = p.parse_args()
    if args.flush_denormal and not (args.check or args.mode == 'check'): torch.set_flush_denormal(True)      # before the threads are made: they inherit it
    torch.set_num_threads(args.threads)
    if args.check or args.mode == 'check': return check(args)
    if args.mode == 'crown_ibp': bench_crown_ibp(args)
    elif args.mode == 'crown': bench_crown(args)
    elif args.mode == 'auto_lirpa': bench_auto_lirpa(args)
    elif args.mode == 'all':      # --file is only sensible for one net: with it, run the modes yourself
        if args.file: p.error('all takes no --file: the two nets differ')
        rest = [a for a in sys.argv[1:] if a != 'all' and a != '--compile']
        for m in (['crown_ibp'], ['crown'], ['crown_ibp', '--compile'], ['crown', '--compile'], ['auto_lirpa']):
            r = subprocess.run([sys.executable, os.path.abspath(__file__), *m, *rest]).returncode
            if r: emit(name=' '.join(m), failed=r)
    else: p.error('a mode, or --check')
    return 0


if __name__ == '__main__':
    sys.exit(main())
