#!/usr/bin/env python3
"""Put a trained network into `pretrained/`, with its run's settings, its table and its digest, and write the folder's README.

    python3 tools/pretrained.py add NAME --run RUN [--weights FILE] --loop LOOP [--evaluation RUN ...] [--program WORKBENCH]
    python3 tools/pretrained.py write

RUN is the training's folder; LOOP the method, as the run's loop is called. Evaluations are runs of scripts/evaluate.rhai (shards are
added up) and scripts/certify.rhai, of exactly these weights."""
import argparse, json, pathlib, re, shutil, subprocess, sys, tempfile

SOURCES = pathlib.Path(__file__).resolve().parents[1]
FOLDER = SOURCES / "pretrained"
BEGIN, END = "<!-- networks: written by tools/pretrained.py -->", "<!-- networks: end -->"
# All networks together; they travel with every clone.
MOST = 20 << 20


def digest_of(program, weights):
    """The digest and the layers that the program itself finds in a file."""
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder) / "digest.rhai"
        script.write_text('let cfg = settings(#{ model: "" });\nlet net = load_model(cfg.model);\nprint(`digest ${net.digest} ${net.dtype}`);\n')
        command = [str(program), "run", str(script), "--set", f"model={weights}"]
        shown = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        found = re.search(r"digest (\S+) (\S+)", shown.stdout)
        if not found:
            raise SystemExit(f"pretrained: {weights} does not load:\n{shown.stdout}{shown.stderr}")
        return found[1], found[2]


def evaluations(runs):
    """Counts by radius and by kind of bound; shards of one kind are added up."""
    sums = {}
    for path in runs:
        run = json.loads((pathlib.Path(path) / "run.json").read_text())
        if run["status"] != "finished":
            raise SystemExit(f"pretrained: {path} has not ended ({run['status']})")
        for result in run["results"]:
            kind = result.get("procedure") or result.get("bound")
            if kind is None or "images" not in result:
                continue
            own = sums.setdefault((result["eps"], kind), {"eps": result["eps"], "certified by": kind, "images": 0, "clean": 0, "pgd": 0, "certified": 0})
            own["images"] += result["images"]
            for key in ("clean", "pgd", "certified"):
                own[key] += round(result[key] * result["images"])
    return [sums[key] for key in sorted(sums)]


def add(a):
    run = json.loads((pathlib.Path(a.run) / "run.json").read_text())
    weights = pathlib.Path(a.weights or pathlib.Path(a.run) / "model.safetensors")
    digest, dtype = digest_of(a.program, weights.resolve())
    FOLDER.mkdir(exist_ok=True)
    settings = {s["key"]: json.loads(s["value"]) for s in run["settings"]}
    given = {key: value for key, value in run["overrides"]}
    script = "scripts/" + pathlib.Path(run["script"]).name
    told = pathlib.Path(a.run).parent / "row.json"
    hardware = json.loads(told.read_text()).get("hardware") if told.exists() else None
    note = {
        "file": f"{a.name}.safetensors", "digest": digest, "dtype": dtype, "method": a.loop, "data": run["data"][0]["name"],
        "command": " ".join(["workbench run", script, *(f"--set {key}={value}" for key, value in given.items())]),
        "settings": settings, "seed": run["seed"], "device": hardware or run["device"], "began": run["sittings"][0]["began"][:10],
        "versions": run["versions"], "evaluations": evaluations(a.evaluation),
    }
    target = FOLDER / note["file"]
    if weights.resolve() != target.resolve():
        shutil.copyfile(weights, target)
    (FOLDER / f"{a.name}.json").write_text(json.dumps(note, indent=1) + "\n")
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    if size > MOST:
        raise SystemExit(f"pretrained: {size / 2**20:.1f} MiB are more than {MOST >> 20}; leave one out")
    write()


def table():
    lines = ["| file | trained | data | eps | clean % | PGD % | certified % | by | images | digest |", "|---|---|---|---|---|---|---|---|---|---|"]
    for path in sorted(FOLDER.glob("*.json")):
        note = json.loads(path.read_text())
        first = f"| `{note['file']}`, {(FOLDER / note['file']).stat().st_size / 1e6:.1f} MB | {note['method']} | {note['data']}"
        for found in note["evaluations"]:
            share = lambda key: f"{100 * found[key] / found['images']:.1f}"
            lines.append(f"{first} | {found['eps']:g} | {share('clean')} | {share('pgd')} | {share('certified')} | {found['certified by']} | {found['images']:,} | {note['digest'][:12]} |")
            first = "| | | "
    lines += ["", "Trained by:", ""]
    for path in sorted(FOLDER.glob("*.json")):
        note = json.loads(path.read_text())
        lines.append(f"    {note['command']}     # {note['file']}: seed {note['seed']}, {note['device']}, {note['began']}")
    return lines


def write():
    path = FOLDER / "README.md"
    before, rest = path.read_text().split(BEGIN, 1)
    path.write_text(before + "\n".join([BEGIN, "", *table(), "", END]) + rest.split(END, 1)[1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["add", "write"])
    p.add_argument("name", nargs="?")
    p.add_argument("--run")
    p.add_argument("--weights")
    p.add_argument("--loop")
    p.add_argument("--evaluation", nargs="*", default=[])
    p.add_argument("--program", default="target/release/workbench")
    a = p.parse_args()
    if a.what == "add":
        if not (a.name and a.run and a.loop):
            raise SystemExit("pretrained: add wants a name, --run and --loop")
        add(a)
    else:
        write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
