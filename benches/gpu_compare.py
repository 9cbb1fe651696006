#!/usr/bin/env python3
"""A GPU's milliseconds of a Local-Lip-B step and of certification, ours beside PyTorch's, in one run on one machine.

    python3 benches/gpu_compare.py --workbench target/release/workbench --seconds 240 --out results.json

Ours is benches/gpu_step.rhai: many steps, the device waited for once at the end. PyTorch's is benches/torch_peer.py: the median of
single steps, each waited for. Both in f32 and in TF32; PyTorch `graphed` and `tuned` in both memory layouts, the others in the better
one. A ratio to a PyTorch without graphs is one of its launches: what counts is `graphed`. Ours runs before and after, and the slower
counts. What does not fit into the time is left out and named."""
import argparse, json, pathlib, re, select, statistics, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent
STYLES = ["graphed", "graphed_amp", "tuned", "amp", "compiled", "plain"]
# Whose memory layout a style takes: the better of two, which differs where launches count from where they do not.
LIKE = {"graphed": "graphed", "graphed_amp": "graphed", "tuned": "tuned", "amp": "tuned", "compiled": "tuned", "plain": "tuned"}
# Network, batch, steps of ours, styles of the peer.
STEPS = [("cifar10_6c2f", 256, 200, STYLES), ("mnist_4c3f", 256, 300, STYLES),
         ("tiny_8c2f", 128, 40, STYLES), ("cifar10_6c2f_maxmin", 256, 200, [])]
CERTIFY = [("cifar10_6c2f", 256, 5, ["tuned", "amp", "compiled"])]

p = argparse.ArgumentParser()
p.add_argument("--workbench", default="workbench"); p.add_argument("--peer", default=str(HERE / "torch_peer.py"))
p.add_argument("--seconds", type=float, default=240); p.add_argument("--out"); p.add_argument("--peer-log", default="/dev/null", help="what the peer complains of"); p.add_argument("--what", default="ceilings step certify")
p.add_argument("--nets", default="", help="NET or NET:PRECISION, several; all otherwise"); p.add_argument("--rounds", type=int, default=15); p.add_argument("--styles", default="graphed graphed_amp tuned amp compiled plain"); p.add_argument("--device", default="cuda"); p.add_argument("--precisions", default="tf32 f32")
p.add_argument("--count", type=int, default=50000); p.add_argument("--scale", type=float, default=1.0); p.add_argument("--threads", type=int, default=16)
a = p.parse_args()
deadline = time.monotonic() + a.seconds
left = lambda: deadline - time.monotonic()
rows, left_out = [], []

def ours(what, net, batch, steps, precisions):
    """Milliseconds by precision; empty where it fails or there is no time."""
    if left() < 15: left_out.append(f"ours: {what} {net}"); return {}
    command = [a.workbench, "run", str(HERE / "gpu_step.rhai"), "--device", a.device]
    settings = dict(what=what, net=net, batch=batch, steps=max(1, int(steps * a.scale)), warm=10 if what == "step" else 1, precisions=" ".join(precisions), count=min(a.count, 10000) if net == "tiny_8c2f" else a.count)  # 50,000 are 90 GB of 8C2F
    for key, value in settings.items(): command += ["--set", f"{key}={value}"]
    try: done = subprocess.run(command, capture_output=True, text=True, timeout=max(5, left()))
    except subprocess.TimeoutExpired: left_out.append(f"ours: {what} {net} (no time)"); return {}
    if done.returncode: left_out.append(f"ours: {what} {net}: {done.stderr.strip()[-400:]}"); return {}
    return {m[1]: float(m[2]) for m in re.finditer(rf"{what} (\w+) batch \d+: ([0-9.]+) ms", done.stdout)}

class Peer:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, a.peer, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(a.peer_log, "a"), text=True, bufsize=1)
        self.jobs = 0
    def ask(self, line, seconds):
        self.process.stdin.write(line + "\n"); self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], max(1, min(seconds, left())))
        if not ready: raise TimeoutError
        answer = self.process.stdout.readline()
        if not answer: raise RuntimeError("the peer ended")
        return json.loads(answer)
    def time(self, job, rounds):
        self.ask(json.dumps(job), 60); number = self.jobs; self.jobs += 1
        for k in range(3 if job["what"] == "step" else 1): self.ask(f"go {number}", 120 if k == 0 else 60)
        return statistics.median(self.ask(f"go {number}", 60)["ms"] for _ in range(rounds))

peer = None
def theirs(job, rounds):
    global peer
    if left() < 10: left_out.append(f"peer: {job}"); return None
    try:
        if peer is None: peer = Peer()
        return peer.time(job, rounds)
    except Exception as error:  # the others still count
        left_out.append(f"peer: {job}: {type(error).__name__} {error}")
        if peer: peer.process.kill()
        peer = None

def compare(what, net, batch, steps, styles, rounds, precisions):
    batch = max(1, int(batch * a.scale))
    before = ours(what, net, batch, steps, precisions)
    found, layouts = {(style, precision): [] for style in styles for precision in precisions}, {}
    for style in styles:
        for precision in precisions:
            for last in layouts.get((LIKE[style], precision), (True, False)):
                job = dict(what=what, net=net, batch=batch, style=style, device=a.device, tf32=precision == "tf32", channels_last=last, threads=a.threads)
                ms = theirs(job, rounds)
                if ms is not None: found[style, precision].append((ms, last))
            if found[style, precision]: layouts.setdefault((LIKE[style], precision), (min(found[style, precision])[1],))
    after = ours(what, net, batch, steps, precisions) if styles else {}
    for precision in precisions:
        own = [run[precision] for run in (before, after) if precision in run]
        row = dict(what=what, net=net, batch=batch, precision=precision, ours_ms=own)
        for style in styles:
            if found[style, precision] and own: row[style] = dict(ms=found[style, precision], ratio=min(found[style, precision])[0] / max(own))
        rows.append(row)
        ratios = "  ".join(f"{style} {min(row[style]['ms'])[0]:.2f} ms, {row[style]['ratio']:.2f} x" for style in styles if style in row)
        print(f"{what} {net} batch {batch} {precision}: ours {' '.join(f'{ms:.2f}' for ms in own)} ms   {ratios}", flush=True)

CEILINGS = '''
import torch, time
def rate(work, amount, repeats=10):
    for _ in range(3): work()
    torch.cuda.synchronize(); began = time.perf_counter()
    for _ in range(repeats): work()
    torch.cuda.synchronize(); return amount * repeats / (time.perf_counter() - began) / 1e12
x = torch.randn(1 << 30, device="cuda"); y = torch.empty_like(x); found = [f"copy {rate(lambda: y.copy_(x), 8 * x.numel()):.2f} TB/s read and written"]
a = torch.randn(8192, 8192, device="cuda"); b = torch.randn(8192, 8192, device="cuda")
for name in ("f32", "tf32"):
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"; found.append(f"product of 8192 {name} {rate(lambda: a @ b, 2 * 8192 ** 3):.0f} TFLOP/s")
print(torch.cuda.get_device_name(), "torch", torch.__version__, "cuDNN", torch.backends.cudnn.version(), "ceilings:", ", ".join(found))'''

nets, styles_wanted = a.nets.split(), a.styles.split()
if "ceilings" in a.what.split() and a.device == "cuda":
    done = subprocess.run([sys.executable, "-c", CEILINGS], capture_output=True, text=True); print(done.stdout.strip() or done.stderr.strip()[-400:], flush=True)
for what, cases, rounds in (("step", STEPS, a.rounds), ("certify", CERTIFY, max(1, a.rounds // 5))):
    for net, batch, steps, styles in cases:
        asked = [n.split(":") for n in nets if n.split(":")[0] == net]
        precisions = [only for n in asked for only in n[1:]] or a.precisions.split()
        if what in a.what.split() and (not nets or asked):
            compare(what, net, batch, steps, [style for style in styles if style in styles_wanted], rounds, precisions)
if peer: peer.process.kill()
for line in left_out: print(f"left out: {line}")
if a.out: pathlib.Path(a.out).write_text(json.dumps(dict(rows=rows, left_out=left_out), indent=1))
