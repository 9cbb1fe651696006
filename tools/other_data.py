#!/usr/bin/env python3
"""Do data files that other programs write come in? Writes some by the libraries that people write them with, and has the program
read each: MNIST as torchvision keeps it, CIFAR-10's Python version, MedMNIST's npz, npy in every order, CSV of pandas, Parquet of
pyarrow in every compression, pictures of Pillow. Prints a table: what it was, and what came of it.

Needs Python 3.9 with `pip install numpy pandas pyarrow pillow`, and the built program:

    cargo build --release
    python3 tools/other_data.py [--program PROGRAM] [--keep FOLDER]
"""

import argparse, gzip, json, os, pathlib, pickle, shutil, struct, subprocess, sys, tarfile, tempfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent.parent
RANDOM = np.random.default_rng(7)

# A split's name and length, the sum of all its pixels, its first labels.
SHOW = """
let data = dataset(%s, %s);
fn told(split) {
    let n = split.len();
    let all = []; for i in 0..n { all.push(i); }
    let sum = split.images(all).to_dtype("f64").sum().item();
    let first = []; for i in 0..min(n, 6) { first.push(i); }
    `${n} ${(sum * 1000.0).round().to_int()} ${split.labels(first).to_array()}`
}
let train = "none";
try { train = told(data.train); } catch { }
let validation = "none";
try { validation = told(data.validation); } catch { }
print(`RESULT ${data.shape} | ${train} | ${validation} | ${told(data.test)} | ${data.class_names}`);
"""


class Cases:
    def __init__(self, program, root):
        self.program, self.root, self.rows = program, root, []
        self.script = root / "show.rhai"

    def run(self, *arguments):
        env = dict(os.environ, HOME=str(self.root / "home"), XDG_CACHE_HOME=str(self.root / "cache"), WORKBENCH_DATA="")
        done = subprocess.run([self.program, *map(str, arguments)], cwd=self.root, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def show(self, what, name, wanted=None, data_dir=None, options=None, refused=None):
        """Reads the data set `name`; `wanted` is (train, test) or (train, validation, test), each (images in [0, 1], labels)."""
        self.script.write_text(SHOW % (json.dumps(str(name)), "#" + (options or "{}")))
        more = ["--data-dir", data_dir] if data_dir else []
        code, text = self.run("run", self.script, "--allow-read", self.root, *more)
        result = next((l[7:] for l in text.splitlines() if l.startswith("RESULT ")), None)
        error = next((l for l in text.splitlines() if l.startswith("error")), text.strip()[-200:])
        if refused:
            good = code == 1 and all(part in text for part in refused)
            self.rows.append((what, "refused, as it should be" if good else "WRONG", (error if result is None else result)[:150]))
            return
        good = result is not None and code == 0
        if good and wanted:
            parts = result.split(" | ")
            splits = [wanted[0], None, wanted[1]] if len(wanted) == 2 else wanted
            for told, split in zip(parts[1:4], splits):
                good &= (told == "none") if split is None else self.agrees(told, *split)
        self.rows.append((what, "read" if good else "WRONG", result[:90] if result else error[:150]))

    @staticmethod
    def agrees(told, images, labels):
        n, total, first = told.split(" ", 2)
        expected = images.astype("float64").sum() * 1000
        same = abs(int(total) - expected) <= max(2, 1e-6 * expected)
        return int(n) == len(labels) and same and first == str([int(l) for l in labels[:6]])

    def say(self, what, arguments, parts):
        code, text = self.run(*arguments)
        good = code == 0 and all(part in text for part in parts)
        line = " / ".join(l.strip() for l in text.splitlines())
        self.rows.append((what, "said" if good else "WRONG", line[:150]))

    def table(self):
        wide = [max(len(r[i]) for r in self.rows) for i in (0, 1)]
        for row in self.rows:
            print(f"{row[0]:{wide[0]}}  {row[1]:{wide[1]}}  {row[2]}")
        wrong = sum(r[1] == "WRONG" for r in self.rows)
        print(f"{len(self.rows)} cases, {wrong} wrong")
        return wrong


def idx(path, array, packed):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    data = head + array.astype("u1").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(data))
    else:
        path.write_bytes(data)


def images(n, *shape):
    return RANDOM.integers(0, 256, (n, *shape), dtype="u1")


def labels(n, classes):
    return np.arange(n) % classes


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def manifest(path, shape, classes, form, splits, more=""):
    return put(path, f"name: {path.stem}\nshape: {list(shape)}\nclasses: {classes}\nformat: {form}\n{more}splits: {{ {splits} }}\n")


def unit(array, scale=255):
    return array.astype("float64") / scale


def torchvision(cases):
    for packed, dotted in [(True, False), (False, False), (False, True)]:
        root = cases.root / f"tv_{packed}_{dotted}"
        x, y, z, w = images(60, 28, 28), labels(60, 10), images(20, 28, 28), labels(20, 10)
        mark = ".idx" if dotted else "-idx"
        for folder in ["MyMNIST", "Fashion_Mine"]:
            for name, array in [(f"train-images{mark}3-ubyte", x), (f"train-labels{mark}1-ubyte", y),
                                (f"t10k-images{mark}3-ubyte", z), (f"t10k-labels{mark}1-ubyte", w)]:
                idx(root / folder / "raw" / name, array, packed)
        splits = "train: { images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte }, " \
                 "test: { images: t10k-images-idx3-ubyte, labels: t10k-labels-idx1-ubyte }"
        for name in ["mymnist", "fashion_mine"]:
            made = manifest(cases.root / f"m_{packed}_{dotted}" / f"{name}.yaml", [1, 28, 28], 10, "idx", splits)
            what = f"torchvision's {name}/raw, {'gz' if packed else 'plain'}{', dotted names' if dotted else ''}"
            cases.show(what, made, [(unit(x), y), (unit(z), w)], data_dir=root)
    only = cases.root / "only_test"
    idx(only / "MNIST/raw/t10k-images-idx3-ubyte", images(20, 28, 28), True)
    cases.show("MNIST/raw without labels", "mnist", data_dir=only, refused=["t10k"])
    x, y = images(60, 28, 28).transpose(0, 2, 1), labels(60, 26) + 1
    idx(only / "train-x", x, False), idx(only / "train-y", y, False), idx(only / "test-x", x, False), idx(only / "test-y", y, False)
    made = manifest(only / "letters.yaml", [1, 28, 28], 26, "idx",
                    "train: { images: train-x, labels: train-y }, test: { images: test-x, labels: test-y }",
                    "transposed: true\nfirst_label: 1\n")
    turned = unit(x.transpose(0, 2, 1))
    cases.show("EMNIST letters: transposed, labels from 1", made, [(turned, y - 1), (turned, y - 1)])


def cifar(cases):
    for protocol in [2, 4, 5]:
        root = cases.root / f"cifar_{protocol}"
        folder = root / "cifar-10-batches-py"
        folder.mkdir(parents=True)
        x, y = images(10000, 3072), labels(10000, 10)
        for i in range(1, 7):
            name = f"data_batch_{i}" if i < 6 else "test_batch"
            batch = {b"batch_label": name.encode(), b"labels": [int(l) for l in y], b"data": x, b"filenames": [b"a.png"] * 10000}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=protocol))
        (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"cat"]}, protocol=protocol))
        text = (HERE / "datasets/cifar10.yaml").read_text()
        text = "\n".join(l for l in text.splitlines() if "digest:" not in l).replace("name: cifar10", "name: my_cifar")
        made = put(root / "my_cifar.yaml", text)
        part = '{"train_limit": 100, "test_limit": 50}'
        cases.show(f"cifar-10-batches-py, protocol {protocol}", made, [(unit(x[:100]), y[:100]), (unit(x[:50]), y[:50])], options=part)
        if protocol == 2:
            with tarfile.open(cases.root / "cifar-10-python.tar.gz", "w:gz", compresslevel=1) as archive:
                archive.add(folder, "cifar-10-batches-py")
            other = put(cases.root / "tar" / "my_cifar.yaml", text)
            shutil.move(cases.root / "cifar-10-python.tar.gz", cases.root / "tar" / "cifar-10-python.tar.gz")
            cases.show("straight from cifar-10-python.tar.gz", other, [(unit(x[:100]), y[:100]), (unit(x[:50]), y[:50])], options=part)
            cases.say("import of it", ["data", "import", other, cases.root / "tar" / "cifar-10-python.tar.gz"],
                      ["taken from", "cifar-10-batches-py/data_batch_1", "50000 train"])

    class Evil:
        def __reduce__(self):
            return os.system, ("touch /tmp/was_run",)
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": Evil()}, protocol=2))
    cases.show("a batch that calls os.system", made, options=part, refused=["data_batch_1", "system", "nothing in a data file is run"])


def arrays(cases):
    root = cases.root / "arrays"
    root.mkdir()
    x, y = images(36, 14, 14, 3), labels(36, 9)
    splits = dict(train=(x, y), val=(x[:18], y[:18]), test=(x[9:27], y[9:27]))
    for save, name in [(np.savez, "medmnist"), (np.savez_compressed, "medmnist_packed")]:
        save(root / f"{name}.npz", **{f"{s}_{k}": a for s, (i, l) in splits.items() for k, a in [("images", i), ("labels", l.reshape(-1, 1).astype("u1"))]})
        files = ", ".join(f"{s}: {{ file: {name}.npz }}" for s in ["train", "validation", "test"])
        made = manifest(root / f"{name}.yaml", [3, 14, 14], 9, "npz", files)
        cases.show(f"{name}.npz, five lines of YAML", made, [(unit(i), l) for i, l in splits.values()])
    np.savez(root / "keras.npz", x_train=x[..., 0], y_train=y, x_test=x[9:27, :, :, 0], y_test=y[9:27])
    made = manifest(root / "keras.yaml", [1, 14, 14], 9, "npz", "train: { file: keras.npz }, test: { file: keras.npz }")
    cases.show("Keras's npz: x_train, y_train", made, [(unit(x[..., 0]), y), (unit(x[9:27, :, :, 0]), y[9:27])])
    grey = x[..., 0]
    forms = [
        ("Fortran order", np.asfortranarray(x), [3, 14, 14], "", unit(x)), ("channels first", x.transpose(0, 3, 1, 2), [3, 14, 14], "", unit(x)),
        ("big-endian u2, scale 65535", (grey.astype(">u2") * 257), [1, 14, 14], "scale: 65535\n", unit(grey)),
        ("u2 that are bytes", grey.astype("<u2"), [1, 14, 14], "", unit(grey)),
        ("f2 from 0 to 1", (grey / 256).astype("f2"), [1, 14, 14], "scale: 1\n", grey / 256),
        ("f4 from 0 to 1, Fortran", np.asfortranarray((grey / 255).astype("f4")), [1, 14, 14], "scale: 1.0\n", unit(grey)),
        ("big-endian f8, 0 to 255", grey.astype(">f8"), [1, 14, 14], "scale: 255\n", unit(grey)),
        ("bool", grey > 127, [1, 14, 14], "scale: 1\n", (grey > 127).astype("f8")),
    ]
    np.save(root / "y.npy", y.astype(">i8"))
    for i, (what, array, shape, more, wanted) in enumerate(forms):
        np.save(root / f"x{i}.npy", array)
        np.save(root / f"z{i}.npy", array)
        np.save(root / "w.npy", y.astype("<i2"))
        made = manifest(root / f"n{i}.yaml", shape, 9, "npy", f"train: {{ images: x{i}.npy, labels: y.npy }}, test: {{ images: z{i}.npy, labels: w.npy }}", more)
        cases.show(f"npy: {what}", made, [(wanted, y), (wanted, y)])
    made = manifest(root / "none.yaml", [1, 14, 14], 9, "npy", "train: { images: x4.npy, labels: y.npy }, test: { images: z4.npy, labels: w.npy }")
    cases.show("npy: floats without a scale", made, refused=["x4.npy", "scale"])
    script = put(root / "load.rhai", """
        print(`${load_npy("x0.npy").shape} ${load_npy("x2.npy").dtype} ${load_npy("x4.npy").dtype}`);
        let all = load_npz("medmnist_packed.npz");
        print(`${all.keys().len()} ${all.train_labels.shape} ${load_idx("a-idx3-ubyte.gz").shape}`);
    """)
    idx(root / "a-idx3-ubyte", grey, True)
    cases.say("load_npy, load_npz, load_idx", ["run", script], ["[36, 14, 14, 3] u32 f16", "6 [36, 1] [36, 14, 14]"])
    cases.say("import: says what an npz is", ["data", "import", root], ["medmnist.npz: arrays", "classes: 9", "x0.npy"])


def tables(cases):
    root = cases.root / "tables"
    root.mkdir()
    x, y = images(60, 64), labels(60, 10)
    frame = pd.DataFrame(x, columns=[f"pixel{i}" for i in range(64)])
    wanted = [(unit(x), y), (unit(x), y)]
    for what, place, header, more in [("label first", 0, True, ""), ("label last", 64, True, ""), ("label in the middle", 20, True, ""),
                                      ("no header, first", 0, False, "label: first\n"), ("no header, last", 64, False, ""),
                                      ("header, `label: digit`", 3, True, "label: digit\n")]:
        table = frame.copy()
        table.insert(place, "digit" if "digit" in what else "label", y)
        name = what.replace(" ", "_").replace("`", "").replace(":", "").replace(",", "")
        table.to_csv(root / f"{name}.csv", index=False, header=header)
        table.to_csv(root / f"{name}_t.csv.gz", index=False, header=header)
        made = manifest(root / f"{name}.yaml", [1, 8, 8], 10, "csv", f"train: {{ file: {name}.csv }}, test: {{ file: {name}_t.csv }}", more)
        cases.show(f"CSV of pandas: {what}", made, wanted)
    one = frame.copy()
    one.insert(0, "label", y)
    one.to_csv(root / "one.csv", index=False)
    cases.show("CSV: Kaggle's training file alone", manifest(root / "one.yaml", [1, 8, 8], 10, "csv", "train: { file: one.csv }"))
    either = pd.DataFrame(RANDOM.integers(0, 2, (60, 65)))
    either[0] = ([0, 1] * 30); either[64] = ([1, 0] * 30)
    either.to_csv(root / "either.csv", index=False, header=False)
    made = manifest(root / "either.yaml", [1, 8, 8], 2, "csv", "train: { file: either.csv }", "scale: 1\n")
    cases.show("CSV: both ends could be labels", made, refused=["label: first", "label: last"])


def picture(array, form="PNG", **options):
    from io import BytesIO
    out = BytesIO()
    Image.fromarray(array).save(out, form, **options)
    return out.getvalue()


def parquet(cases):
    root = cases.root / "parquet"
    root.mkdir()
    x, y = images(40, 8, 8, 3), labels(40, 3)
    files, names = [picture(i) for i in x], np.array(["cat", "dog", "ant"])[y]
    order = np.array([{"ant": 0, "cat": 1, "dog": 2}[n] for n in names])
    binary, texts = pa.array(files, pa.binary()), pa.array(names)
    struct_ = pa.array([{"bytes": f, "path": None} for f in files])
    kinds = {"none": y, "snappy": y, "gzip": y, "brotli": y, "lz4": y, "zstd": y}
    cases_ = [(f"compressed by {c}", struct_, pa.array(y), c, y) for c in kinds]
    cases_ += [("plain binary", binary, pa.array(y.astype("i4")), "snappy", y), ("large binary", pa.array(files, pa.large_binary()), pa.array(y), "gzip", y),
               ("labels that are texts", binary, texts, "snappy", order), ("labels of a dictionary", binary, texts.dictionary_encode(), "zstd", order),
               ("labels of pandas' categories", binary, pa.array(pd.Categorical(names)), "brotli", order), ("large texts", binary, pa.array(names, pa.large_string()), "lz4", order)]
    for i, (what, pictures, label, codec, wanted) in enumerate(cases_):
        table = pa.table({"image": pictures, "label": label})
        for part in ["a", "b"]:
            pq.write_table(table, root / f"{part}{i}.parquet", compression=codec, row_group_size=16)
        made = manifest(root / f"p{i}.yaml", [3, 8, 8], 3, "parquet", f"train: {{ files: [a{i}.parquet] }}, test: {{ files: [b{i}.parquet] }}", "columns: { image: image, label: label }\n")
        cases.show(f"Parquet: {what}", made, [(unit(x), wanted), (unit(x), wanted)])
    for what, table in [("a null label", {"image": binary, "label": pa.array([None, *y[1:].tolist()])}), ("a null picture", {"image": pa.array([None, *files[1:]], pa.binary()), "label": pa.array(y)})]:
        pq.write_table(pa.table(table), root / "null.parquet")
        made = manifest(root / "null.yaml", [3, 8, 8], 3, "parquet", "train: { files: [null.parquet] }", "columns: { image: image, label: label }\n")
        cases.show(f"Parquet: {what}", made, refused=["null.parquet", "row 0", "is null"])


def pictures(cases):
    root = cases.root / "pictures"
    x, y = images(12, 10, 12, 3), labels(12, 2)
    soft = np.stack([np.full((10, 12, 3), 20 * i, "u1") for i in range(12)])

    def folder(name, write, end="png", uses=("train", "test")):
        for use in uses:
            for i, label in enumerate(y):
                path = root / name / use / ["cat", "dog"][label] / f"{i // 2}.{end}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(write(i))
        return f"{root / name}/"

    deep = np.arange(12 * 120).reshape(12, 10, 12).astype("u2") * 45
    alpha = np.concatenate([x, images(12, 10, 12, 1)], -1)
    over = np.rint((alpha[..., :3].astype("f8") * alpha[..., 3:] + 255.0 * (255 - alpha[..., 3:])) / 255)
    cases.show("PNG", folder("png", lambda i: picture(x[i])), [(unit(x), y)] * 2)
    cases.show("BMP", folder("bmp", lambda i: picture(x[i], "BMP"), "bmp"), [(unit(x), y)] * 2)
    cases.show("WebP, lossless", folder("webp", lambda i: picture(x[i], "WEBP", lossless=True), "webp"), [(unit(x), y)] * 2)
    place = folder("g16", lambda i: picture(deep[i]))
    cases.show("PNG of 16 bits", place, refused=["L16", "depth: 8"])
    cases.show("PNG of 16 bits, depth: 8", place, [(unit(np.rint(deep / 257)), y)] * 2, options='{"depth": 8}')
    place = folder("rgba", lambda i: picture(alpha[i]))
    cases.show("RGBA", place, refused=["Rgba8", "background"])
    cases.show("RGBA over white", place, [(unit(over), y)] * 2, options='{"background": 255}')
    place = folder("la", lambda i: picture(np.stack([x[i, ..., 0], alpha[i, ..., 3]], -1)))
    cases.show("LA over white", place, [(unit(over[..., 0]), y)] * 2, options='{"background": 255}')
    cases.show("LA over white, in colour", place, options='{"background": 255, "channels": 3}')
    place = folder("mixed", lambda i: picture(x[i] if i % 3 else x[i, ..., 0]))
    cases.show("grey and colour", place, refused=["channels"])
    cases.show("grey and colour, channels: 3", place, options='{"channels": 3}')
    cases.show("grey and colour, channels: 1", place, options='{"channels": 1}')
    place = folder("sizes", lambda i: picture(np.resize(soft[i], (8 + i, 20 - i, 3)) * 0 + soft[i, 0, 0, 0]))
    cases.show("sizes that differ", place, refused=["size"])
    for fit in ["crop", "stretch"]:
        cases.show(f"sizes that differ, fit: {fit}", place, [(unit(soft[:, :6, :6]), y)] * 2, options=f'{{"size": 6, "fit": "{fit}"}}')
    cases.show("sizes that differ, fit: pad", place, options='{"size": [6, 7], "fit": "pad"}')
    cases.show("train, val, TEST", folder("uses", lambda i: picture(x[i]), uses=("Train", "VAL", "TEST")), [(unit(x), y)] * 3)
    cases.show("test alone", folder("alone", lambda i: picture(x[i]), uses=("test",)), [None, (unit(x), y)])

    def turned(i):
        exif = Image.Exif()
        exif[0x0112] = 6
        return picture(np.full((10, 12, 3), 20 * i, "u1"), "JPEG", quality=100, exif=exif)

    place = folder("exif", turned, "jpg")
    cases.show("JPEG with EXIF rotation, as stored", place)
    cases.show("JPEG with EXIF rotation, exif: true", place, options='{"exif": true}')
    cases.say("import: says what pictures are", ["data", "import", root / "uses"], ["pictures in folders", "TEST (2 classes)"])


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", default=str(HERE / "target/release/workbench"))
    arguments.add_argument("--keep", help="write the files into this folder, and leave them there")
    given = arguments.parse_args()
    root = pathlib.Path(given.keep or tempfile.mkdtemp()).resolve()
    root.mkdir(parents=True, exist_ok=True)
    cases = Cases(str(pathlib.Path(given.program).resolve()), root)
    try:
        for part in [torchvision, cifar, arrays, tables, parquet, pictures]:
            part(cases)
        return cases.table() > 0
    finally:
        if not given.keep:
            shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main())
