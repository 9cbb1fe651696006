#!/usr/bin/env python3
"""A convolution of a power iteration with what follows it, y = mask * (W u) and the sum of y^2 of each image, as one plan of cuDNN,
beside the three of today: time, and whether two runs give the same bits.

    python3 benches/gpu_fused.py                 two layers of 6C2F, batch 256, TF32 and fp16; needs torch on a GPU
    python3 benches/gpu_fused.py --describe      only describes the operations to cuDNN, which needs no GPU

The plan is described by cuDNN's backend descriptors, as src/compute/conv/cuda/graph.rs does it. Where no engine takes the whole, the
same without its sum is tried. Stage `fused` of tools/gpu_check.sh."""
import argparse, ctypes, glob, os

# Kinds of descriptors, their attributes, types of attributes and values, by the numbers that cuDNN gives them.
POINTWISE, CONVOLUTION, CONFIGURATION, HEURISTIC, PLAN, FORWARD, POINTWISE_OP, GRAPH, PACK, TENSOR, REDUCTION, REDUCTION_OP = 0, 1, 3, 4, 5, 10, 13, 15, 16, 17, 21, 22
HANDLE_T, DATA_T, BOOL_T, INT_T, FLOAT_T, VOID_T, CONV_T, HEUR_T, POINTWISE_T, DESC_T, REDUCE_T = 0, 1, 2, 3, 4, 6, 7, 8, 14, 15, 18
FLOAT, HALF, MUL, ADD = 0, 2, 1, 0
LAYERS = [("6C2F layer 2", 32, 32, 32), ("6C2F layer 5", 64, 64, 16)]  # channels in, out, side; kernel 3, stride 1, padding 1


class Cudnn:
    def __init__(self):
        paths = os.environ.get("CUDA_LIBRARIES", "").split(":")
        try:
            import nvidia
            paths += [f"{list(nvidia.__path__)[0]}/cudnn/lib"]
        except ImportError:
            pass
        found = [path for folder in paths for path in glob.glob(f"{folder}/libcudnn.so.9")]
        self.library = ctypes.CDLL(found[0] if found else "libcudnn.so.9")
        self.library.cudnnGetErrorString.restype = ctypes.c_char_p
        self.kept = []

    def ok(self, call, status):
        if status:
            raise RuntimeError(f"cuDNN: {call}: {self.library.cudnnGetErrorString(status).decode()}")

    def make(self, kind, *attributes, seal=True):
        """A descriptor with attributes (name, type, values)."""
        raw = ctypes.c_void_p()
        self.ok(f"create {kind}", self.library.cudnnBackendCreateDescriptor(kind, ctypes.byref(raw)))
        for name, type_, values in attributes:
            c = {INT_T: ctypes.c_int64, FLOAT_T: ctypes.c_float, BOOL_T: ctypes.c_bool, HANDLE_T: ctypes.c_void_p, VOID_T: ctypes.c_void_p, DESC_T: ctypes.c_void_p}.get(type_, ctypes.c_int)
            array = (c * len(values))(*[getattr(value, "value", value) for value in values])
            self.kept.append(array)
            self.ok(f"attribute {name} of {kind}", self.library.cudnnBackendSetAttribute(raw, name, type_, ctypes.c_int64(len(values)), array))
        if seal:
            self.ok(f"descriptor {kind}", self.library.cudnnBackendFinalize(raw))
        return raw

    def tensor(self, name, sizes, type_, virtual=False):
        n, c, h, w = sizes
        return self.make(TENSOR, (901, DATA_T, [type_]), (902, INT_T, sizes), (903, INT_T, [h * w * c, 1, w * c, c]), (906, INT_T, [name]), (900, INT_T, [16]), (907, BOOL_T, [virtual]))

    def operations(self, batch, channels, out, side, type_, with_sum):
        """mask * conv(u), its square and the sum of that; tensors by name 1 u, 2 W, 3 mask, 4 y, 5 sums."""
        whole = [batch, out, side, side]
        u, w, mask = self.tensor(1, [batch, channels, side, side], type_), self.tensor(2, [out, channels, 3, 3], type_), self.tensor(3, whole, type_)
        y, bare = self.tensor(4, whole, type_), self.tensor(10, whole, FLOAT, True)
        window = self.make(CONVOLUTION, (106, INT_T, [2]), (100, DATA_T, [FLOAT]), (101, CONV_T, [1]), (105, INT_T, [1, 1]), (104, INT_T, [1, 1]), (102, INT_T, [1, 1]), (103, INT_T, [1, 1]))
        times = self.make(POINTWISE, (0, POINTWISE_T, [MUL]), (1, DATA_T, [FLOAT]))
        product = lambda x, b, to: self.make(POINTWISE_OP, (750, DESC_T, [times]), (751, DESC_T, [x]), (752, DESC_T, [b]), (753, DESC_T, [to]))
        found = [self.make(FORWARD, (702, DESC_T, [window]), (704, DESC_T, [u]), (703, DESC_T, [w]), (705, DESC_T, [bare]), (700, FLOAT_T, [1.0]), (701, FLOAT_T, [0.0])), product(bare, mask, y)]
        if with_sum:
            square = self.tensor(11, whole, FLOAT, True)
            sums = self.tensor(5, [batch, 1, 1, 1], FLOAT)
            added = self.make(REDUCTION, (1600, REDUCE_T, [ADD]), (1601, DATA_T, [FLOAT]))
            found += [product(y, y, square), self.make(REDUCTION_OP, (1612, DESC_T, [added]), (1610, DESC_T, [square]), (1611, DESC_T, [sums]))]
        return found

    def plan(self, handle, operations):
        """The first engine's plan that can be made, and its workspace; how many engines were named."""
        graph = self.make(GRAPH, (800, HANDLE_T, [handle]), (801, DESC_T, operations))
        named = 0
        for mode in (3, 2):
            try:
                heuristic = self.make(HEURISTIC, (201, DESC_T, [graph]), (200, HEUR_T, [mode]))
                room = [self.make(CONFIGURATION, seal=False) for _ in range(16)]
                array, count = (ctypes.c_void_p * 16)(*[r.value for r in room]), ctypes.c_int64()
                self.ok("heuristic", self.library.cudnnBackendGetAttribute(heuristic, 202, DESC_T, ctypes.c_int64(16), ctypes.byref(count), array))
            except RuntimeError:
                continue
            named += count.value
            for engine in room[: count.value]:
                try:
                    plan = self.make(PLAN, (400, HANDLE_T, [handle]), (401, DESC_T, [engine]))
                except RuntimeError:
                    continue
                size = ctypes.c_int64()
                self.ok("workspace", self.library.cudnnBackendGetAttribute(plan, 402, INT_T, ctypes.c_int64(1), ctypes.byref(ctypes.c_int64()), ctypes.byref(size)))
                return plan, size.value, named
        raise RuntimeError(f"no engine takes it, of {named} that are named")


def measure(cudnn, torch, name, batch, channels, out, side, half):
    F = torch.nn.functional
    type_, dtype = (HALF, torch.float16) if half else (FLOAT, torch.float32)
    draw = lambda *shape: torch.randn(*shape, device="cuda").to(dtype).contiguous(memory_format=torch.channels_last)
    u, w, mask = draw(batch, channels, side, side), draw(out, channels, 3, 3), (draw(batch, out, side, side) > 0).to(dtype).contiguous(memory_format=torch.channels_last)
    y, sums = torch.empty_like(mask), torch.empty(batch, device="cuda")

    def today():
        found = F.conv2d(u, w, None, 1, 1).mul_(mask)
        return found, found.float().square().flatten(1).sum(1)

    def timed(work, runs=50):
        for _ in range(5): work()
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(runs): work()
        end.record(); torch.cuda.synchronize()
        return begin.elapsed_time(end) / runs * 1e3

    handle = ctypes.c_void_p()
    cudnn.ok("create", cudnn.library.cudnnCreate(ctypes.byref(handle)))
    cudnn.ok("stream", cudnn.library.cudnnSetStream(handle, ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)))
    line = f"{name} {'fp16' if half else 'TF32'} batch {batch}: convolution alone {timed(lambda: F.conv2d(u, w, None, 1, 1)):.1f} us, three in turn {timed(today):.1f} us"
    for with_sum in (True, False):
        try:
            plan, size, named = cudnn.plan(handle, cudnn.operations(batch, channels, out, side, type_, with_sum))
            room = torch.empty(max(size, 1), dtype=torch.uint8, device="cuda")
            places = [(1, u), (2, w), (3, mask), (4, y)] + ([(5, sums)] if with_sum else [])
            pack = cudnn.make(PACK, (1000, INT_T, [n for n, _ in places]), (1001, VOID_T, [t.data_ptr() for _, t in places]), (1003, VOID_T, [room.data_ptr()]))
            run = lambda: cudnn.ok("run", cudnn.library.cudnnBackendExecute(handle, plan, pack))
            run(); torch.cuda.synchronize()
            first, own = (y.clone(), sums.clone()), today()
            same = True
            for _ in range(20):
                run(); torch.cuda.synchronize()
                same &= bool((y == first[0]).all()) and (not with_sum or bool((sums == first[1]).all()))
            off = ((y - own[0]).norm() / own[0].norm()).item()
            off_sum = ((sums - own[1]).norm() / own[1].norm()).item() if with_sum else 0.0
            line += f"; one plan{'' if with_sum else ' without the sum'} {timed(run):.1f} us, off by {off:.1e} and {off_sum:.1e}, {'the same' if same else 'OTHER'} bits in 20 runs, {named} engines named"
            break
        except RuntimeError as error:
            line += f"; one plan{'' if with_sum else ' without the sum'}: {error}"
    print(line, flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--describe", action="store_true")
    a = p.parse_args()
    cudnn = Cudnn()
    if a.describe:
        for name, channels, out, side in LAYERS:
            print(f"{name}: {len(cudnn.operations(a.batch, channels, out, side, FLOAT, True))} operations described")
        return
    import torch
    torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    print(torch.cuda.get_device_name(), "cuDNN", cudnn.library.cudnnGetVersion())
    for name, channels, out, side in LAYERS:
        for half in (False, True):
            measure(cudnn, torch, name, a.batch, channels, out, side, half)


if __name__ == "__main__":
    main()
