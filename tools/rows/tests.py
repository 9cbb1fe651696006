"""Tests of the rows' tools, by the built program: python3 tools/rows/tests.py PROGRAM [TEST ...]

Trainings are of 32 images, two batches an epoch and two epochs. WORKBENCH_DATA names the folder of MNIST and CIFAR-10; without it
only what needs no data is tested. ROWS=all goes through every entry of the list, on WORKBENCH_TEST_DEVICE or the CPU."""
import contextlib, hashlib, io, json, os, pathlib, shutil, signal, subprocess, sys, tempfile, time, unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent))
import entries, here, home, plan, results, slot

PROGRAM = ""
DEVICE = os.environ.get("WORKBENCH_TEST_DEVICE", "cpu")
DATA = os.environ.get("WORKBENCH_DATA")
SMALL = {"batch": "16", "train_limit": "32", "test_limit": "16", "epochs": "2", "ramp": "1", "warmup": "0"}
quiet = lambda text, **_: None


class Fast:
    """A clock that goes so many times as fast."""

    def __init__(self, rate):
        self.rate, self.began = rate, time.monotonic()

    def now(self):
        return (time.monotonic() - self.began) * self.rate

    def sleep(self, seconds):
        time.sleep(seconds / self.rate)


class Rows(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rows-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.sources = self.folder / "sources"
        for name in ("scripts", "benches/NOTES.md", "docs/results.md"):
            whole = entries.SOURCES / name
            (self.sources / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(whole, self.sources / name) if whole.is_dir() else shutil.copy(whole, self.sources / name)
        self.room, self.out, self.runs = self.folder / "room", self.folder / "out", self.folder / "runs"

    def slot(self, seconds=3600, also=(), **more):
        more.setdefault("say", quiet)
        return slot.Slot(PROGRAM, self.sources, more.pop("room", self.room), self.out, seconds, DEVICE, DATA, {**SMALL, **dict(also)}, **more)

    def weights(self, room, name):
        return (room / name / "run" / "model.safetensors").read_bytes()

    def log(self, name):
        path = self.room / name / "log"
        return path.read_text()[-2000:] if path.exists() else "no log"

    def test_the_list(self):
        listed = entries.entries(self.sources)
        names = [entry.name for entry in listed]
        self.assertEqual(names[:4], ["mnist_gloro", "mnist_standard", "mnist_bcp", "mnist_lmt"])
        by = {entry.name: entry for entry in listed}
        self.assertEqual(by["mnist_local_lip_g"].published, (96.3, 78.2, 55.8))
        self.assertEqual(by["cifar10_6c2f_maxmin"].published, (77.4, 70.4, 60.7))
        self.assertEqual((by["cifar10_6c2f_gloro"].epochs, by["cifar10_6c2f_gloro"].steps), (800, 800 * 196))
        for entry in listed:
            self.assertTrue(entry.published and entry.ms > 0, entry.name)
        shown = plan.plan(self.sources).splitlines()
        self.assertEqual(len(shown), len(listed) + 2)
        line = lambda name: next(line for line in shown if line.startswith(name + " "))
        self.assertIn("yes, after mnist_gloro", line("mnist_standard"))
        self.assertIn("no: wants", line("cifar10_6c2f_local_lip_b"))
        # The first slot: what fits, in the list's order; of a short command's time only what fits that.
        chosen = lambda seconds: [e.name for e in slot.next_rows(listed, self.sources, seconds)]
        self.assertEqual(chosen(570), ["mnist_gloro", "mnist_standard"])
        self.assertEqual(chosen(150), ["mnist_standard"])
        self.assertEqual(chosen(60), [])
        # What has run is not begun again; what has run for fewer epochs comes after what has not run.
        (self.sources / "docs" / "results").mkdir()
        for name, epochs in (("mnist_gloro", 300), ("mnist_standard", 220), ("mnist_bcp", 300)):
            (self.sources / "docs" / "results" / f"{name}.json").write_text(json.dumps({"epochs": epochs}))
        self.assertEqual(chosen(570), ["mnist_lmt"])
        self.assertEqual(chosen(150), ["mnist_standard"])
        shown = plan.plan(self.sources).splitlines()
        self.assertIn("has run 220 epochs; yes", line("mnist_standard"))
        self.assertIn("has run ", line("mnist_bcp"))

    def test_minutes_come_from_the_notes(self):
        notes = self.sources / "benches" / "NOTES.md"
        notes.write_text(notes.read_text().replace("| mnist_gloro | 5.4 | estimated |", "| mnist_gloro | 2.0 | measured |"))
        entry = entries.entries(self.sources)[0]
        self.assertEqual((entry.ms, entry.measured), (2.0, True))
        self.assertAlmostEqual(entry.minutes, 70500 * 2 / 60000 + 0.2)
        notes.write_text(notes.read_text().replace("| mnist_gloro |", "| mnist_glory |"))
        with self.assertRaisesRegex(SystemExit, "no milliseconds for mnist_gloro"):
            entries.entries(self.sources)

    def test_the_page_says_what_has_not_run(self):
        results.write(self.sources)
        text = (self.sources / "docs" / "results.md").read_text()
        self.assertIn("| 6C2F, local_lip_b | published | 70.7 | 64.8 | 54.3 |", text)
        self.assertIn("Not run: mnist_gloro,", text)
        results.write(self.sources)
        self.assertEqual(text, (self.sources / "docs" / "results.md").read_text(), "written twice it is the same")

    @unittest.skipUnless(DATA, "WORKBENCH_DATA names no data")
    def test_from_the_list_to_the_page(self):
        names = [entry.name for entry in entries.entries(self.sources)]
        if os.environ.get("ROWS") != "all":
            names = ["mnist_gloro", "cifar10_6c2f_maxmin"]
        self.assertEqual(self.slot().run(names), 0, [self.log(name) for name in names])
        sizes = [path.stat().st_size for path in self.out.iterdir()]
        self.assertTrue(max(sizes) <= 16 << 20 and len(sizes) <= 8, sizes)
        come = home.collect(self.out, self.runs)
        while len(come) < len(names):
            shutil.rmtree(self.out)
            self.assertEqual(self.slot().run(names), 0)
            come += home.collect(self.out, self.runs)
        self.assertEqual(sorted(set(come)), sorted(names))
        for name in names:
            home.evaluate(name, PROGRAM, self.runs, DATA, self.sources, limit=4, shards=2 if name == names[0] else 1, batch=2, say=quiet)
            path = results.record(name, self.runs, self.sources)
            found = json.loads(path.read_text())
            self.assertEqual((found["epochs"], found["epochs_asked"], found["seed"], found["precision"]), (2, 2, 0, "tf32" if DEVICE.startswith("cuda") else "f32"))
            for procedure in ("published", "exact", "rigorous"):
                self.assertEqual(found["evaluations"][procedure]["images"], 4, (name, procedure))
        results.write(self.sources)
        text = (self.sources / "docs" / "results.md").read_text()
        for name in names:
            self.assertIn(f"| {name} | 2 of ", text)
        self.assertNotIn(names[0], text.split("Not run: ")[1])
        # Where the training is gone, its figures stay, and what is evaluated is the network in pretrained/.
        row, before = self.runs / names[0], json.loads((self.sources / "docs" / "results" / f"{names[0]}.json").read_text())
        weights = (row / "run" / "model.safetensors").read_bytes()
        shutil.rmtree(row)
        with self.assertRaises(SystemExit):
            home.evaluate(names[0], PROGRAM, self.runs, DATA, self.sources, say=quiet)
        (self.sources / "pretrained").mkdir()
        told = {"file": "one.safetensors", "method": "gloro", "began": before["began"], "device": before["hardware"]}
        (self.sources / "pretrained" / "one.json").write_text(json.dumps({**told, "settings": {"epochs": 2, "ramp": before["ramp"]}}))
        (self.sources / "pretrained" / "one.safetensors").write_bytes(weights)
        home.evaluate(names[0], PROGRAM, self.runs, DATA, self.sources, limit=4, shards=1, batch=2, rigorous=False, say=quiet)
        after = json.loads(results.record(names[0], self.runs, self.sources).read_text())
        self.assertEqual(sorted(after["evaluations"]), ["exact", "published"])
        self.assertEqual({**after, "evaluations": {}}, {**before, "evaluations": {}})

    @unittest.skipUnless(DATA, "WORKBENCH_DATA names no data")
    def test_stopped_and_gone_on_with_it_ends_bit_for_bit(self):
        name, also = "mnist_local_lip_g", {"epochs": "4", "train_limit": "96", "ramp": "2"}
        self.assertEqual(self.slot(also=also, room=self.folder / "whole").run([name]), 0)
        # As a slot ends it from outside: the signal goes to the whole group.
        command = [sys.executable, str(HERE), "train", name, "--program", PROGRAM, "--sources", str(self.sources), "--device", DEVICE,
                   "--data", DATA, "--room", str(self.room), "--out", str(self.out), "--seconds", "3600", "--stop"]
        for key, value in {**SMALL, **also}.items():
            command += ["--set", f"{key}={value}"]
        row = lambda: json.loads((self.room / "slot.json").read_text())[name]
        # With vectors, as where a row is too long for one command.
        notes = self.sources / "benches" / "NOTES.md"
        notes.write_text(notes.read_text().replace("| mnist_local_lip_g | 10.6", "| mnist_local_lip_g | 999999"))
        begun = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        metrics = self.room / name / "run" / "metrics.csv"
        while begun.poll() is None and not (metrics.exists() and len(metrics.read_text().splitlines()) > 1):
            time.sleep(0.02)
        os.killpg(begun.pid, signal.SIGINT)
        self.assertEqual(begun.wait(120), 3, self.log(name))
        self.assertEqual(row()["status"], "stopped", self.log(name))
        self.assertEqual(json.loads((self.room / name / "run" / "run.json").read_text())["status"], "interrupted", self.log(name))
        self.assertTrue((self.out / "rows.json").exists(), "it has come home all the same")
        self.assertLess(row()["epoch"], 4)
        self.assertTrue(list((self.room / name / "run" / "checkpoints").iterdir()))
        self.assertEqual(subprocess.run(command, stdout=subprocess.DEVNULL).returncode, 0, self.log(name))
        self.assertEqual(row()["status"], "ended")
        self.assertEqual(self.weights(self.room, name), self.weights(self.folder / "whole", name))

    @unittest.skipUnless(DATA, "WORKBENCH_DATA names no data")
    def test_a_short_row_goes_on_and_says_what_its_own_estimate_was_worth(self):
        name, also = "mnist_short_maxmin", {**SMALL, "epochs": "4", "ramp": "2", "look": "16"}
        run = self.runs / name / "run"
        stopped = lambda: subprocess.Popen([sys.executable, str(HERE), "short", name, "--program", PROGRAM, "--sources", str(self.sources), "--data", DATA,
            "--runs", str(self.runs), *(word for key, value in also.items() for word in ("--set", f"{key}={value}"))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        begun = stopped()
        while begun.poll() is None and not ((run / "metrics.csv").exists() and len((run / "metrics.csv").read_text().splitlines()) > 1):
            time.sleep(0.02)
        os.killpg(begun.pid, signal.SIGINT)
        self.assertNotEqual(begun.wait(120), 0)
        self.assertFalse(home.ended(run))
        with self.assertRaisesRegex(SystemExit, "no short row mnist_gloro"):
            here.train(["mnist_gloro"], PROGRAM, self.runs, DATA, self.sources)
        said = []
        here.train([name], PROGRAM, self.runs, DATA, self.sources, also, say=lambda text, **_: said.append(text))
        self.assertEqual(said, [f"{name}: goes on"])
        here.train([name], PROGRAM, self.runs, DATA, self.sources, also, say=lambda text, **_: self.fail(f"{text}, though it has ended"))
        home.evaluate(name, PROGRAM, self.runs, DATA, self.sources, limit=4, shards=1, batch=2, rigorous=False, say=quiet)
        found = json.loads(results.record(name, self.runs, self.sources).read_text())
        self.assertEqual((found["epochs"], found["look"]["images"], found["look"]["iterations"]), (4, 16, 20))
        self.assertLessEqual(found["look"]["certified/converged"], found["look"]["certified/own"])
        results.write(self.sources)
        text = (self.sources / "docs" / "results.md").read_text()
        self.assertIn("| 4C3F, clipped MaxMin, local_lip_g | here | ", text)
        self.assertIn(f"| {name} | 20 | ", text)

    @unittest.skipUnless(DATA, "WORKBENCH_DATA names no data")
    def test_a_slot_ends_in_time(self):
        name = "mnist_local_lip_g"
        clock, seconds = Fast(5), 200 if os.environ.get("ROWS") == "all" else 110
        said = []
        slots = self.slot(seconds, {"epochs": "100000"}, detach=False, clock=clock, say=lambda text, **_: said.append(text))
        self.assertEqual(slots.run([name, "mnist_gloro"]), 3)
        self.assertLess(clock.now(), seconds, said)
        rows = json.loads((self.room / "slot.json").read_text())
        self.assertEqual((rows[name]["status"], rows["mnist_gloro"]["status"]), ("stopped", "waiting"), said)
        self.assertGreater(rows[name]["epoch"], 1)
        self.assertEqual(json.loads((self.room / name / "run" / "run.json").read_text())["status"], "interrupted", said)
        self.assertTrue(list((self.room / name / "run" / "checkpoints").iterdir()), said)
        manifest = json.loads((self.out / "rows.json").read_text())
        self.assertEqual(list(manifest["rows"]), [name])
        for part in manifest["parts"]:
            self.assertLessEqual((self.out / part).stat().st_size, 16 << 20)
        # What has come home is whole, and without checkpoints.
        home.collect(self.out, self.runs)
        self.assertEqual(self.weights(self.runs, name), self.weights(self.room, name))
        self.assertFalse((self.runs / name / "run" / "checkpoints").exists())

    @unittest.skipUnless(DATA, "WORKBENCH_DATA names no data")
    def test_left_running_it_is_found_again(self):
        name, also = "mnist_local_lip_g", {"epochs": "40"}
        self.assertEqual(self.slot(60, also, clock=Fast(20)).run([name]), 3)
        self.assertEqual(list(json.loads((self.out / "rows.json").read_text())["rows"]), [name], "what stands there comes home")
        row = json.loads((self.room / "slot.json").read_text())[name]
        self.assertEqual(row["status"], "running")
        self.assertEqual(self.slot(also=also).run([name]), 0, self.log(name))
        again = json.loads((self.room / "slot.json").read_text())[name]
        self.assertEqual((again["status"], again["process"], again["epoch"]), ("ended", row["process"], 40))

    @unittest.skipUnless(DATA, "WORKBENCH_DATA names no data")
    def test_a_training_that_fails_says_why_and_the_next_one_runs(self):
        said = []
        slots = self.slot(say=lambda text, **_: said.append(text))
        slots.list["mnist_gloro"].settings["lr"] = "nonsense"
        self.assertEqual(slots.run(["mnist_gloro", "mnist_standard"]), 1)
        rows = json.loads((self.room / "slot.json").read_text())
        self.assertEqual([rows[n]["status"] for n in ("mnist_gloro", "mnist_standard")], ["failed", "ended"], said)
        self.assertTrue(any("nonsense" in text for text in said), said)
        # Named again it begins anew; without names the next rows come, of data sets that are there.
        self.assertEqual(self.slot().run(["mnist_gloro"]), 0, self.log("mnist_gloro"))
        chosen = slot.next_rows(slots.list.values(), self.sources, 3600, DATA, ["mnist_gloro", "mnist_standard"])
        self.assertIn("cifar10_6c2f_standard", [entry.name for entry in chosen])
        mnist = self.folder / "mnist_alone"
        (mnist / "mnist").mkdir(parents=True)
        self.assertEqual({entry.data for entry in slot.next_rows(slots.list.values(), self.sources, 3600, mnist)}, {"mnist"})

    def test_parts_are_checked(self):
        for name in ("mnist_gloro", "mnist_standard"):
            run = self.room / name / "run"
            run.mkdir(parents=True)
            (run / "model.safetensors").write_bytes(os.urandom(9 << 20))
            (run / "checkpoints").mkdir()
            (run / "checkpoints" / "000001.safetensors").write_bytes(bytes(1 << 20))
            (self.room / name / "row.json").write_text(json.dumps({"epoch": 7}))
        slots, said = self.slot(), []
        slots.rows = {name: {"status": "ended", "epoch": 7} for name in ("mnist_gloro", "mnist_standard")}
        slots.bring_home()
        parts = sorted(self.out.glob("rows.tar.gz.*"))
        self.assertEqual(len(parts), 2)
        self.assertTrue(all(part.stat().st_size <= 16 << 20 for part in parts))
        collect = lambda: home.collect(self.out, self.runs, lambda text: said.append(text))
        self.assertEqual(collect(), ["mnist_gloro", "mnist_standard"])
        self.assertEqual(self.weights(self.runs, "mnist_gloro"), self.weights(self.room, "mnist_gloro"))
        self.assertFalse((self.runs / "mnist_gloro" / "run" / "checkpoints").exists())
        # Come again, unchanged: what was evaluated meanwhile stays, also where the folder was emptied in between.
        (self.runs / "mnist_gloro" / "evaluation-1-of-10").mkdir()
        shutil.rmtree(self.out)
        self.out.mkdir()
        slots.bring_home()
        self.assertEqual(collect(), ["mnist_gloro", "mnist_standard"])
        self.assertTrue((self.runs / "mnist_gloro" / "evaluation-1-of-10").exists())
        # A row that is further stays, and does not hold up the others; one that is less far makes room.
        for name, epoch in (("mnist_gloro", 8), ("mnist_standard", 6)):
            (self.runs / name / "row.json").write_text(json.dumps({"epoch": epoch, "status": "ended"}))
        self.assertEqual(collect(), ["mnist_standard"])
        self.assertIn("is further (8 epochs, ended)", said[-1])
        self.assertTrue((self.runs / "mnist_standard.before").exists())
        shutil.rmtree(self.runs)
        whole = parts[1].read_bytes()
        parts[1].write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        self.assertEqual(collect(), ["mnist_gloro"])
        self.assertIn("mnist_standard: not what was packed", said[-1])
        parts[0].unlink()
        with self.assertRaisesRegex(SystemExit, "lacks rows.tar.gz.1-of-2"):
            collect()

    def test_what_does_not_fit_stays_and_is_named(self):
        said = []
        slots = self.slot(say=lambda text, **_: said.append(text))
        for name in ("mnist_gloro", "mnist_standard"):
            (self.room / name / "run").mkdir(parents=True)
            (self.room / name / "run" / "model.safetensors").write_bytes(os.urandom(3 << 20))
        slots.rows = {name: {"status": "ended", "epoch": 7} for name in ("mnist_gloro", "mnist_standard")}
        before = slot.PART_MIB, slot.PARTS
        self.addCleanup(lambda: setattr(slot, "PART_MIB", before[0]) or setattr(slot, "PARTS", before[1]))
        slot.PART_MIB, slot.PARTS = 1, 4
        slots.bring_home()
        self.assertIn("mnist_standard: no room for it in 4 files", said[0])
        come = lambda: list(json.loads((self.out / "rows.json").read_text())["rows"])
        self.assertEqual(come(), ["mnist_gloro"])
        # The next time the other one goes first.
        slots.bring_home()
        self.assertEqual(come(), ["mnist_standard"])

    def test_names_that_are_none(self):
        with self.assertRaisesRegex(SystemExit, "no row mnist_glory; there are: mnist_gloro"):
            self.slot().run(["mnist_glory"])
        with self.assertRaisesRegex(SystemExit, "collect the row first"):
            home.evaluate("mnist_gloro", PROGRAM, self.runs, DATA, self.sources)


class Parcels(unittest.TestCase):
    def setUp(self):
        try:
            import numpy
        except ImportError:
            self.skipTest("no numpy")
        import cifar10_parcels

        self.np, self.tool = numpy, cifar10_parcels
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="parcels-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        piece, cifar10_parcels.PIECE = cifar10_parcels.PIECE, 30
        self.addCleanup(setattr, cifar10_parcels, "PIECE", piece)
        draw = numpy.random.default_rng(1)
        self.data = self.folder / "data"
        self.data.mkdir()
        for number, name in enumerate(cifar10_parcels.FILES):
            # Noise, flat images and the two ends of the range.
            records = draw.integers(0, 256, (100 + number, 3073), dtype=numpy.uint8)
            records[:, 0] %= 10
            records[3, 1:], records[4, 1:] = 0, 255
            records[5:9, 1:] = records[5:9, 1:] % 2 * 255
            (self.data / name).write_bytes(records.tobytes())

    def pack(self, **more):
        with contextlib.redirect_stdout(io.StringIO()):
            self.tool.pack(self.data, self.folder / "parcels", more.pop("mib", [1]), more.pop("test_images", 10000))
        return sorted((self.folder / "parcels").iterdir())

    def unpack(self):
        with contextlib.redirect_stdout(io.StringIO()):
            self.tool.unpack(self.folder / "parcels", self.folder / "back")
        return self.folder / "back" / "cifar-10-batches-bin"

    def test_there_and_back(self):
        parcels = self.pack()
        self.assertGreater(len(parcels), 1)
        self.assertTrue(all(path.stat().st_size <= 1 << 20 for path in parcels))
        back = self.unpack()
        for name in self.tool.FILES:
            self.assertEqual((back / name).read_bytes(), (self.data / name).read_bytes(), name)

    def test_only_some_test_images(self):
        self.pack(test_images=3)
        back = self.unpack()
        self.assertEqual((back / "test_batch.bin").read_bytes(), (self.data / "test_batch.bin").read_bytes()[: 3 * 3073])

    def test_what_is_wrong_is_said(self):
        parcels = self.pack()
        whole = parcels[0].read_bytes()
        for spoilt, told in ((whole[:-9], "cut off or damaged"), (whole[:-40] + bytes(40), "damaged; bring it again"), (b"x" * 99, "no parcel")):
            parcels[0].write_bytes(spoilt)
            with self.assertRaisesRegex(SystemExit, told):
                self.unpack()
        parcels[0].unlink()
        with self.assertRaisesRegex(SystemExit, "parcel 1 of"):
            self.unpack()
        (self.data / "test_batch.bin").write_bytes(bytes(5))
        with self.assertRaisesRegex(SystemExit, "cut off"):
            self.pack()


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
