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
    "softplus(2.0)", "householder()", "scale_shift()", "batch_norm2d()", "avg_pool2d(2)", "max_pool2d(2)", "pixel_unshuffle(2)",
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
        for (name, t) in net.parameters {{ let _ = t; }}
        net.export("net.onnx");
        net.export("net.pth");
        let x = uniform(0, 1, [7, 3, 8, 8]);
        save_tensors("x.safetensors", #{{ x: x, y: net.frozen().forward(x) }});
    """.replace("for (name, t) in net.parameters { let _ = t; }", "")
    run(program, script, folder)
    held = load_file(folder / "x.safetensors")
    model = onnx.load(folder / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(folder / "net.onnx", options, providers=["CPUExecutionProvider"])
    gap = float(np.abs(session.run(None, {"input": held["x"]})[0] - held["y"]).max())
    weights = torch.load(folder / "net.pth", weights_only=True)
    bare = onnx.load(folder / "net.onnx")
    del bare.metadata_props[:]
    onnx.save(bare, folder / "bare.onnx")
    script = """
        let held = load_tensors("x.safetensors");
        let back = |file| { try { return (load_model(file).frozen().forward(held.x) - held.y).abs().max().item(); } catch (e) { return e.to_string().split("read are")[0]; } };
        print(back.call("net.onnx")); print(back.call("bare.onnx"));
    """
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
        for name, said in from_torch(program, folder):
            print(f"{name:55} {said}")
    print(f"largest difference {worst:.1e}")
    return 0 if worst < 1e-5 else 1


sys.exit(main())
