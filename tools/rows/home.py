"""What comes back from a slot: put together, checked, evaluated on all test images by programs of this machine.

    runs/rows/NAME/run                      the training, as it came
    runs/rows/NAME/evaluation-K-of-10       published and exact, on a tenth of the batches each
    runs/rows/NAME/rigorous, records        rigorous certificates, one record an image

Whatever has ended stays; what was interrupted goes on at the next call."""
import hashlib, io, json, pathlib, shutil, subprocess, tarfile

import entries

SHARDS = 10


def collect(parts, into):
    """Put the parts of a slot together and unpack them. Gives the rows' names."""
    parts, into = pathlib.Path(parts), pathlib.Path(into)
    manifest = json.loads((parts / "rows.json").read_text())
    missing = [name for name in manifest["parts"] if not (parts / name).exists()]
    if missing:
        raise SystemExit(f"rows: {parts} lacks {', '.join(missing)}; fetch every file of the slot")
    data = b"".join((parts / name).read_bytes() for name in manifest["parts"])
    found = hashlib.sha256(data).hexdigest()
    if found != manifest["sha256"]:
        raise SystemExit(f"rows: the parts in {parts} make {found}, where rows.json says {manifest['sha256']}: one is damaged or of another slot")
    into.mkdir(parents=True, exist_ok=True)
    for name in manifest["rows"]:
        # A row that has come before came less far, unless it was evaluated since.
        before = into / name / "row.json"
        if before.exists() and json.loads(before.read_text()).get("epoch", 0) > manifest["rows"][name]["epoch"]:
            raise SystemExit(f"rows: {into / name} is further than what has come; move it away to take the other")
        shutil.rmtree(into / name, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(into, filter="data")
        else:
            for member in tar.getmembers():
                if member.name.startswith(("/", "..")) or "/../" in member.name or not (member.isfile() or member.isdir()):
                    raise SystemExit(f"rows: {member.name} is no file of a slot")
            tar.extractall(into)
    return list(manifest["rows"])


def ended(run):
    """The record of a run that has ended, or None."""
    path = run / "run.json"
    record = json.loads(path.read_text()) if path.exists() else {}
    return record if record.get("status") == "finished" else None


def evaluate(name, program, runs, data, sources=entries.SOURCES, limit=0, shards=SHARDS, rigorous=True, batch=256, say=print):
    """Evaluate a row that has come home, and go on where an evaluation was stopped."""
    row = pathlib.Path(runs) / name
    entry = {entry.name: entry for entry in entries.entries(sources)}.get(name)
    if entry is None:
        raise SystemExit(f"rows: no row {name}; see rows --plan")
    weights = row / "run" / "model.safetensors"
    if not weights.exists():
        raise SystemExit(f"rows: {weights} is not there; collect the row first")
    radius = entries.IMAGES[entry.data][1]
    common = ["--set", f"data={entry.data}", "--set", f"model={weights}", "--set", f"test_limit={limit}"]
    for number in range(1, shards + 1):
        run = row / f"evaluation-{number}-of-{shards}"
        if ended(run):
            continue
        shutil.rmtree(run, ignore_errors=True)
        say(f"{name}: published and exact, {number} of {shards}", flush=True)
        call(program, sources, "evaluate", run, data, [*common, "--set", f"eps=[{radius}]", "--set", f"bound={entry.bound}", "--set", f"shard={number}/{shards}", "--set", f"batch={batch}"])
    run = row / "rigorous"
    if rigorous and not ended(run):
        # Records of before stay and are gone on with; the run about them is made again.
        shutil.rmtree(run, ignore_errors=True)
        say(f"{name}: rigorous certificates", flush=True)
        records = row / "records"
        call(program, sources, "certify", run, data, [*common, "--set", f"eps={radius}", "--set", f"records={records}", "--allow-write", str(records)])


def call(program, sources, script, run, data, arguments):
    command = [str(program), "run", str(pathlib.Path(sources) / "scripts" / f"{script}.rhai"), "--into", str(run), *arguments]
    if data:
        command += ["--data-dir", str(data)]
    with open(run.with_suffix(".log"), "w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode:
        tail = "".join(run.with_suffix(".log").read_text(errors="replace").splitlines(True)[-8:])
        raise SystemExit(f"rows: {script} ended with exit code {done.returncode}:\n{tail}")
