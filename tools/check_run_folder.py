#!/usr/bin/env python3
"""Do other people's programs read what a run writes? A small run, then

- TensorBoard's own reader on its event files, pandas on metrics.jsonl and metrics.csv: all three must say the same;
- report.html, or any other page of ours, in a headless Chromium without a network: nothing is requested, no text overflows, overlaps or
  is cut off, on a wide screen, a narrow one, in dark and in print. Screenshots are kept, to be looked at.

Needs Python 3.9 with `pip install tensorboard pandas "setuptools<81"`, Chromium (apt install chromium), and the built program:

    cargo build --release
    python3 tools/check_run_folder.py [--keep FOLDER] [--chromium PROGRAM] [--run RUN]
    python3 tools/check_run_folder.py --page compare.html runs/sweep-.../report.html docs/index.html     pages alone
"""

import argparse, base64, json, math, os, pathlib, shutil, struct, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent.parent
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe""".split()
WAYS = [("wide", 1280, 900, "light"), ("dark", 1280, 900, "dark"), ("middle", 768, 900, "light"), ("narrow", 360, 740, "light")]

# What is wrong with the page, as a list of texts. Run in the page.
LOOK = """(() => {
  const wrong = [], box = e => e.getBoundingClientRect(), name = e => e.tagName + ' "' + e.textContent.trim().slice(0, 40) + '"';
  const page = document.documentElement, auto = e => ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
  const scrolls = e => { for (; e && e != page; e = e.parentElement) if (auto(e)) return true; return false; };
  if (page.scrollWidth > page.clientWidth) wrong.push(`the page is ${page.scrollWidth} wide on ${page.clientWidth}`);
  for (const e of document.querySelectorAll('main *:not(svg *)')) {
    if (scrolls(e) || e.tagName == 'svg') continue;                  // wide tables and lines of code scroll by themselves
    if (box(e).right > page.clientWidth + 1) wrong.push(name(e) + ' leaves the page');
    if (e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0) wrong.push(name(e) + ' overflows');
  }
  for (const cell of document.querySelectorAll('td, th'))
    if (cell.scrollWidth > cell.clientWidth + 1) wrong.push(name(cell) + ' overflows its cell');
  for (const svg of document.querySelectorAll('svg')) {
    const outer = box(svg), texts = [...svg.querySelectorAll('text')];
    for (const t of texts) {
      const b = box(t);
      if (b.left < outer.left - 1 || b.right > outer.right + 1 || b.top < outer.top - 1 || b.bottom > outer.bottom + 1)
        wrong.push(name(t) + ' leaves its plot');
    }
    for (let i = 0; i < texts.length; i++) for (let j = 0; j < i; j++) {
      const a = box(texts[i]), b = box(texts[j]);
      const w = Math.min(a.right, b.right) - Math.max(a.left, b.left), h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (w > 1 && h > 3) wrong.push(name(texts[i]) + ' lies on ' + name(texts[j]));
    }
  }
  // The documentation's search field is one.
  if (document.querySelector('script') && !document.querySelector('input')) wrong.push('the page has a script');
  return JSON.stringify({ wrong, height: page.scrollHeight, plots: document.querySelectorAll('svg').length });
})()"""


class Browser:
    """Chromium over the pipe of its DevTools protocol."""

    def __init__(self, program, folder):
        (self.there, out), (inn, self.back) = os.pipe(), os.pipe()
        def place():
            # Through copies, since 3 and 4 may be the very ends of these pipes.
            a, b = os.dup(inn), os.dup(out)
            os.dup2(a, 13), os.dup2(b, 14)
            os.dup2(13, 3), os.dup2(14, 4)
        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=place, close_fds=False, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.close(out), os.close(inn)
        self.number, self.rest, self.events, self.session = 0, b"", [], None

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.back, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait(self, method):
        while not any(e.get("method") == method for e in self.events):
            self.events.append(self.read())
        self.events = [e for e in self.events if e.get("method") != method]

    def read(self):
        while b"\0" not in self.rest:
            more = os.read(self.there, 1 << 20)
            if not more:
                sys.exit("the browser has ended")
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, path):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Network", "Log", "Runtime"]:
            self.call(f"{domain}.enable")
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        self.wait("Page.loadEventFired")

    def close(self):
        self.process.terminate()
        self.process.wait()
        # The next one's pipes are 3 and 4 again.
        os.close(self.there), os.close(self.back)


def look(page, out, program):
    """Open a page; the faults that were found."""
    faults = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        browser.open(page.resolve())
        for name, width, height, scheme in WAYS:
            browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
            browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            for opened in ["false", "true"]:
                browser.call("Runtime.evaluate", expression=f"document.querySelectorAll('details').forEach(d => d.open = {opened})")
                found = json.loads(browser.call("Runtime.evaluate", expression=LOOK)["result"]["value"])
                faults += [f"{name}{', unfolded' if opened == 'true' else ''}: {w}" for w in found["wrong"]]
                if opened == "false":
                    clip = {"x": 0, "y": 0, "width": width, "height": found["height"], "scale": 1}
                    shot = browser.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
                    (out / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
            print(f"{page.name}, {name}: {width} wide, {found['plots']} plots, {len(found['wrong'])} faults")
        browser.call("Runtime.evaluate", expression="document.querySelectorAll('details').forEach(d => d.open = false)")
        browser.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "light"}])
        (out / "print.pdf").write_bytes(base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"]))
        for event in browser.events:
            params = event.get("params", {})
            if event.get("method") == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("file:", "data:")):
                faults.append(f"a request: {params['request']['url']}")
            if event.get("method") in ["Log.entryAdded", "Runtime.exceptionThrown"]:
                faults.append(f"the browser says: {json.dumps(params)[:300]}")
        browser.close()
    return faults


def read(run):
    """TensorBoard, pandas and the lines themselves; the faults that were found."""
    import pandas
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    faults = []
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    fixed = ["loop", "window", "epoch", "batch", "step", "seconds"]

    expected = {}
    for row in rows:
        group = "/".join(filter(None, [row["loop"], "epoch" if row["window"] == "epoch" else "batches"]))
        for key, value in row.items():
            if key not in fixed:
                expected.setdefault(f"{group}/{key}", []).append((row["step"], struct.unpack("f", struct.pack("f", value))[0]))
    events = EventAccumulator(str(run / "events"), size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    if sorted(tags) != sorted(expected):
        faults.append(f"TensorBoard has other tags: {sorted(set(tags) ^ set(expected))}")
    for tag in tags:
        if [(e.step, e.value) for e in events.Scalars(tag)] != expected.get(tag):
            faults.append(f"TensorBoard reads other values of {tag}")

    epochs = [row for row in rows if row["window"] == "epoch"]
    table = pandas.read_csv(run / "metrics.csv")
    lines = pandas.read_json(run / "metrics.jsonl", lines=True)
    lines = lines[lines["window"] == "epoch"].reset_index(drop=True)
    for name, frame in [("metrics.csv", table), ("metrics.jsonl", lines)]:
        if len(frame) != len(epochs):
            faults.append(f"pandas reads {len(frame)} epochs in {name}, there are {len(epochs)}")
        for i, row in enumerate(epochs):
            for key in set().union(*epochs) - {"window"}:
                got, want = frame.loc[i].get(key), row.get(key)
                same = got == want if isinstance(want, str) else (
                    pandas.isna(got) if want is None else math.isclose(got, want, rel_tol=1e-12))
                if not same:
                    faults.append(f"pandas reads {key} = {got} in row {i} of {name}, the run has {want}")
    print(f"{len(rows)} rows, {len(epochs)} epochs, {len(tags)} tags, {len(table.columns)} columns")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path, help="where run and screenshots stay")
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome") or "chromium")
    parser.add_argument("--run", type=pathlib.Path, help="look at this run instead of making one")
    parser.add_argument("--page", type=pathlib.Path, nargs="+", help="look at these pages, and at nothing else")
    given = parser.parse_args()
    out = given.keep or pathlib.Path(tempfile.mkdtemp(prefix="check_run_folder-"))
    out.mkdir(parents=True, exist_ok=True)
    if given.page:
        faults = []
        for i, page in enumerate(given.page):
            (out / str(i)).mkdir(exist_ok=True)
            faults += look(page, out / str(i), given.chromium)
        return end(out, faults)
    run = given.run
    if run is None:
        run = out / "run"
        shutil.rmtree(run, ignore_errors=True)
        command = [HERE / "target/release/workbench", "run", HERE / "scripts/quickstart.rhai", "--into", run, "--window", "7",
                   "--set", "epochs=6", "--set", "ramp=3", "--set", "eps=[0.1]"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    end(out, read(run) + look(run / "report.html", out, given.chromium))


def end(out, faults):
    print(f"screenshots: {out}")
    for fault in faults:
        print(f"FAULT {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
