"""Writes the files of this folder: weights as PyTorch saves them, PyTorch's own logits, and files made to do harm.

    python write_fixtures.py                          # torch, numpy, safetensors
    python write_fixtures.py others                   # named, nested, compiled, half and normalised ones
    python write_fixtures.py GOLDEN NET OUT.pth       # the weights of a golden net, too large for the repository
"""

import json
import os
import pickle
import sys
import zipfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn


class ReluTheta(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.threshold = nn.Parameter(0.5 * torch.rand(1, *shape))

    def forward(self, x):
        return torch.minimum(x.relu(), self.threshold)


class ClippedMaxMin(nn.Module):
    def __init__(self, half):
        super().__init__()
        self.max = nn.Parameter(0.3 * torch.rand(1, half))
        self.min = nn.Parameter(-0.3 * torch.rand(1, half))

    def forward(self, x):
        p, q = x.chunk(2, 1)
        larger, smaller = torch.maximum(p, q), torch.minimum(p, q)
        return torch.cat([torch.minimum(larger, self.max), torch.maximum(smaller, self.min)], 1)


def tiny():
    """Over 1x4x4: every kind of parameter."""
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, 1, 1), ReluTheta(2, 4, 4), nn.Flatten(), nn.Linear(32, 4), ClippedMaxMin(2), nn.Linear(4, 3)
    )


def narrow_6c2f():
    """6C2F over 3x32x32 with few channels."""
    layers, size, inputs = [], 32, 3
    for outputs, kernel, stride in [(2, 3, 1), (2, 3, 1), (2, 4, 2), (4, 3, 1), (4, 3, 1), (4, 4, 2)]:
        size //= stride
        layers += [nn.Conv2d(inputs, outputs, kernel, stride, 1), ReluTheta(outputs, size, size)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 16), ReluTheta(16), nn.Linear(16, 10))


def logits(net, weights, x):
    """In f64; every parameter has a say in them."""
    net.load_state_dict(weights)
    made = net.double()(x.double())
    made.square().sum().backward()
    assert all(parameter.grad.abs().max() > 1e-4 for parameter in net.parameters())
    return made.detach()


def saved():
    """What torch.save writes; inputs and logits go into expected.safetensors."""
    torch.manual_seed(2)
    net, x = tiny(), torch.rand(2, 1, 4, 4)
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    expected = {"x": x, "plain": logits(tiny(), weights, x)}
    torch.save(net.state_dict(), "plain.pth")

    adam = torch.optim.Adam(net.parameters())
    net(x).sum().backward()
    adam.step()
    beside = {"epoch": 3, "seed": 2**70, "best": 0.5, "args": ["digits", None, True], "optimizer": adam.state_dict()}
    torch.save({**beside, "state_dict": weights}, "nested.pth")
    torch.save({"net": {"module." + name: nn.Parameter(value) for name, value in weights.items()}}, "prefix.pth")

    # The same numbers in other orders: channels last, transposed, steps and slices of one storage, one number for many.
    one = torch.zeros(20)
    strided = dict(weights)
    strided["0.weight"] = weights["0.weight"].contiguous(memory_format=torch.channels_last)
    strided["3.weight"] = weights["3.weight"].t().contiguous().t()
    strided["5.weight"] = torch.zeros(6, 8)[::2, 1::2].copy_(weights["5.weight"])
    for name, part in [("0.bias", one[1:3]), ("3.bias", one[4:12:2]), ("5.bias", one[17:20])]:
        strided[name] = part.copy_(weights[name])
    strided["1.threshold"] = torch.full((1, 1, 1, 1), 0.1).expand(1, 2, 4, 4)
    assert sum(value.is_contiguous() for value in strided.values()) < len(strided) - 3
    expected["strided"] = logits(tiny(), strided, x)
    torch.save(strided, "strided.pth")

    types = {"1.threshold": torch.bfloat16, "3.weight": torch.float64, "3.bias": torch.bfloat16}
    mixed = {name: value.to(types.get(name, torch.float16)) for name, value in weights.items()}
    expected["mixed"] = logits(tiny().double(), mixed, x)
    torch.save(mixed, "mixed.pth")
    assert all((expected[kind] - expected["plain"]).abs().max() > 1e-5 for kind in ["strided", "mixed"])

    # A view that PyTorch negates when it is read, and the same weights as they are.
    layers = [nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 2)]
    whole = nn.Sequential(*layers).state_dict()
    negated = dict(whole)
    negated["3.weight"] = torch.complex(torch.zeros(12, 12), -whole["3.weight"]).conj().imag
    assert negated["3.weight"].is_neg() and torch.equal(negated["3.weight"], whole["3.weight"])
    torch.save(whole, "negated_plain.pth")
    torch.save(negated, "negated.pth")

    torch.save(nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)).state_dict(), "batchnorm.pth")
    torch.save({"student": {"0.weight": torch.ones(2, 4)}, "teacher": {"0.weight": torch.ones(2, 4)}}, "two.pth")
    torch.save({"epoch": 3, "history": [0.5, 0.25]}, "none.pth")
    torch.save({"0.weight": torch.ones(2, 4)}, "legacy.pth", _use_new_zipfile_serialization=False)

    net, x = narrow_6c2f(), torch.rand(2, 3, 32, 32)
    expected |= {"x_6c2f": x, "narrow_6c2f": logits(narrow_6c2f(), net.state_dict(), x)}
    torch.save(net.state_dict(), "narrow_6c2f.pth")
    save_file(expected, "expected.safetensors")


def others():
    """Names of a researcher's own, several dictionaries, batch normalisation, buffers of a normalisation; what each network says of x in
    f64 goes into others.safetensors."""
    torch.manual_seed(5)
    x, expected = torch.rand(3, 1, 8, 8, dtype=torch.float64), {}

    class Named(nn.Module):
        def __init__(self, norm=False):
            super().__init__()
            self.register_buffer("mean", torch.tensor([0.3]).view(1, 1, 1, 1))
            self.register_buffer("std", torch.tensor([0.4]).view(1, 1, 1, 1))
            self.fc1 = nn.Linear(64, 5)
            self.conv1, self.conv2 = nn.Conv2d(1, 2, 3, padding=1, bias=not norm), nn.Conv2d(2, 4, 3, stride=2, padding=1)
            self.bn1, self.bn2 = (nn.BatchNorm2d(2), nn.BatchNorm2d(4)) if norm else (nn.Identity(), nn.Identity())

        def forward(self, x):
            x = (x - self.mean) / self.std
            x = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
            return self.fc1(x.flatten(1))

    def say(name, net):
        expected[name] = net.double().eval()(x).detach()
        return net.float()

    net = say("named", Named())
    torch.save(net.state_dict(), "named.pth")
    save_file(net.state_dict(), "named.safetensors")
    ema = {name: value * 0.5 for name, value in net.state_dict().items()}
    torch.save({"epoch": 2, "state_dict": net.state_dict(), "state_dict_ema": ema, "best": torch.tensor(0.5)}, "ema.pth")
    torch.save({"state_dict": [net.state_dict()], "hyper": {"lr": 0.1}}, "list.pth")
    torch.save({"state_dict": [net.state_dict(), ema]}, "lists.pth")
    torch.save({"module._orig_mod." + name: value for name, value in net.state_dict().items()}, "compiled.pth")
    torch.save({"named": net.half().state_dict(), "extra": {"more": 1}}, "half.pth")
    expected["half"] = net.double()(x).detach()

    net = Named(norm=True)
    for _ in range(4):
        net.train()(torch.rand(8, 1, 8, 8))
    with torch.no_grad():
        for bn in (net.bn1, net.bn2):
            bn.weight.uniform_(0.5, 2), bn.bias.normal_()
    net = say("bn_named", net)
    torch.save(net.state_dict(), "bn_named.pth")
    save_file(net.state_dict(), "bn_named.safetensors")

    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(128, 5))
    for _ in range(4):
        net.train()(torch.rand(8, 1, 8, 8))
    net = say("bn", net)
    torch.save(net.state_dict(), "bn.pth")

    tied = nn.Linear(5, 5, bias=False).weight.detach()
    save_file({"0.weight": tied}, "tied.safetensors", metadata={"format": "pt", "1.weight": "0.weight"})
    expected["tied"] = torch.linspace(0, 1, 5, dtype=torch.float64) @ tied.double().t() @ tied.double().t()
    save_file({"x": x, **expected}, "others.safetensors")


def more():
    """A state_dict with something else in it beside an average, PyTorch's own average, one number that stands for 2^40."""
    torch.manual_seed(6)
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    weights = net.state_dict()
    halves = {name: value / 2 for name, value in weights.items()}
    torch.save({"state_dict": {**weights, "extra": None}, "ema": halves, "best": torch.tensor(0.5)}, "extra.pth")
    torch.save(torch.optim.swa_utils.AveragedModel(net).state_dict(), "averaged.pth")
    save_file(weights, "extra.safetensors")
    archive("repeated.pth", tensor(dims=(1 << 20, 1 << 20), strides=(0, 0)))


class Command:
    """Unpickled by Python, it runs a command."""

    def __reduce__(self):
        return os.system, ("touch marker",)


def archive(name, pickled, compression=zipfile.ZIP_STORED, byteorder=b"little", storage=bytes(32)):
    with zipfile.ZipFile(name, "w", compression) as file:
        for entry, content in [("data.pkl", pickled), ("byteorder", byteorder), ("data/0", storage)]:
            file.writestr(zipfile.ZipInfo("archive/" + entry), content, compression)


def text(word):
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


def tensor(key="0", offset=0, dims=(2, 4), strides=(4, 1), length=8):
    """The pickle of {"0.weight": a tensor}, by hand, so that its sizes can be wrong."""

    def number(n):
        return b"\x8a\x08" + n.to_bytes(8, "little", signed=True)

    def numbers(ns):
        return b"(" + b"".join(map(number, ns)) + b"t"

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(length) + b"tQ"
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + numbers(dims) + numbers(strides)
    return b"\x80\x02}" + text("0.weight") + made + b"\x89NtRs."


def harmful():
    archive("runs_a_command.pth", pickle.dumps({"0.weight": Command()}, protocol=2))
    with open("bare_command.pth", "wb") as file:
        pickle.dump(Command(), file, protocol=4)
    archive("storage_elsewhere.pth", tensor(key="../../../../etc/passwd"))
    archive("beyond_by_shape.pth", tensor(dims=(3, 4)))
    archive("beyond_by_strides.pth", tensor(strides=(2**62, 1)))
    archive("beyond_by_offset.pth", tensor(offset=1))
    archive("offset_below_zero.pth", tensor(offset=-1))
    archive("storage_too_short.pth", tensor(length=2**40, dims=(2, 4)))
    archive("text_of_4_gib.pth", b"\x80\x02X\xff\xff\xff\xff.")
    archive("bomb.pth", tensor(), zipfile.ZIP_DEFLATED, storage=bytes(4 << 20))
    archive("big_endian.pth", tensor(), byteorder=b"big")
    archive("terminal_codes.pth", tensor().replace(text("0.weight"), text("\x1b[2J")))


def residual():
    """A state_dict of nested names by hand, as PyTorch writes one, and the logits by NumPy in f64: the numbers of tests/pytorch.rs.

    module.N of a Sequential; at place 1 a block whose branch is a Sequential: x + F(x)."""
    shapes = {"0": (4, 3), "1.0": (5, 4), "1.2": (4, 5), "3": (2, 4)}
    weights, storages, at = {}, {}, 0
    for name, shape in shapes.items():
        for part, dims in [("weight", shape), ("bias", shape[:1])]:
            n = int(np.prod(dims))
            weights[f"{name}.{part}"] = np.sin(1.7 * np.arange(at, at + n) + 0.3).astype(np.float32).reshape(dims)
            at += n
    pickled = b"\x80\x02}("
    for key, (name, value) in enumerate(weights.items()):
        strides = tuple(s // 4 for s in value.strides)
        whole = tensor(str(key), 0, value.shape, strides, value.size)
        made = whole[whole.index(b"ctorch._utils") : -2]
        pickled += text("module." + name) + made
        storages[key] = value.tobytes()
    with zipfile.ZipFile("residual.pth", "w") as file:
        entries = [("data.pkl", pickled + b"u."), ("byteorder", b"little")]
        for entry, content in entries + [(f"data/{key}", value) for key, value in storages.items()]:
            file.writestr(zipfile.ZipInfo("archive/" + entry), content)

    def linear(x, name):
        return x @ weights[name + ".weight"].T.astype(np.float64) + weights[name + ".bias"]

    x = np.array([[0.5, -1.0, 0.25], [1.5, 0.75, -0.5]])
    z = linear(x, "0")
    z = np.maximum(z + linear(np.maximum(linear(z, "1.0"), 0), "1.2"), 0)
    print(linear(z, "3").tolist())


def golden(folder, net, out):
    """The formula is in the net's description; see the folder's README."""
    info = json.load(open(f"{folder}/{net}.json"))
    weights = load_file(f"{folder}/{net}.safetensors")
    for name, rule in info["generator"]["tensors"].items():
        with np.errstate(over="ignore"):
            z = np.arange(1, np.prod(rule["shape"]) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            z += np.uint64(int(rule["seed"]))
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        unit = ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) * 2.0**-24
        made = (rule["lo"] + (rule["hi"] - rule["lo"]) * unit).astype(np.float32)
        weights[name] = torch.from_numpy(made).reshape(rule["shape"])
    weights = {name.removeprefix("param/"): value for name, value in weights.items() if name.startswith("param/")}
    torch.save({"state_dict": weights}, out)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        golden(*sys.argv[1:])
    elif sys.argv[1:] == ["others"]:
        os.chdir(os.path.dirname(os.path.abspath(__file__)))
        others()
        more()
    else:
        os.chdir(os.path.dirname(os.path.abspath(__file__)))
        saved()
        harmful()
        residual()
