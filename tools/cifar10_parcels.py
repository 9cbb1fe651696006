#!/usr/bin/env python3
"""CIFAR-10 in parcels, for machines that take so many MiB at a time: half the size of its .gz, unpacked in seconds.

    python3 tools/cifar10_parcels.py pack DATA/cifar10 FOLDER --mib 40        parcels of at most 40 MiB each
    python3 tools/cifar10_parcels.py unpack FOLDER DATA/cifar10               the .bin files, checked by their digests

A pixel is predicted from its neighbours left, above and above left by the median of left, above and left + above - above left (the
median edge detector of JPEG-LS); green comes first, red and blue are predicted as differences to it. What prediction leaves goes
through xz, image by image, each channel a stream of its own. Needs numpy.

    python3 tools/cifar10_parcels.py pack DATA/cifar10 FOLDER --mib 26,46,14 --test-images 16   for training alone, in three calls"""
import argparse, concurrent.futures, gzip, hashlib, json, lzma, pathlib, sys, time

import numpy as np

FILES = [f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]
RECORD, SIDE, PIECE = 3073, 32, 2500
# What prediction leaves repeats nowhere; how large it is next door says most about a byte.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 20, "lc": 4, "lp": 0, "pb": 0}]


def predicted(plane, row):
    """What row `row` of the planes [N, 32, 32] is predicted to be, one column after the other by whoever calls: a generator."""
    above = plane[:, row - 1].astype(np.int16) if row else None
    for column in range(SIDE):
        left = plane[:, row, column - 1].astype(np.int16) if column else None
        if above is None:
            yield left if left is not None else np.zeros(len(plane), np.int16)
        elif left is None:
            yield above[:, 0]
        else:
            up, corner = above[:, column], above[:, column - 1]
            low, high = np.minimum(left, up), np.maximum(left, up)
            yield np.clip(left + up - corner, low, high)


def rest(plane):
    """What prediction leaves of planes [N, 32, 32] of bytes, modulo 256."""
    found = np.empty_like(plane)
    for row in range(SIDE):
        for column, guess in enumerate(predicted(plane, row)):
            found[:, row, column] = plane[:, row, column] - guess.astype(np.uint8)
    return found


def whole(left):
    """The planes again: the inverse of `rest`."""
    plane = np.empty_like(left)
    for row in range(SIDE):
        for column, guess in enumerate(predicted(plane, row)):
            plane[:, row, column] = left[:, row, column] + guess.astype(np.uint8)
    return plane


def folded(left):
    """Differences modulo 256 by size: 0, -1, 1, -2, 2 ... as 0, 1, 2, 3, 4 ..."""
    return (left << 1) ^ -(left >> 7)


def unfolded(left):
    return (left >> 1) ^ -(left & 1)


def packed(records):
    """Records [N, 3073] of the binary form as bytes."""
    labels, pixels = records[:, 0], records[:, 1:].reshape(-1, 3, SIDE, SIDE)
    red, green, blue = (np.ascontiguousarray(pixels[:, k]) for k in range(3))
    streams = [labels.tobytes()] + [folded(rest(plane)).tobytes() for plane in (green, red - green, blue - green)]
    streams = [lzma.compress(stream, lzma.FORMAT_XZ, filters=FILTERS) for stream in streams]
    head = json.dumps([len(records), *map(len, streams)]).encode()
    return len(head).to_bytes(2, "little") + head + b"".join(streams)


def unpacked(data):
    size = int.from_bytes(data[:2], "little")
    count, *lengths = json.loads(data[2 : 2 + size])
    at, streams = 2 + size, []
    for length in lengths:
        streams.append(lzma.decompress(data[at : at + length]))
        at += length
    green, red, blue = (whole(unfolded(np.frombuffer(s, np.uint8).reshape(count, SIDE, SIDE))) for s in streams[1:])
    records = np.empty((count, RECORD), np.uint8)
    records[:, 0] = np.frombuffer(streams[0], np.uint8)
    records[:, 1:] = np.stack([red + green, green, blue + green], 1).reshape(count, -1)
    return records


def read(folder, name):
    """A file of the binary form, as it is or under gzip, in the folder or in that of the archive."""
    for path in (folder / name, folder / "cifar-10-batches-bin" / name):
        if path.exists():
            return path.read_bytes()
        if path.with_name(name + ".gz").exists():
            return gzip.decompress(path.with_name(name + ".gz").read_bytes())
    raise SystemExit(f"cifar10_parcels: {folder} has no {name}, nor {name}.gz")


def pack(data, into, mib, test_images):
    into.mkdir(parents=True, exist_ok=True)
    work, files = [], {}
    for name in FILES:
        raw = read(data, name)
        if len(raw) % RECORD:
            raise SystemExit(f"cifar10_parcels: {name} has {len(raw)} bytes, no multiple of {RECORD}: it is cut off")
        if name.startswith("test"):
            raw = raw[: test_images * RECORD]
        files[name] = hashlib.sha256(raw).hexdigest()
        records = np.frombuffer(raw, np.uint8).reshape(-1, RECORD)
        work += [(name, at, records[at : at + PIECE]) for at in range(0, len(records), PIECE)]
    with concurrent.futures.ProcessPoolExecutor() as pool:
        pieces = list(pool.map(packed, (records for _, _, records in work)))
    limit = lambda number: mib[min(number, len(mib)) - 1] << 20
    if max(map(len, pieces)) + 4096 > min(mib) << 20:
        raise SystemExit(f"cifar10_parcels: {min(mib)} MiB hold no piece of {PIECE} images, which takes {max(map(len, pieces)) / 2**20:.1f}")
    for old in into.glob("parcel-*"):
        old.unlink()
    parcels, at = [[]], 0
    for (name, first, records), piece in zip(work, pieces):
        if sum(len(p) for _, p in parcels[-1]) + len(piece) + 4096 > limit(len(parcels)):
            parcels.append([])
        parcels[-1].append(({"file": name, "first": first, "images": len(records), "bytes": len(piece)}, piece))
    for number, parcel in enumerate(parcels, 1):
        body = b"".join(piece for _, piece in parcel)
        own = hashlib.sha256(body).hexdigest()
        head = json.dumps({"number": number, "of": len(parcels), "sha256": own, "files": files, "pieces": [note for note, _ in parcel]}).encode()
        path = into / f"parcel-{number}-of-{len(parcels)}"
        path.write_bytes(len(head).to_bytes(4, "little") + head + body)
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB, {sum(note['images'] for note, _ in parcel)} images")


def unpack(folder, into):
    began, paths = time.monotonic(), sorted(folder.glob("parcel-*-of-*"))
    if not paths:
        raise SystemExit(f"cifar10_parcels: {folder} has no parcels")
    work, digests, numbers, of = [], None, set(), 0
    for path in paths:
        data = path.read_bytes()
        at = 4 + int.from_bytes(data[:4], "little")
        try:
            head = json.loads(data[4:at])
            digest = head["sha256"]
        except (ValueError, KeyError, TypeError):
            raise SystemExit(f"cifar10_parcels: {path} is no parcel") from None
        if hashlib.sha256(data[at:]).hexdigest() != digest:
            raise SystemExit(f"cifar10_parcels: {path} is cut off or damaged; bring it again")
        if digests not in (None, head["files"]):
            raise SystemExit(f"cifar10_parcels: {path} is of another data set than {paths[0]}; empty the folder and bring the parcels again")
        digests, of = head["files"], head["of"]
        numbers.add(head["number"])
        for note in head["pieces"]:
            work.append((note, data[at : at + note["bytes"]]))
            at += note["bytes"]
    missing = sorted(set(range(1, of + 1)) - numbers)
    if missing:
        raise SystemExit(f"cifar10_parcels: parcel {', '.join(map(str, missing))} of {of} is missing in {folder}")
    with concurrent.futures.ProcessPoolExecutor() as pool:
        found = list(pool.map(unpacked, (piece for _, piece in work)))
    into = into / "cifar-10-batches-bin"
    into.mkdir(parents=True, exist_ok=True)
    for name, digest in digests.items():
        own = sorted((note["first"], k) for k, (note, _) in enumerate(work) if note["file"] == name)
        raw = b"".join(found[k].tobytes() for _, k in own)
        if hashlib.sha256(raw).hexdigest() != digest:
            raise SystemExit(f"cifar10_parcels: {name} is not what was packed: the parcels are of two packings; bring all of one")
        partial = into / (name + ".partial")
        partial.write_bytes(raw)
        partial.replace(into / name)
    (into / "batches.meta.txt").write_text("airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n")
    print(f"{into}: {sum(note['images'] for note, _ in work)} images, as packed by their SHA-256, in {time.monotonic() - began:.1f} s")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["pack", "unpack"])
    p.add_argument("source", type=pathlib.Path)
    p.add_argument("into", type=pathlib.Path)
    p.add_argument("--mib", type=lambda text: [int(n) for n in text.split(",")], default=[40], help="the largest parcel; several: the first, the second ...")
    p.add_argument("--test-images", type=int, default=10000, help="only the first so many test images")
    a = p.parse_args()
    pack(a.source, a.into, a.mib, a.test_images) if a.what == "pack" else unpack(a.source, a.into)


if __name__ == "__main__":
    main()
