#!/usr/bin/env python3
"""An adversarial audit of certificates: does what the program proves hold? In Python with numpy alone, none of the program's arithmetic.

Rounds of networks drawn anew, of every kind of layer and awkward in every way (`audit/draw.py`). The program bounds them; numpy knows
them as matrices, looks for suspects in float64, and judges those in exact arithmetic on whole numbers, so that no violation is rounding:

    norms       norm_bound by factor, squaring, fourier, lanczos, with random masks: lower <= norm <= upper, the norm by SVD; how much
                looser than asked is told
    boxes       every activation of points of the ball lies in box and ball of its layer, masked neurons are constant, local norms and
                the local Lipschitz bound hold
    distances   radius_of against exact distances: affine networks, one hidden layer with two or three inputs, deep ones with one input
    attacks     certified balls, margins, the cascade's rows: descent on the margin with restarts, and rays to the first other label

Kinds are rigorous, audit and probabilistic; where a probability of failure is stated and large, failures are counted against it.
The first violation ends the audit with exit code 1; its networks, script and answers are kept. `--self-test` falsifies answers and
wants every check to notice. Needs Python 3.9, numpy, and the built program:

    cargo build --release
    python3 tools/audit.py --program target/release/workbench --seconds 3600 --seed 1
    python3 tools/audit.py --seed 1 --only 17                            round 17 of that again
    python3 tools/audit.py --self-test
"""

import argparse, json, os, pathlib, shutil, subprocess, sys, tempfile, time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
import numpy as np

from audit import draw, files, spoil
from audit.checks import check
from audit.tally import Tally

HERE = pathlib.Path(__file__).resolve().parent
MODES = ["image", "vector", "affine", "shallow", "line"]


def norms_to_ask(rng, net, count):
    """Questions on the norms of a network's layers, and the masks for them."""
    asks, masks = [], {}
    for layer, at in zip(net.layers, net.places):
        if not hasattr(layer, "matrix"):
            continue
        m, n = layer.matrix.shape
        density = rng.choice([0, 0.1, 0.5, 0.9, 1], (2, count, 1))
        masks[at] = [(rng.random((count, size)) < d).astype(np.uint8) for d, size in zip(density, (n, m))]
        kind = layer.spec["kind"]
        methods = {"linear": ["factor", "squaring", "lanczos"], "conv2d": ["factor", "fourier", "lanczos"],
                   "avg_pool2d": ["factor", "fourier", "lanczos"], "normalize": ["factor", "squaring", "lanczos"]}[kind]
        for method in methods:
            options = {"method": method, "index": [int(v) for v in rng.integers(0, 10**6, count)], "turn": int(rng.integers(0, 100))}
            if method == "squaring":
                options["squarings"] = int(rng.integers(0, 13))
            else:
                options["tolerance"] = float(rng.choice([1e-1, 1e-3, 1e-6, 1e-9], p=[0.2, 0.4, 0.3, 0.1]))
            if method == "lanczos":
                options["failure"] = float(rng.choice([0.3, 0.01, 1e-9, 1e-15]))
                options["steps"] = int(rng.choice([3, 20, 400]))
            columns, rows = bool(rng.random() < 0.7), bool(rng.random() < 0.7)
            if not (columns or rows):
                options["index"] = options["index"][:1]
            plain = kind in ("linear", "conv2d") and options.get("tolerance", 0) >= 1e-6 and options.get("steps", 400) == 400
            asks.append({"number": len(asks), "layer": at, "columns": columns, "rows": rows, "options": options, "matrix": layer.matrix,
                         "mask": masks[at], "spec": layer.spec, "plain": plain})
    return asks, masks


def make_job(rng, number, mode, dtype, large):
    net, anchor = draw.random_net(rng, mode, dtype, large)
    x, y = draw.images(rng, net, anchor, 3)
    eps = draw.typical(x) * 10.0**rng.uniform(-7, 0.5, len(x)) * (rng.random(len(x)) < 0.95)
    if rng.random() < 0.1:
        eps *= 1e-9
    norms, masks = norms_to_ask(rng, net, 3)
    kind = str(rng.choice(["rigorous", "audit", "probabilistic"], p=[0.5, 0.25, 0.25]))
    options = {"masks": str(rng.choice(["all", "linear", "none"], p=[0.8, 0.1, 0.1]))}
    if kind != "audit":
        options["global"] = str(rng.choice(["factor", "fourier"], p=[0.7, 0.3]))
        options["limit"] = float(rng.choice([3e12, 1e4], p=[0.85, 0.15]))
        options["tolerance"] = float(rng.choice([1e-1, 1e-3, 1e-6], p=[0.2, 0.6, 0.2]))
    cost = sum(layer.matrix.size for layer in net.layers if hasattr(layer, "matrix"))
    return {"number": number, "net": net, "x": x, "y": y, "eps": eps, "norms": norms, "masks": masks, "kind": kind, "options": options,
            "lanczos": kind == "probabilistic" and bool(rng.random() < 0.7), "tolerance": 1e-3, "share": float(rng.choice([0.5, 0.99, 1.0])),
            "quick": int(rng.choice([0, 60])), "radii": bool(rng.random() < 0.2), "cost": cost}


def ask_program(program, folder, jobs, dtype, seed):
    """Networks, images, masks and questions into the folder; the program's answers, and what it refused."""
    given, asked = {}, []
    for job in jobs:
        k, net = job["number"], job["net"]
        files.write_net(folder / f"net{k}.safetensors", net)
        given[f"{k}.x"] = job["x"].reshape([-1] + net.input)
        given[f"{k}.y"], given[f"{k}.eps"] = job["y"].astype(np.uint32), job["eps"]
        for at, (columns, rows) in job["masks"].items():
            before, behind = net.shapes[at]
            given[f"{k}.columns.{at}"], given[f"{k}.rows.{at}"] = columns.reshape([-1] + before), rows.reshape([-1] + behind)
        asked.append({"net": f"net{k}.safetensors", "dtype": dtype, "kind": job["kind"], "options": job["options"], "lanczos": job["lanczos"],
                      "tolerance": job["tolerance"], "share": job["share"], "quick": job["quick"], "radii": job["radii"],
                      "norms": [{name: ask[name] for name in ("number", "layer", "columns", "rows", "options")} for ask in job["norms"]]})
    files.write_tensors(folder / "given.safetensors", given)
    script = "let jobs = [\n" + ",\n".join("    " + files.rhai(job) for job in asked) + "\n];\n" + (HERE / "audit/audit.rhai").read_text()
    (folder / "audit.rhai").write_text(script)
    call = [str(pathlib.Path(program).resolve()), "run", "audit.rhai", "--threads", "1", "--seed", str(seed), "--into", "told"]
    done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0 or not (folder / "told/told.safetensors").exists():
        sys.exit(f"the program ended with {done.returncode} in {folder}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    refused = [line for line in done.stdout.splitlines() if line.startswith("REFUSED")]
    return files.read_tensors(folder / "told/told.safetensors"), refused


def one_round(args, number, folder):
    """The networks of a round, the program's answers, what was refused."""
    rng = np.random.default_rng([args.seed, number])
    dtype = {"f32": np.float32, "f64": np.float64}[args.dtype]
    with np.errstate(all="ignore"):
        jobs = []
        for k in range(args.nets):
            mode = MODES[k % len(MODES)]
            jobs.append(make_job(rng, k, mode, dtype, mode == "image" and rng.random() < 0.05))
    told, refused = ask_program(args.program, folder, jobs, args.dtype, args.seed * 1000 + number)
    return jobs, told, refused, rng


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/workbench")
    parser.add_argument("--seconds", type=float, default=60, help="how long; rounds are finished")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this round alone; kept if --keep is given")
    parser.add_argument("--nets", type=int, default=20, help="networks of a round")
    parser.add_argument("--restarts", type=int, default=6, help="of each attack")
    parser.add_argument("--dtype", choices=["f32", "f64"], default="f32", help="of the files; f64 wants a program that keeps it")
    parser.add_argument("--keep", help="folder for what violated; else a temporary one")
    parser.add_argument("--self-test", action="store_true", help="falsify answers: every check must notice")
    args = parser.parse_args()
    begun, number, total, messages = time.time(), args.only or 0, Tally(), {}                # messages: where each was met
    while True:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="audit-"))
        jobs, told, refused, rng = one_round(args, number, folder)
        if args.self_test:
            shutil.rmtree(folder)
            sys.exit(spoil.self_test(jobs, told, rng, args.restarts))
        tally = Tally()
        for job in jobs:
            check(job, told, tally, rng, args.restarts)
        for line in refused:
            _, k, text = line.split(" ", 2)
            messages.setdefault(text[:150], []).append(f"round {number}, net {k}")
        tally.count("nets", len(jobs))
        tally.count("refused", len(refused))
        tally.notes = [f"round {number}, {note}" for note in tally.notes]
        total.add(tally)
        show = ["nets", "norms", "boxes", "points", "points judged exactly", "claims attacked", "radii", "refused"]
        print(f"round {number}: " + ", ".join(f"{total.counts.get(what, 0)} {what}" for what in show)
              + f", {len(total.violations)} violations, {time.time() - begun:.0f} s", flush=True)
        if total.violations:
            stop_at_violation(args, number, folder, jobs, total)
        keep(args, number, folder, args.keep if args.only is not None else None)
        number += 1
        if time.time() - begun >= args.seconds or args.only is not None:
            break
    summarise(total, messages)
    expected, failed = total.luck
    if failed > expected + 6 * np.sqrt(expected) + 3:
        print(f"VIOLATION: {failed} probabilistic norms failed where {expected:.1f} were to be expected at most")
        sys.exit(1)
    if not (total.counts.get("norms") and total.counts.get("boxes") and total.counts.get("radii")):
        sys.exit("nothing was audited: the program refused what it was asked")


def keep(args, number, folder, into):
    """The round's folder moved into another, or removed."""
    kept = pathlib.Path(into or "") / f"seed{args.seed}-round{number}"
    if into:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept)
    shutil.rmtree(folder)
    return kept


def stop_at_violation(args, number, folder, jobs, total):
    for violation in total.violations:
        violation["about"] = jobs[violation["net"]]["net"].describe()
        violation["asked"] = jobs[violation["net"]]["kind"]
    (folder / "violations.json").write_text(json.dumps(total.violations, indent=1, default=float))
    kept = keep(args, number, folder, args.keep) if args.keep else folder
    print()
    for violation in total.violations[:20]:
        print(f"VIOLATION ({violation['kind']}) net {violation['net']}, {violation['about']}, {violation['asked']}")
        print(f"    {violation['text']}")
    print(f"\nkept in {kept}: net{total.violations[0]['net']}.safetensors, audit.rhai, violations.json with the points")
    print(f"again: {sys.argv[0]} --program {args.program} --seed {args.seed} --only {number} --nets {args.nets} --dtype {args.dtype}")
    sys.exit(1)


def summarise(total, messages):
    print("\ncounts")
    for what in sorted(total.counts):
        print(f"    {total.counts[what]:>10}  {what}")
    print("ratios, least and largest")
    for what in sorted(total.most):
        print(f"    {total.least[what]:>12.6g} {total.most[what]:>18.12g}  {what}")
    for text in total.notes[:5]:
        print(f"looser than asked: {text}")
    print(f"probabilistic norms that may fail: {total.luck[1]} did, {total.luck[0]:.1f} expected at most")
    for text, where in sorted(messages.items(), key=lambda item: -len(item[1]))[:20]:
        print(f"refused {len(where)} times, first {where[0]}: {text}")
    print("no violation" if not total.violations else f"{len(total.violations)} VIOLATIONS")


if __name__ == "__main__":
    main()
