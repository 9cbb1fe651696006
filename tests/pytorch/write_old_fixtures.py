"""Writes weights as versions of PyTorch before 1.6 did, by the rules of those versions, with Python's pickle and tarfile alone:

    old_views.pth     0.4: texts of Python 2, `_rebuild_tensor`, two tensors that are parts of one storage
    oldest.pth        0.1.9: a tar archive, one tensor with swapped strides, one a part of another's storage

`python write_old_fixtures.py`; the weights are k/8 for k = 0, 1, 2, ... in the order of the state_dict."""
import collections, io, pickle, struct, sys, tarfile, types

torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
sys.modules.update({"torch": torch, "torch._utils": utils})
for name in ("FloatStorage", "DoubleStorage", "FloatTensor"):
    setattr(torch, name, type(name, (), {"__module__": "torch"}))


def _rebuild_tensor(*arguments):
    raise NotImplementedError


_rebuild_tensor.__module__ = "torch._utils"
utils._rebuild_tensor = _rebuild_tensor


class Kept:
    """What a pickle refers to by an identification of its own."""

    def __init__(self, identification):
        self.identification = identification


class Tensor:
    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        return utils._rebuild_tensor, self.arguments


class Pickler(pickle._Pickler):
    """Texts in bytes, as Python 2 wrote them; the memo stays out of the way."""

    dispatch = dict(pickle._Pickler.dispatch)

    def persistent_id(self, value):
        return value.identification if isinstance(value, Kept) else None

    def save_text(self, text):
        data = text.encode()
        self.write(b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data)

    dispatch[str] = save_text


def pickled(value):
    out = io.BytesIO()
    Pickler(out, protocol=2).dump(value)
    return out.getvalue()


def floats(numbers, kind="f"):
    return struct.pack("<q", len(numbers)) + struct.pack(f"<{len(numbers)}{kind}", *numbers)


def old_views():
    # 0.weight [3, 2] and 0.bias [3] are parts of storage 11 (9 numbers); 2.weight [2, 3] in f64, transposed.
    one, other = [k / 8 for k in range(9)], [k / 8 for k in (9, 12, 10, 13, 11, 14)]
    part = lambda key, offset, length: Kept(("storage", torch.FloatStorage, "11", "cpu", 9, (key, offset, length)))
    whole = Kept(("storage", torch.DoubleStorage, "12", "cuda:0", 6, None))
    weights = collections.OrderedDict()
    weights["0.weight"] = Tensor(part("13", 0, 6), 0, (3, 2), (2, 1))
    weights["0.bias"] = Tensor(part("14", 6, 3), 0, (3,), (1,))
    weights["2.weight"] = Tensor(whole, 0, (2, 3), (1, 2))
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with open("old_views.pth", "wb") as out:
        for value in (119547037146038801333356, 1001, system):
            out.write(pickle.dumps(value, 2))
        out.write(pickled({"epoch": 3, "state_dict": weights}) + pickled(["11", "12"]) + floats(one) + floats(other, "d"))


def oldest():
    storages = pickled(2) + pickled((101, "cpu", torch.FloatStorage)) + floats([k / 8 for k in (0, 2, 4, 1, 3, 5)])
    storages += pickled((102, "cpu", torch.FloatStorage)) + floats([0.0] + [k / 8 for k in range(6, 15)]) + pickled([(103, 102, 1, 9)])
    describe = lambda key, storage, dims, strides, offset: pickled((key, storage, torch.FloatTensor)) + struct.pack("<q", len(dims)) + struct.pack(
        f"<{2 * len(dims) + 1}q", *dims, *strides, offset)
    tensors = pickled(3) + describe(201, 101, (3, 2), (1, 3), 0) + describe(202, 103, (3,), (1,), 0) + describe(203, 103, (2, 3), (3, 1), 3)
    weights = collections.OrderedDict(((name, Kept(key)) for name, key in (("0.weight", 201), ("0.bias", "202"), ("2.weight", 203))))
    with tarfile.open("oldest.pth", "w", format=tarfile.PAX_FORMAT) as out:
        for name, data in (("storages", storages), ("tensors", tensors), ("pickle", pickled(weights))):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))


old_views()
oldest()
