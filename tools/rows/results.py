"""`docs/results.md`: tables of the rows, from the runs' own records, published figures beside ours.

A row's figures are kept in docs/results/NAME.json, taken from the run folders of its training and its evaluations; the tables between
the marks are written anew from those, and what has not run is listed. No figure is written by hand."""
import json, pathlib, textwrap

import entries, home, slot

BEGIN, END = "<!-- rows: written by tools/rows -->", "<!-- rows: end -->"


def record(name, runs, sources=entries.SOURCES):
    """Take a row's figures from its runs into docs/results; of one whose training is no longer here those of the training stay. Gives the
    path."""
    row = pathlib.Path(runs) / name
    entry = entries.named(sources)[name]
    path = pathlib.Path(sources) / "docs" / "results" / f"{name}.json"
    found = trained(row, entry) if (row / "run" / "run.json").exists() else {**json.loads(path.read_text()), "evaluations": {}}
    evaluated(row, found)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n")
    return path


def trained(row, entry):
    """What the training's own folder says."""
    run = json.loads((row / "run" / "run.json").read_text())
    told = json.loads((row / "row.json").read_text()) if (row / "row.json").exists() else {}
    settings = {s["key"]: json.loads(s["value"]) for s in run["settings"]}
    at = slot.progress(row / "run", entry)
    given = {s["key"]: s["value"] for s in run["settings"] if s["given"] and s["key"] not in ("procedures", "test_limit")}
    command = " ".join(["workbench run", run["script"], "--device", run["device"].split(":")[0], *(f"--set {k}={v.strip(chr(34))}" for k, v in given.items())])
    found = {
        "row": entry.name, "epochs": at["epoch"], "epochs_asked": settings["epochs"], "epochs_published": entry.published_epochs,
        "ramp": settings["ramp"], "batch": settings["batch"], "precision": run["precision"], "hardware": told.get("hardware", run["device"]),
        "minutes": round(at["seconds"] / 60, 1), "ms": at["ms"], "seed": run["seed"], "command": command, "began": run["sittings"][0]["began"][:10],
        "workbench": run["versions"]["workbench"], "evaluations": {},
    }
    looks = [result for result in run["results"] if result.get("evaluation") == "look"]
    if looks:
        found["look"] = {"claimed": at["certified"], "iterations": settings["late_iterations"] or settings["iterations"], **looks[-1]}
    return found


def evaluated(row, found):
    """What the evaluations that have ended come to."""
    # Evaluations of all test images, or where there are none of the first ones.
    kinds = ["", *sorted({path.name.split("-")[1] for path in row.glob("first-*")}, key=int)]
    shards = lambda kind: [part for part in map(home.ended, row.glob(f"{kind}evaluation-*-of-*")) if part]
    kind = next((kind for kind in (f"first-{n}-" if n else "" for n in kinds) if shards(kind) or home.ended(row / f"{kind}rigorous")), "")
    ended = shards(kind)
    for result in (result for part in ended for result in part["results"]):
        sums = found["evaluations"].setdefault(result["procedure"], {"images": 0, "clean": 0, "pgd": 0, "certified": 0, "unconverged": 0})
        sums["images"] += result["images"]
        sums["unconverged"] += result["unconverged"]
        for key in ("clean", "pgd", "certified"):
            sums[key] += round(result[key] * result["images"])
    rigorous = home.ended(row / f"{kind}rigorous")
    if rigorous and rigorous["results"]:
        result = rigorous["results"][0]
        found["evaluations"]["rigorous"] = {"images": result["images"], **{key: round(result[key] * result["images"]) for key in ("clean", "pgd", "certified")}}


def share(counts, key):
    return f"{100 * counts[key] / counts['images']:.1f}" if counts and counts["images"] else ""


def table(listed, records):
    """The rows of one data set."""
    lines = ["| row | | clean % | PGD % | certified %: published | exact | rigorous | images |", "|---|---|---|---|---|---|---|---|"]
    for entry in listed:
        if entry.published:
            clean, pgd, certified = entry.published
            lines.append(f"| {entry.network}, {entry.method} | published | {clean} | {pgd} | {certified} | | | 10,000 |")
        name = "" if entry.published else f"{entry.network}, {entry.method}"
        found = records.get(entry.name)
        if not found:
            lines.append(f"| {name}{' ' * bool(name)}| here | not run | | | | | |")
            continue
        by = found["evaluations"]
        published, exact, rigorous = by.get("published"), by.get("exact"), by.get("rigorous")
        any_ = published or exact or rigorous or {"images": 0}
        pgd = " / ".join(share(counts, "pgd") for counts in (published, exact) if counts)
        images = sorted({counts["images"] for counts in by.values()})
        said = " / ".join(f"{n:,}" for n in images) if images else "not evaluated"
        lines.append(f"| {name}{' ' * bool(name)}| here | {share(any_, 'clean')} | {pgd} | {share(published, 'certified')} | {share(exact, 'certified')} | {share(rigorous, 'certified')} | {said} |")
    return lines


def how(records):
    lines = ["| row | epochs | precision | hardware | minutes | ms a step | seed | began |", "|---|---|---|---|---|---|---|---|"]
    for found in records.values():
        of = f"{found['epochs']} of {found['epochs_published']}" if found["epochs"] != found["epochs_published"] else f"{found['epochs']}"
        if found["epochs_asked"] != found["epochs_published"]:
            of += f" (schedule of {found['epochs_asked']}, ramp {found['ramp']})"
        lines.append(f"| {found['row']} | {of} | {found['precision']} | {found['hardware']} | {found['minutes']} | {found['ms']} | {found['seed']} | {found['began']} |")
    return lines


def looks(records):
    """What training said of itself: in its last epoch, and at its end on some of its images, beside a converged bound on the same."""
    lines = ["| row | iterations | last epoch, all images % | own bound at the end % | converged % | images |", "|---|---|---|---|---|---|"]
    percent = lambda share: "" if share is None else f"{100 * share:.1f}"
    for found in records.values():
        if look := found.get("look"):
            lines.append(f"| {found['row']} | {look['iterations']} | {percent(look['claimed'])} | {percent(look['certified/own'])} | {percent(look['certified/converged'])} | {look['images']:,} |")
    return lines


def kept(listed, sources):
    folder = pathlib.Path(sources) / "docs" / "results"
    return {entry.name: json.loads(path.read_text()) for entry in listed if (path := folder / f"{entry.name}.json").exists()}


def page_of_short(sources):
    """Short recipes, in the same form, and what training's own estimate was worth."""
    listed = entries.short(sources)
    records = kept(listed, sources)
    if not records:
        return []
    return [
        "### MNIST by short recipes on a processor", "", *table(listed, records), "", *how(records), "",
        *(f"    {found['command']}" for found in records.values()), "",
        "Training's own certified accuracy at its radius, 1.75, on training images: of the last epoch, while the weights move; at its end;",
        "and by a converged bound.", "", *looks(records), "",
    ]


def page(sources=entries.SOURCES):
    """What stands between the marks."""
    listed = entries.entries(sources)
    records = kept(listed, sources)
    lines = [BEGIN, ""]
    for data, title in (("mnist", "MNIST, eps 1.58"), ("cifar10", "CIFAR-10, eps 36/255")):
        rows = [entry for entry in listed if entry.data == data]
        lines += [f"### {title}", "", *table(rows, records), ""]
    lines += [
        "PGD: by the published attack / by the strong one (five restarts on the margin). `published` and `exact` are estimates by power",
        "iteration to 1e-3; `rigorous` is a proof. A standard network is certified by global norms.", "",
        "### How they were trained", "", *how(records), "", *(f"    {found['command']}" for found in records.values()), "",
        *textwrap.wrap("Not run: " + (", ".join(entry.name for entry in listed if entry.name not in records) or "none") + ".", 130), "", *page_of_short(sources), END,
    ]
    return "\n".join(lines)


def write(sources=entries.SOURCES):
    """Write the tables into docs/results.md, between the marks."""
    path = pathlib.Path(sources) / "docs" / "results.md"
    text = path.read_text()
    if BEGIN not in text or END not in text:
        raise SystemExit(f"rows: {path} has no marks; put these two lines where the tables belong:\n{BEGIN}\n{END}")
    before, rest = text.split(BEGIN, 1)
    path.write_text(before + page(sources) + rest.split(END, 1)[1])
    return path
