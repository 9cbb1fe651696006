"""Short trainings on the processor of this machine, beside other work: stopped by Ctrl-C and called again, each goes on from its last
checkpoint, bit for bit.

    runs/rows/NAME/run      the training, as `home` and `results` expect it"""
import json, pathlib, shutil, subprocess

import entries, home, slot


def train(names, program, runs, data, sources=entries.SOURCES, also=(), say=print):
    """Train the short rows of these names, all of them without names, one after the other. Gives the names that have ended."""
    listed = {entry.name: entry.with_settings(dict(also)) for entry in entries.short(sources)}
    for name in names:
        if name not in listed:
            raise SystemExit(f"rows: no short row {name}; there are: {' '.join(listed)}")
    done = []
    for name in names or listed:
        entry, row = listed[name], pathlib.Path(runs) / name
        run = row / "run"
        row.mkdir(parents=True, exist_ok=True)
        if not home.ended(run):
            begun = any((run / "checkpoints").glob("*"))
            if not begun:
                shutil.rmtree(run, ignore_errors=True)
            how = ["--resume", str(run)] if begun else [str(pathlib.Path(sources) / "scripts" / f"{entry.script}.rhai"), "--into", str(run), *entry.arguments()]
            command = [str(program), "run", *how, "--checkpoint-minutes", "10"]
            if data:
                command += ["--data-dir", str(data)]
            say(f"{name}: {'goes on' if begun else 'begins'}", flush=True)
            (row / "row.json").write_text(json.dumps({"hardware": slot.hardware("cpu")}))
            with open(row / "run.log", "a") as log:
                code = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
            if code:
                raise SystemExit(f"rows: {name} ended with exit code {code}; {row / 'run.log'} says why, and the same command goes on")
        done.append(name)
    return done
