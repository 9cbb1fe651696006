"""Writes the files of this folder: small ONNX graphs, and what onnxruntime makes of one input (expected.json), or what is to be said of
those that are refused. `python write_fixtures.py` wants onnx, onnxruntime and numpy."""
import json

import numpy as np, onnx, onnxruntime
from onnx import TensorProto as T, helper as h, numpy_helper as n

WEIGHT = np.array([[1, -1, 0.5, 2], [0.25, 1, -2, 0.5]], np.float32)
X = np.array([[1, 2, -1, 0.5], [-3, 0.25, 2, 1]], np.float32)
expected = {}


def write(name, nodes, constants, said=None, shape=("n", 4), x=X, kind=T.FLOAT, output="y", **more):
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", kind, shape)], [h.make_tensor_value_info(output, kind, None)],
                         [n.from_array(np.asarray(value), key) for key, value in constants.items()], **more)
    opsets = [h.make_opsetid("", 17), h.make_opsetid("custom", 1)]
    model = h.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, name + ".onnx")
    if said is not None:
        expected[name] = said
        return
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected[name] = {"x": x.flatten().tolist(), "shape": list(x.shape), "y": session.run(None, {"x": x})[0].flatten().tolist()}


f = lambda *values: np.array(values, np.float32)
node = h.make_node
gemm = node("Gemm", ["x", "w", "b"], ["y"], transB=1)
# What is there and not understood is not what is left out.
write("bias_computed", [node("Mul", ["b", "two"], ["bb"]), node("Gemm", ["x", "w", "bb"], ["y"], transB=1)], {"w": WEIGHT, "b": f(5, 5), "two": f(2)}, "is no constant")
write("bound_computed", [node("Mul", ["one", "one"], ["hi"]), node("Clip", ["x", "zero", "hi"], ["y"])], {"zero": np.float32(0), "one": np.float32(1)}, "is no constant")
write("value_as_bias", [node("Gemm", ["a", "w", "x"], ["y"])], {"a": f(1, 0.5, 2, 1).reshape(1, 4), "w": np.eye(4, dtype=np.float32)}, "is its input 2, not its first")
sparse = h.make_sparse_tensor(h.make_tensor("b", T.FLOAT, [1], [5.0]), h.make_tensor("i", T.INT64, [1], [1]), [2])
write("bias_sparse", [gemm], {"w": WEIGHT}, "sparse constants", sparse_initializer=[sparse])
write("cast_to_whole", [node("Cast", ["x"], ["i"], to=T.INT64), node("Cast", ["i"], ["c"], to=T.FLOAT), node("Gemm", ["c", "w"], ["y"], transB=1)], {"w": WEIGHT}, "which round")
write("cast_to_float", [node("Cast", ["x"], ["c"], to=T.FLOAT), node("Gemm", ["c", "w"], ["y"], transB=1)], {"w": WEIGHT})
write("least_of_three", [node("Relu", ["x"], ["r"]), node("Min", ["r", "c", "d"], ["y"])], {"c": f(2), "d": f(1)}, "no layer here is such an operator")
write("least_below_zero", [node("Relu", ["x"], ["r"]), node("Min", ["r", "c"], ["y"])], {"c": f(-3)}, "at least 0")
write("least_of_two", [node("Relu", ["x"], ["r"]), node("Min", ["c", "r"], ["y"])], {"c": f(1, 0.5, 0, 2)})
write("of_a_set_of_its_own", [node("Relu", ["x"], ["y"], domain="custom")], {}, "not one of ONNX's own")
write("norm_in_training", [node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y", "m2", "v2"], training_mode=1)], {k: f(1, 1, 1, 1) for k in "sbmv"}, "in training")
write("dropout_in_training", [node("Dropout", ["x", "r", "t"], ["y"])], {"r": np.float32(0.5), "t": np.bool_(True)}, "in training")
write("batch_reshaped", [node("Reshape", ["x", "s"], ["y"])], {"s": np.array([2, -1])}, "not that of a vector", shape=("n", 4, 2), x=np.ones((2, 4, 2), np.float32))
write("clip_in_f64", [node("Clip", ["x", "zero", "hi"], ["y"])], {"zero": np.float64(0), "hi": np.float64(0.1)}, kind=T.DOUBLE, x=X.astype(np.float64))
# Skips in skips, and a value that is read in two branches.
inner = [node("Relu", ["x"], ["r"]), node("Gemm", ["r", "q"], ["g"], transB=1), node("Add", ["r", "g"], ["s"]), node("Add", ["x", "s"], ["y"])]
write("nested_skips", inner, {"q": np.arange(16, dtype=np.float32).reshape(4, 4) / 8})
crossed = [node("Gemm", ["x", "q"], ["a"], transB=1), node("Relu", ["a"], ["r"]), node("Add", ["x", "r"], ["s"]), node("Relu", ["s"], ["t"]), node("Add", ["t", "a"], ["y"])]
write("crossed_skips", crossed, {"q": np.arange(16, dtype=np.float32).reshape(4, 4) / 8 - 1})
write("scaled", [node("Sub", ["x", "m"], ["a"]), node("Div", ["a", "s"], ["b"]), node("Mul", ["b", "m"], ["c"]), node("Add", ["c", "s"], ["d"]), node("MatMul", ["d", "w"], ["e"]), node("Add", ["e", "o"], ["y"])],
      {"m": f(0.5, 1, -1, 2), "s": f(0.25, 0.5, 1, 2), "w": WEIGHT.T.copy(), "o": f(1, -1)})
write("huge", [node("Clip", ["x", "zero", "one"], ["y"])], {"zero": np.float32(0), "one": np.float32(1)}, "wanted are a batch and a fixed shape", shape=(1, 16777215, 16777215))
write("tanh", [node("Tanh", ["x"], ["y"])], {}, "operator `Tanh`")
json.dump(expected, open("expected.json", "w"), indent=1)
