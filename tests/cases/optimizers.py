"""The trajectories of `optimizers.safetensors`, by PyTorch in float64: python optimizers.py OUT

Two parameters, 20 steps each, gradients that are given. Lookahead and the scaling to a total norm are written out here: PyTorch has no
Lookahead, and adds 1e-6 to a norm before it divides by it.
"""
import sys, torch
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
g = torch.Generator().manual_seed(29)
shapes = [(2, 2), (3,)]
start = [torch.randn(s, generator=g) for s in shapes]
gradients = [torch.randn((20, *s), generator=g) * 1.5 for s in shapes]
out = {f"start/{i}": p for i, p in enumerate(start)} | {f"gradient/{i}": t for i, t in enumerate(gradients)}


def trajectory(name, make, clip=None, lookahead=None):
    own = [p.clone().requires_grad_() for p in start]
    slow = [p.clone() for p in start]
    optimizer, path = make(own), []
    for step in range(20):
        each = [t[step] for t in gradients]
        if clip is not None:
            norm = torch.sqrt(sum(t.pow(2).sum() for t in each))
            each = [t * min(1.0, clip / float(norm)) for t in each]
        for p, t in zip(own, each):
            p.grad = t.clone()
        optimizer.step()
        if lookahead is not None and (step + 1) % lookahead[0] == 0:
            with torch.no_grad():
                for p, s in zip(own, slow):
                    s += lookahead[1] * (p - s)
                    p.copy_(s)
        path.append([p.detach().clone() for p in own])
    for i in range(len(own)):
        out[f"{name}/{i}"] = torch.stack([at[i] for at in path])


o = torch.optim
trajectory("adam", lambda p: o.Adam(p, lr=0.05, betas=(0.8, 0.95), weight_decay=0.1))
trajectory("adamw", lambda p: o.AdamW(p, lr=0.05))
trajectory("nadam", lambda p: o.NAdam(p))
trajectory("nadam_decay", lambda p: o.NAdam(p, lr=0.05, betas=(0.8, 0.95), weight_decay=0.1, momentum_decay=0.2))
trajectory("nadam_decoupled", lambda p: o.NAdam(p, lr=0.05, weight_decay=0.1, decoupled_weight_decay=True))
trajectory("nadam_clipped", lambda p: o.NAdam(p, lr=0.05), clip=3.0)
trajectory("lookahead", lambda p: o.NAdam(p, lr=0.05), lookahead=(5, 0.5))
trajectory("lookahead_sgd", lambda p: o.SGD(p, lr=0.05, momentum=0.9), lookahead=(3, 0.8))
save_file({k: v.contiguous() for k, v in out.items()}, sys.argv[1])
