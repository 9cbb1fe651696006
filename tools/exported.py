"""Networks of every kind of layer as others read them: onnx's checker, onnxruntime's and PyTorch's values beside ours.

    python3 tools/exported.py --program target/release/workbench       # wants onnx, onnxruntime, torch, safetensors from PyPI

For each network: written by `model.export`, checked, run on the same images, the largest difference of logits; read back by
`load_model` from the file and from its graph alone. Then networks that PyTorch exports, read here, and weights that it loads."""
import argparse, io, json, pathlib, subprocess, sys, tempfile, warnings

warnings.filterwarnings("ignore")
import numpy as np, onnx, onnxruntime, torch
from safetensors.numpy import load_file, save_file
from torch import nn

CONV = "conv2d(6, 3, #{ padding: 1 })"
HEAD = "flatten(), linear(12), relu(), linear(5)"
KINDS = [
    "relu()", "relu6()", "relu_theta(0.7)", "maxmin()", "clipped_maxmin(0.5, -0.5)", "groupsort(3)", "leaky_relu(0.1)", "abs()", "gelu()",
    "softplus(2.0)", "householder()", "n_activation()", "half_abs()", "scale_shift()", "batch_norm2d()", "avg_pool2d(2)", "max_pool2d(2)", "pixel_unshuffle(2)",
    "residual([conv2d(6, 3, #{ padding: 1 }), relu()])", "sum([conv2d(4, 1), [conv2d(4, 3, #{ padding: 1 }), relu()]])",
    "parallel([[], [conv2d(2, 1), abs()]])", "block([conv2d(4, 3), relu()])", "conv2d(4, 3, #{ stride: 2, padding: 1, bias: false })",
    "conv2d(4, 3, #{ weight: |w| 0.5 * w })",
]


def run(program, script, folder):
    (folder / "main.rhai").write_text(script)
    done = subprocess.run([program, "run", "main.rhai", "--allow-write", "."], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{script}\n{done.stdout}{done.stderr}")
    return done.stdout


def out(program, folder, kind):
    shape = "[3, 8, 8]"
    net = f"sequential({shape}, [normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.25]), {CONV}, {kind}, {HEAD}])"
    script = f"""
        let net = {net};
        net.export("net.onnx");
        {'' if "weight:" in kind else 'net.export("net.pth");'}
        let x = uniform(0, 1, [7, 3, 8, 8]);
        save_tensors("x.safetensors", #{{ x: x, y: net.frozen().forward(x) }});
    """
    run(program, script, folder)
    held = load_file(folder / "x.safetensors")
    model = onnx.load(folder / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(folder / "net.onnx", options, providers=["CPUExecutionProvider"])
    gap = float(np.abs(session.run(None, {"input": held["x"]})[0] - held["y"]).max())
    # A weight that a function makes is in no state_dict.
    weights = {} if "weight:" in kind else torch.load(folder / "net.pth", weights_only=True)
    bare = onnx.load(folder / "net.onnx")
    del bare.metadata_props[:]
    onnx.save(bare, folder / "bare.onnx")
    script = """
        let held = load_tensors("x.safetensors");
        for file in ["net.onnx", "bare.onnx"] {
            let said = "";
            try { said = (load_model(file).frozen().forward(held.x) - held.y).abs().max().item().to_string(); } catch (e) { said = e.to_string(); }
            print(said.split("no layer here")[0]);
        }
    """
    back = run(program, script, folder).splitlines()
    return gap, back[0], " ".join(back[1].split())[-60:], len(weights)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)
        self.pool, self.fc1, self.fc2 = nn.AvgPool2d(2), nn.Linear(128, 16), nn.Linear(16, 5)

    def forward(self, x):
        x = (x - 0.5) / 0.25
        x = self.bn1(self.conv1(x)).relu()
        x = (x + self.conv2(x)).relu()
        x = torch.clamp(self.pool(x), 0, 6)
        return self.fc2(self.fc1(x.flatten(1)).relu())


def from_torch(program, folder):
    torch.manual_seed(1)
    net = Net()
    for _ in range(3):
        net.train()(torch.rand(16, 3, 8, 8))
    net.eval()
    x = torch.rand(7, 3, 8, 8)
    rows = []
    save_file({"x": x.numpy(), "y": net(x).detach().numpy()}, folder / "x.safetensors")
    for name, how in (("torch.onnx.export, dynamo=False", dict(dynamo=False)), ("torch.onnx.export, open batch", dict(dynamo=False, dynamic_axes={"x": {0: "n"}}))):
        try:
            torch.onnx.export(net, (x,), folder / "torch.onnx", input_names=["x"], **how)
        except Exception as e:
            rows.append((name, f"not tried: {type(e).__name__}: {str(e)[:60]}"))
            continue
        said = run(program, """
            let held = load_tensors("x.safetensors");
            let said = ""; try { let net = load_model("torch.onnx"); print(net); said = (net.forward(held.x) - held.y).abs().max().item().to_string(); } catch (e) { said = e.to_string(); }
            print(said);
        """, folder)
        rows.append((name, said.splitlines()[-1][:150]))
    return rows


class Named(nn.Module):
    """Two convolutions and a linear layer under names of their own."""

    def __init__(self, norm=False):
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Linear(64, 5)
        self.bn1 = nn.BatchNorm2d(3) if norm else nn.Identity()

    def forward(self, x):
        return self.fc(self.conv2(self.bn1(self.conv1(x)).relu()).relu().flatten(1))


def weights_in(program, folder):
    """What came of weights that PyTorch, safetensors and numpy have written."""
    from safetensors.torch import save_file as save_tensors, save_model

    torch.manual_seed(3)
    net, x = Named(), torch.rand(6, 1, 8, 8)
    other = Named(norm=True)
    for _ in range(3):
        other.train()(torch.rand(16, 1, 8, 8))
    other.eval()
    weights = net.state_dict()
    names = '#{ names: #{ "conv1": 0, "conv2": 2, "fc": 5 } }'
    sequential = nn.Sequential(net.conv1, nn.ReLU(), nn.Dropout(), net.conv2, nn.ReLU(), nn.Flatten(), nn.Dropout(), net.fc)
    adam = torch.optim.Adam(net.parameters())
    net(x).sum().backward(), adam.step()
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    turned = {name: value.transpose(0, 1).contiguous().transpose(0, 1) if value.dim() > 1 else value for name, value in weights.items()}
    rows = [
        ("torch.save, zip", lambda f: torch.save(weights, f), "a.pth", names, net),
        ("torch.save before 1.6", lambda f: torch.save(weights, f, _use_new_zipfile_serialization=False), "a.pth", names, net),
        ("nn.Sequential with dropout", lambda f: torch.save(sequential.state_dict(), f), "a.pth", "", net),
        ("checkpoint with an optimiser", lambda f: torch.save({"epoch": 3, "model": weights, "optimizer": adam.state_dict()}, f), "a.pt", names, net),
        ("averaged weights beside", lambda f: torch.save({"state_dict": weights, "state_dict_ema": {n: 0 * v for n, v in weights.items()}}, f), "a.pth", names, net),
        ("a list of one state_dict", lambda f: torch.save({"state_dict": [weights]}, f), "a.pth", names, net),
        ("DataParallel of a compiled module", lambda f: torch.save({"module._orig_mod." + n: v for n, v in weights.items()}, f), "a.pth", names, net),
        ("not contiguous", lambda f: torch.save(turned, f), "a.pth", '#{ by: "order" }', net),
        ("bfloat16", lambda f: torch.save({n: v.bfloat16() for n, v in weights.items()}, f), "a.pth", names, None),
        ("batch normalisation, folded", lambda f: torch.save(other.state_dict(), f), "a.pth", '#{ fold: true, by: "order" }', other),
        ("safetensors save_file, half", lambda f: save_tensors({n: v.half() for n, v in weights.items()}, f), "a.safetensors", names, None),
        ("safetensors save_model", lambda f: save_model(net, str(f)), "a.safetensors", '#{ by: "order" }', net),
    ]
    told = []
    for what, write, file, options, by in rows:
        write(folder / file)
        by = net if by is None else by
        save_file({"x": x.numpy(), "y": by(x).detach().numpy()}, folder / "x.safetensors")
        said = run(program, f"""
            let net = sequential([1, 8, 8], [conv2d(3, 3, #{{ padding: 1 }}), relu(), conv2d(4, 3, #{{ stride: 2, padding: 1 }}), relu(), flatten(), linear(5)]);
            let held = load_tensors("x.safetensors");
            let said = "";
            try {{ net.load("{file}"{', ' + options if options else ''}); said = (net.forward(held.x) - held.y).abs().max().item().to_string(); }} catch (e) {{ said = e.to_string(); }}
            print(said);
        """, folder)
        told.append((what, said.splitlines()[-1][:120]))
    return told


def verified(program, folder):
    """What Marabou, if it is there, makes of a network and its properties: a proof close by, a counterexample further off."""
    try:
        from maraboupy import Marabou
    except ImportError:
        return [("Marabou", "not tried: pip install maraboupy, in an environment of its own with onnx 1.16")]
    told = []
    for eps, wanted in ((0.01, "unsat"), (0.8, "sat")):
        run(program, f"""
            let net = sequential([1, 6, 6], [conv2d(2, 3, #{{ padding: 1 }}), relu(), flatten(), linear(8), relu(), linear(3)]);
            let x = uniform(0, 1, [1, 1, 6, 6]);
            net.export("net.onnx");
            net.export_vnnlib("net.vnnlib", x, net.forward(x).argmax(1), {eps}, #{{ norm: "linf" }});
        """, folder)
        net = Marabou.read_onnx(str(folder / "net.onnx"))
        found = net.solve(options=Marabou.createOptions(verbosity=0, timeoutInSeconds=60), propertyFilename=str(folder / "net.vnnlib"), verbose=False)[0]
        told.append((f"Marabou, l-infinity {eps}", f"{found}, {wanted} expected"))
    return told


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--program", default="target/release/workbench")
    program = str(pathlib.Path(p.parse_args().program).resolve())
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, torch {torch.__version__}")
    print(f"{'layer':55} {'onnxruntime - ours':>18} {'read back':>22}   from the graph alone")
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for kind in KINDS:
            gap, back, bare, count = out(program, folder, kind)
            worst = max(worst, gap)
            print(f"{kind:55} {gap:18.1e} {back:>22}   {bare}")
        for name, said in from_torch(program, folder) + weights_in(program, folder) + verified(program, folder):
            print(f"{name:55} {said}")
    print(f"largest difference {worst:.1e}")
    return 0 if worst < 1e-5 else 1


sys.exit(main())
