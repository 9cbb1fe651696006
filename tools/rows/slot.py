"""Trainings within a slot of a GPU: one after the other; what does not end in this command goes on in the next one. GPU time comes in
quarters of an hour, and a training takes longer.

    end = start of the command + SLOT_SECONDS

A training that is longer than the command is left running in a session of its own (`detach`), and the next command finds it. Where a
machine does not let it, it goes on from its last checkpoint, without the power-iteration vectors. Without `detach`

    Ctrl-C goes to a training at    end - what packing takes - what its checkpoint takes, vectors and all
    it is killed at                 end - what packing takes, and has its last epoch's weights then

and it goes on bit for bit. What is under way lies in `room`, a folder that outlives the command; what has to come home, in files below
a size, under `out`, which the caller may have emptied since."""
import csv, gzip, hashlib, io, json, os, pathlib, re, shutil, signal, subprocess, tarfile, time

import entries

# Parts that come home: so many MiB each, so many of them.
PART_MIB, PARTS = 15, 4
# Less than this is not worth a training's start.
LEAST_SECONDS = 30
# Bytes a second of a checkpoint (a checksum and a disk) and of packing.
CHECKPOINT_RATE, PACK_RATE = 0.4e9, 15e6


class Clock:
    """Seconds; a test has one of its own."""

    def now(self):
        return time.monotonic()

    def sleep(self, seconds):
        time.sleep(seconds)


class Slot:
    """A command's worth of trainings. `also` are settings that win over the list's."""

    def __init__(self, program, sources, room, out, seconds, device="cuda", data=None, also=(), detach=True, clock=None, say=print):
        self.program, self.sources, self.device, self.data = str(program), pathlib.Path(sources), device, data
        self.room, self.out, self.detach = pathlib.Path(room).absolute(), pathlib.Path(out), detach
        self.clock, self.told = clock or Clock(), say
        self.end = self.clock.now() + seconds
        self.reserve, self.stopping = 0, False
        self.room.mkdir(parents=True, exist_ok=True)
        self.out.mkdir(parents=True, exist_ok=True)
        # No evaluation here: it needs no GPU.
        also = {"procedures": "[]", **dict(also)}
        self.list = {entry.name: entry.with_settings(also) for entry in entries.entries(self.sources)}
        self.state = self.room / "slot.json"
        self.rows = json.loads(self.state.read_text()) if self.state.exists() else {}
        self.hardware = hardware(device)

    def say(self, text):
        try:
            self.told(text, flush=True)
        except OSError:
            pass  # nobody listens; the rows still have to come home

    def keep(self):
        partial = self.state.with_suffix(".partial")
        partial.write_text(json.dumps(self.rows, indent=1))
        partial.replace(self.state)

    def run(self, names):
        """Train the rows of these names; without names go on with what was begun, then with the next rows of the list. 0 where every
        row has ended, 3 where one goes on in the next command, 1 where one failed."""
        for name in names:
            if name not in self.list:
                raise SystemExit(f"rows: no row {name}; there are: {' '.join(self.list)}")
            if self.rows.get(name, {}).get("status") == "failed":
                del self.rows[name]
                shutil.rmtree(self.room / name, ignore_errors=True)
            self.rows.setdefault(name, {"status": "waiting"})
        try:
            while not self.stopping:
                waiting = [name for name, row in self.rows.items() if row["status"] not in ("ended", "failed")]
                if not waiting and not names:
                    waiting = [entry.name for entry in next_rows(self.list.values(), self.sources, self.left(), self.data, self.rows)]
                    self.say(f"the next rows of the list: {' '.join(waiting) or 'none is left that fits'}")
                    self.rows.update({name: {"status": "waiting"} for name in waiting})
                self.keep()
                over = [self.train(self.list[name], self.rows[name]) for name in waiting if not self.stopping]
                if not over or not all(over) or names:
                    break
        finally:
            self.bring_home()
        kinds = {row["status"] for row in self.rows.values()}
        return 1 if "failed" in kinds else 0 if kinds <= {"ended"} else 3

    def packing(self):
        """Seconds that packing takes: a training's weights are 8 to 10 MB."""
        return 8 + sum(12e6 for row in self.rows.values() if row["status"] != "waiting") / PACK_RATE

    def left(self):
        """Seconds for training."""
        return self.end - self.clock.now() - self.packing()

    def train(self, entry, row):
        """Begin a training, go on with it, or go on waiting for it, until it ends or time is short. Is it over?"""
        folder = self.room / entry.name
        run = folder / "run"
        process = Training.found(row.get("process"), run)
        if row["status"] != "waiting":
            row.update(progress(run, entry))
            row["status"] = process.status() if process else Training(0, run).status()
            if row["status"] in ("ended", "failed"):
                return self.noted(entry, row)
        needed = max(0, entry.minutes * 60 - row.get("seconds", 0)) * 1.1 + 15
        whole = needed < self.left()
        # Without vectors a checkpoint is small, but nobody goes on from it exactly.
        vectors = "--without-vectors" not in row["command"] if process else entry.local and not whole and not self.detach
        self.reserve = 8 + (2 * entry.vector_gb * 1e9 / CHECKPOINT_RATE if vectors else 0)
        stops = not self.detach or whole
        if not process and self.left() - (self.reserve if stops else 0) < LEAST_SECONDS:
            self.say(f"{entry.name}: {row['status']}; {max(0, self.left()):.0f} s are left, too few for it" + (f" and its checkpoint of {entry.vector_gb:.1f} GB" if vectors else ""))
            return False
        if not process:
            command = self.command(entry, run, vectors)
            row["command"] = " ".join(command[1:]).replace(f"{self.sources}/", "")
            self.say(f"{entry.name}: {entry.epochs} epochs, {entry.minutes:.1f} minutes by {'measurement' if entry.measured else 'estimate'}; {'it should end' if whole else 'it goes on in the next command'}")
            folder.mkdir(exist_ok=True)
            process = Training.begun(command, run, folder / "log")
        # Whoever comes next finds it, also where this program is killed.
        row.update(status="running", process=process.pid, hardware=self.hardware)
        self.keep()
        while not process.over() and not self.stopping and self.left() > (0 if self.detach else self.reserve):
            self.clock.sleep(0.2)
        if not process.over() and not (self.detach and not self.stopping):
            process.interrupt()
            while not process.over() and self.left() > 0:
                self.clock.sleep(0.2)
            if not process.over():
                process.kill()
        row["status"] = process.status()
        row.update(progress(run, entry))
        return self.noted(entry, row)

    def noted(self, entry, row):
        """Write down and say how a training stands. Is it over?"""
        (self.room / entry.name / "row.json").write_text(json.dumps(row, indent=1))
        self.keep()
        self.say(f"{entry.name}: {row['status']} at epoch {row['epoch']} of {entry.epochs}, {row['seconds'] / 60:.1f} minutes, {row['ms']} ms a step; {row['last']}")
        if row["status"] == "failed":
            self.say("".join((self.room / entry.name / "log").read_text(errors="replace").splitlines(True)[-12:]))
        return row["status"] in ("ended", "failed")

    def command(self, entry, run, vectors):
        if (run / "run.json").exists():
            command = [self.program, "run", "--resume", str(run)]
        else:
            shutil.rmtree(run, ignore_errors=True)
            settings = entry.arguments()
            command = [self.program, "run", str(self.sources / "scripts" / f"{entry.script}.rhai"), "--into", str(run), *settings]
        command += ["--device", self.device]
        if self.data:
            command += ["--data-dir", str(self.data)]
        return command if vectors else [*command, "--without-vectors"]

    def stop(self, *_):
        """Somebody has asked to stop: what is left is for the checkpoint of the training under way, and for packing."""
        self.stopping = True
        self.end = min(self.end, self.clock.now() + self.packing() + self.reserve)

    def bring_home(self):
        """Weights and run folders without checkpoints, in parts. What came home before is sent again behind what is new: nobody knows
        whether it has arrived. What does not fit comes with the next command."""
        there = {name: row for name, row in self.rows.items() if row["status"] != "waiting" and (self.room / name).exists()}
        stand = lambda row: f"{row['status']} {row.get('epoch')}"
        blobs, rows, size = [], {}, 0
        for name, row in sorted(there.items(), key=lambda item: item[1].get("sent") == stand(item[1])):
            blob = packed(self.room / name, name)
            if size + len(blob) > PARTS * PART_MIB << 20:
                self.say(f"{name}: no room for it in {PARTS} files; it comes home with the next command")
                continue
            rows[name] = {**row, "bytes": len(blob), "sha256": hashlib.sha256(blob).hexdigest()}
            blobs.append(blob)
            size += len(blob)
        for old in self.out.glob("rows.tar.gz.*"):
            old.unlink()
        if not rows:
            return
        data = b"".join(blobs)
        parts = [data[at : at + (PART_MIB << 20)] for at in range(0, len(data), PART_MIB << 20)]
        names = [f"rows.tar.gz.{number}-of-{len(parts)}" for number in range(1, len(parts) + 1)]
        for name, part in zip(names, parts):
            (self.out / name).write_bytes(part)
        (self.out / "rows.json").write_text(json.dumps({"parts": names, "rows": rows}, indent=1))
        for name in rows:
            self.rows[name]["sent"] = stand(self.rows[name])
        self.keep()
        self.say(f"home: {' '.join(rows)}, {len(data) / 1e6:.1f} MB in {len(parts)} parts and rows.json, in {self.out}")


def packed(folder, name):
    """A row's folder as it comes home; of a training that runs, what stands there. Its bytes follow from the files alone."""
    without = lambda info: None if "/checkpoints" in info.name or info.name.endswith(".lock") or "/.tmp" in info.name else info
    for again in (True, False):
        try:
            with io.BytesIO() as blob:
                with gzip.GzipFile(fileobj=blob, mode="wb", compresslevel=1, mtime=0) as smaller, tarfile.open(fileobj=smaller, mode="w") as tar:
                    tar.add(folder, name, filter=without)
                return blob.getvalue()
        except OSError:  # a file was renamed meanwhile
            if not again:
                raise


class Training:
    """A training's process. It is of a session of its own, so that it outlives the command where that is wanted, and a Ctrl-C is
    sent to it once, by us: a second one would end it without a checkpoint."""

    def __init__(self, pid, run, child=None):
        self.pid, self.run, self.child = pid, run, child

    @classmethod
    def begun(cls, command, run, log):
        with open(log, "a") as log:
            child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        return cls(child.pid, run, child)

    @classmethod
    def found(cls, pid, run):
        """The training of an earlier command, if it still runs."""
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, TypeError):
            return None
        return cls(pid, run) if str(run).encode() in words else None

    def over(self):
        if self.child:
            return self.child.poll() is not None
        try:
            # One that has ended may wait there for whoever began it.
            return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except OSError:
            return True

    def interrupt(self, how=signal.SIGINT):
        try:
            os.kill(self.pid, how)
        except ProcessLookupError:
            pass  # it has just ended

    def kill(self):
        self.interrupt(signal.SIGKILL)
        while not self.over():
            time.sleep(0.05)

    def status(self):
        """What its run says; one that was killed still says that it runs."""
        if self.pid and not self.over():
            return "running"
        path = self.run / "run.json"
        said = json.loads(path.read_text())["status"] if path.exists() else "failed"
        return {"finished": "ended", "failed": "failed"}.get(said, "stopped")


def progress(run, entry):
    """How far a training came, by its own record."""
    found = {"epoch": 0, "seconds": 0.0, "ms": "?", "certified": None, "last": "no epoch has ended"}
    path = run / "metrics.csv"
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    if rows:
        last = rows[-1]
        found["epoch"], found["seconds"] = int(last["epoch"]), float(last["seconds"])
        found["certified"] = float(last["certified"]) if last.get("certified") else None
        shown = [f"{key} {float(last[key]):.4g}" for key in ("loss", "clean", "certified", "eps") if last.get(key)]
        found["last"] = "its last epoch, in training: " + ", ".join(shown)
        # Of the later epochs of one sitting; the first holds the start.
        pace = sorted((float(b["seconds"]) - float(a["seconds"])) / (int(b["step"]) - int(a["step"])) for a, b in zip(rows, rows[1:]))
        if pace:
            found["ms"] = round(pace[len(pace) // 2] * 1000, 2)
    return found


def hardware(device):
    """The card's name, or the processor's."""
    if device.startswith("cuda"):
        try:
            told = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
            return told.stdout.strip().splitlines()[0]
        except (OSError, IndexError):
            return "a GPU in software"
    found = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text()) if os.path.exists("/proc/cpuinfo") else None
    return found[1] if found else "a CPU"


def next_rows(listed, sources, seconds, data=None, begun=()):
    """The rows to come, of what a slot leaves, of which a long command is four fifths: those that have not run, in the list's order,
    then those that have run for fewer epochs; only of data sets that are there."""
    minutes, chosen = min(entries.SLOT_MINUTES, seconds / 60 * 1.25), []
    wanting = [(entries.epochs_done(entry, sources), entry) for entry in listed if not data or (pathlib.Path(data) / entry.data).is_dir()]
    for done, entry in sorted(wanting, key=lambda pair: pair[0] > 0):
        if entry.name not in begun and done < entry.epochs and entry.minutes <= minutes:
            chosen.append(entry)
            minutes -= entry.minutes
    return chosen


def free_room():
    """Where runs lie: where some lie already; else in memory where there is room for two checkpoints of a store of vectors; else on
    the disk."""
    folders = [pathlib.Path(folder) / "workbench-rows" for folder in ("/dev/shm", os.environ.get("TMPDIR") or "/tmp")]
    for folder in folders:
        if (folder / "slot.json").exists():
            return folder
    roomy = [folder for folder in folders if folder.parent.is_dir() and shutil.disk_usage(folder.parent).free > 40e9]
    return roomy[0] if roomy else folders[-1]
