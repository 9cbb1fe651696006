"""What comes back from a slot: put together, checked, evaluated on all test images by programs of this machine.

    runs/rows/NAME/run                      the training, as it came
    runs/rows/NAME/evaluation-K-of-10       published and exact, on a tenth of the batches each
    runs/rows/NAME/rigorous, records        rigorous certificates, one record an image

Whatever has ended stays; what was interrupted goes on at the next call."""
import hashlib, io, json, pathlib, shutil, subprocess, tarfile

import entries

SHARDS = 10


def collect(parts, into, say=print):
    """Put the parts of a slot together and unpack them, each row by itself. Gives the names of the rows that have weights."""
    parts, into = pathlib.Path(parts), pathlib.Path(into)
    if not (parts / "rows.json").exists():
        raise SystemExit(f"rows: {parts} has no rows.json; give the folder that has come back")
    manifest = json.loads((parts / "rows.json").read_text())
    missing = [name for name in manifest["parts"] if not (parts / name).exists()]
    if missing:
        raise SystemExit(f"rows: {parts} lacks {', '.join(missing)}; fetch every file of the slot")
    data, at, come = b"".join((parts / name).read_bytes() for name in manifest["parts"]), 0, []
    into.mkdir(parents=True, exist_ok=True)
    for name, row in manifest["rows"].items():
        blob = data[at : at + row["bytes"]]
        at += row["bytes"]
        if hashlib.sha256(blob).hexdigest() != row["sha256"]:
            say(f"{name}: not what was packed: a part in {parts} is damaged or of another slot; fetch them again")
            continue
        told = into / name / "row.json"
        before = json.loads(told.read_text()) if told.exists() else {}
        if before.get("sha256") != row["sha256"]:
            if worth(before) > worth(row):
                say(f"{name}: {into / name} is further ({before.get('epoch')} epochs, {before.get('status')}) than what has come; move it away to take the other")
                continue
            unpacked(blob, name, into)
            told.write_text(json.dumps(row, indent=1))
        if (into / name / "run" / "model.safetensors").exists():
            come.append(name)
        else:
            say(f"{name}: {row['status']}, it has no weights")
    if (parts / "cudnn_engines.json").exists():
        shutil.copy(parts / "cudnn_engines.json", into)
    return come


def worth(row):
    """Which of two trainings of a row counts: one that has ended, then the longer one."""
    return row.get("status") == "ended", row.get("epoch", 0)


def unpacked(blob, name, into):
    """A row's folder in the place of one of before."""
    with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
        for member in tar.getmembers():
            inside = member.name == name or member.name.startswith(name + "/") and ".." not in member.name.split("/")
            if not inside or not (member.isfile() or member.isdir()):
                raise SystemExit(f"rows: {member.name} is no file of {name}")
        if (into / name).exists():
            # Its evaluations are of other weights.
            aside, number = into / f"{name}.before", 1
            while aside.exists():
                aside, number = into / f"{name}.before-{number}", number + 1
            (into / name).rename(aside)
        tar.extractall(into, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))


def ended(run):
    """The record of a run that has ended, or None."""
    path = run / "run.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    return record if record.get("status") == "finished" else None


def evaluate(name, program, runs, data, sources=entries.SOURCES, limit=0, shards=SHARDS, rigorous=True, batch=256, say=print):
    """Evaluate a row that has come home, and go on where an evaluation was stopped."""
    row = pathlib.Path(runs) / name
    entry = entries.named(sources).get(name)
    if entry is None:
        raise SystemExit(f"rows: no row {name}; see rows --plan")
    weights = row / "run" / "model.safetensors"
    if not weights.exists():
        weights = kept(name, sources)
        if weights is None:
            raise SystemExit(f"rows: {row / 'run' / 'model.safetensors'} is not there; collect the row first")
        row.mkdir(parents=True, exist_ok=True)
    radius = entries.IMAGES[entry.data][1]
    # As the paper's table: PGD alone. Shards that were done before the evaluation knew APGD go on.
    common = ["--set", f"data={entry.data}", "--set", f"model={weights}", "--set", f"test_limit={limit}", "--set", "apgd=0"]
    # Of the first images only: apart from evaluations of all.
    kind = f"first-{limit}-" if limit else ""
    if limit:
        shards = min(shards, -(-limit // batch))
    for number in range(1, shards + 1):
        run = row / f"{kind}evaluation-{number}-of-{shards}"
        if ended(run):
            continue
        shutil.rmtree(run, ignore_errors=True)
        say(f"{name}: published and exact, {number} of {shards}", flush=True)
        call(program, sources, "evaluate", run, data, [*common, "--set", f"eps=[{radius}]", "--set", f"bound={entry.bound}", "--set", f"shard={number}/{shards}", "--set", f"batch={batch}"])
    run = row / f"{kind}rigorous"
    if rigorous and not ended(run):
        # Records of before stay and are gone on with; the run about them is made again.
        shutil.rmtree(run, ignore_errors=True)
        say(f"{name}: rigorous certificates", flush=True)
        records = row / f"{kind}records"
        call(program, sources, "certify", run, data, [*common, "--set", f"eps={radius}", "--set", f"records={records}", "--allow-write", str(records)])


def kept(name, sources):
    """The weights of a row in `pretrained/`, by method, schedule, machine and day of their training."""
    method = entries.named(sources)[name].method
    path = pathlib.Path(sources) / "docs" / "results" / f"{name}.json"
    began = json.loads(path.read_text()) if path.exists() else {}
    for told in (pathlib.Path(sources) / "pretrained").glob("*.json"):
        told = json.loads(told.read_text())
        asked = told.get("settings", {})
        same = [told.get("method") == method, told.get("began") == began.get("began"), asked.get("epochs") == began.get("epochs_asked"), asked.get("ramp") == began.get("ramp")]
        if all(same) and told.get("device") == began.get("hardware"):
            return pathlib.Path(sources) / "pretrained" / told["file"]
    return None


def call(program, sources, script, run, data, arguments):
    command = [str(program), "run", str(pathlib.Path(sources) / "scripts" / f"{script}.rhai"), "--into", str(run), *arguments]
    if data:
        command += ["--data-dir", str(data)]
    with open(run.with_suffix(".log"), "w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode:
        tail = "".join(run.with_suffix(".log").read_text(errors="replace").splitlines(True)[-8:])
        raise SystemExit(f"rows: {script} ended with exit code {done.returncode}:\n{tail}")
