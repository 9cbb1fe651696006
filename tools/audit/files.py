"""Safetensors by hand: networks out, with the metadata that describes their layers; tensors in and out."""

import json, struct
import numpy as np

NAMES = {"float32": "F32", "float64": "F64", "uint8": "U8", "uint32": "U32", "int64": "I64"}


def write_tensors(path, tensors, metadata=None):
    header, body, at = ({"__metadata__": metadata} if metadata else {}), [], 0
    for name, value in tensors.items():
        data = np.ascontiguousarray(value).tobytes()
        header[name] = {"dtype": NAMES[value.dtype.name], "shape": list(value.shape), "data_offsets": [at, at + len(data)]}
        body.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(body))


def read_tensors(path):
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    header, types = json.loads(data[8:8 + length]), {v: k for k, v in NAMES.items()}
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        a, b = entry["data_offsets"]
        found[name] = np.frombuffer(data[8 + length + a:8 + length + b], types[entry["dtype"]]).reshape(entry["shape"])
    return found


def write_net(path, net):
    about = json.dumps({"input": net.input, "layers": net.specs})
    write_tensors(path, net.params, {"workbench.network": about})


def rhai(value):
    """A value as a script writes it."""
    if value is None:
        return "()"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "#{ " + ", ".join(f"{key}: {rhai(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(rhai(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value)
    return repr(float(value)) if isinstance(value, (float, np.floating)) else str(int(value))
