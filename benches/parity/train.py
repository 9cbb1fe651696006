"""Train with PyTorch what the workbench has trained, and compare. See README.md beside this file.

    python train.py first-losses --net mnist_4c3f --data DIR/mnist --folder OUT
    python train.py mnist-short --seed 0 --data DIR/mnist --folder OUT
"""
import argparse
import csv
import gzip
import time
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import local_lip


# ---- data, from the published files -----------------------------------------------------------------------------------

def read(path):
    """The bytes of a file, plain or .gz."""
    packed = path.with_name(path.name + ".gz")
    return gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()


def mnist(folder, split, count):
    """The first images [count, 1, 28, 28] in [0, 1] and labels, from the IDX files."""
    name = {"train": "train", "test": "t10k"}[split]
    pixels = np.frombuffer(read(folder / f"{name}-images-idx3-ubyte"), np.uint8, offset=16)
    labels = np.frombuffer(read(folder / f"{name}-labels-idx1-ubyte"), np.uint8, offset=8)
    return scaled(pixels.reshape(-1, 1, 28, 28)[:count], labels[:count])


def cifar10(folder, split, count):
    """The first images [count, 3, 32, 32] in [0, 1] and labels, from the binary version: a label byte, then the image."""
    files = {"train": [f"data_batch_{k}.bin" for k in range(1, 6)], "test": ["test_batch.bin"]}[split]
    rows = np.concatenate([np.frombuffer(read(folder / f), np.uint8) for f in files[: -(-count // 10000)]])
    rows = rows.reshape(-1, 3073)[:count]
    return scaled(rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0])


def scaled(pixels, labels):
    return torch.from_numpy(pixels / 255.0), torch.from_numpy(labels.astype(np.int64))


# ---- the first losses, f64 --------------------------------------------------------------------------------------------

PUBLISHED = {
    "mnist_4c3f": dict(loss="gloro", eps_train=1.75, iterations=5, worst_iterations=10),
    "cifar10_6c2f": dict(loss="bcp", eps_train=0.1551, iterations=2, worst_iterations=1),
}


def parts(tensors, prefix):
    """The tensors under `prefix/`, by the layer that follows."""
    return {int(name.split("/")[1]): t.clone() for name, t in tensors.items() if name.startswith(prefix + "/")}


def first_losses(args):
    torch.set_default_dtype(torch.float64)
    folder = Path(args.folder)
    start = load_file(folder / f"{args.net}_start.safetensors")
    model = getattr(local_lip, args.net)()
    model.load_state_dict({n.removeprefix("param/"): t for n, t in start.items() if n.startswith("param/")})
    order = start["order"].to(torch.int64)
    reader = mnist if args.net.startswith("mnist") else cifar10
    images, labels = reader(Path(args.data), "train", order.shape[1])
    cfg = dict(batch=args.batch, epochs=len(order), warmup=0, ramp=len(order), lr=1e-3, lr_end=5e-6) | PUBLISHED[args.net]
    theirs, rows = np.load(folder / f"{args.net}_losses.npy"), []

    def report(epoch, step, eps, kappa, loss):
        gap = loss - theirs[step]
        rows.append([step, f"{eps:.6f}", f"{kappa:.4f}", f"{loss:.15e}", f"{theirs[step]:.15e}", f"{gap:.2e}"])
        print(*rows[-1])

    local_lip.train(model, images, labels, order, parts(start, "local"), parts(start, "global"), cfg, report)
    with open(folder / f"first_losses_{args.net}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "eps", "kappa", "torch", "workbench", "difference"])
        writer.writerows(rows)
    print("largest difference:", max(abs(float(row[-1])) for row in rows))


# ---- a short run on MNIST, f32 ----------------------------------------------------------------------------------------

def mnist_short(args):
    """Train and evaluate, or with --weights evaluate only. The last line is a row of the results, as the workbench's."""
    torch.manual_seed(args.seed)                                          # start vectors; weights and order are given
    folder, trained = Path(args.folder), 0.0
    model = local_lip.mnist_4c3f()
    if args.weights:
        model.load_state_dict(load_file(args.weights))
    else:
        start = folder / f"start_seed{args.seed}.safetensors"
        model.load_state_dict(load_file(start))
        trained = train_mnist_short(model, args)
        with safe_open(start, "pt") as file:                              # the description of the layers goes along
            save_file(model.state_dict(), folder / f"torch_seed{args.seed}.safetensors", metadata=file.metadata())
    began = time.time()
    images, labels = mnist(Path(args.data), "test", args.test_limit)
    clean, certified = local_lip.evaluate(model, images.float(), labels, args.eps)
    trainer = "workbench" if args.weights and "workbench" in args.weights else "torch"
    figures = f"{100 * clean:.1f},{100 * certified:.1f},{trained:.0f},{time.time() - began:.0f}"
    print(f"{args.seed},{trainer},torch,{args.eps},{len(images)},{figures}")


def train_mnist_short(model, args):
    """In the order that the workbench wrote. Returns the seconds."""
    order = torch.from_numpy(np.load(Path(args.folder) / f"order_seed{args.seed}.npy").astype(np.int64))
    cfg = dict(loss="gloro", warmup=0, epochs=len(order)) | {k: getattr(args, k) for k in SHORT}
    images, labels = mnist(Path(args.data), "train", order.shape[1])
    x, local, global_ = images[:1].float(), {}, {}
    for i, layer in enumerate(model[:-1]):
        if local_lip.is_affine(layer):
            local[i], global_[i] = torch.randn(len(images), *x.shape[1:]), torch.randn(1, *x.shape[1:])
        x = layer(x)
    losses, began = [], time.time()

    def report(epoch, step, eps, kappa, loss):
        losses.append(loss)
        if (step + 1) % -(-len(images) // cfg["batch"]) == 0:
            print(f"epoch {epoch + 1}  loss {np.mean(losses):.4f}  eps {eps:.4f}  {time.time() - began:.0f} s", flush=True)
            losses.clear()

    local_lip.train(model, images.float(), labels, order, local, global_, cfg, report)
    return time.time() - began


# The settings of mnist_short.rhai that are not in the files it writes.
SHORT = dict(ramp=3, batch=100, eps_train=0.5, iterations=2, worst_iterations=1, lr=1e-3, lr_end=5e-5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("first-losses")
    first.add_argument("--net", choices=PUBLISHED, default="mnist_4c3f")
    first.add_argument("--batch", type=int, default=32)
    first.set_defaults(run=first_losses)
    short = commands.add_parser("mnist-short")
    short.add_argument("--seed", type=int, default=0)
    short.add_argument("--weights", help="evaluate these weights and train nothing")
    short.add_argument("--eps", type=float, default=0.5)
    short.add_argument("--test-limit", type=int, default=1000)
    for name, value in SHORT.items():
        short.add_argument("--" + name.replace("_", "-"), type=type(value), default=value)
    short.set_defaults(run=mnist_short)
    for command in commands.choices.values():
        command.add_argument("--data", required=True, help="the folder with the data set's files")
        command.add_argument("--folder", default=".", help="where the workbench wrote, and where to write")
        command.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.run(args)
