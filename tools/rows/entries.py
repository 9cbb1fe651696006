"""The trainings that make rows of Table 2, in order of worth: settings, what was published, what a step takes, what they need.

    minutes = epochs * batches an epoch * milliseconds a step / 60,000 + the start

Published figures are those of the scripts' headers; milliseconds those of the table "Rows" in benches/NOTES.md."""
import dataclasses, functools, json, pathlib, re

SOURCES = pathlib.Path(__file__).resolve().parents[2]

# What a GPU slot of a quarter of an hour leaves for training: the machine's start and the transfers are taken off.
SLOT_MINUTES = 11.7
# The program's start, the engines of the convolutions, the first vectors; in seconds, by the numbers of what has run.
START_LOCAL, START_OTHER = 32, 12

# Training images, the radius of Table 2 as a script's setting.
IMAGES = {"mnist": (60000, "1.58"), "cifar10": (50000, "36/255")}
# Power-iteration vectors of one image: numbers before each layer that the store keeps.
VECTORS = {"mnist_4c3f": 48336, "cifar10_4c3f": 65024, "cifar10_6c2f": 113664}


@dataclasses.dataclass
class Entry:
    """One training. `epochs` of `published_epochs`; `settings` are those that differ from the script's."""

    name: str
    script: str
    method: str
    settings: dict
    epochs: int
    published_epochs: int
    published: tuple  # clean, PGD, certified, in per cent; () of what was not published
    after: str = ""  # the row that goes before it in the same slot
    ms: float = 0.0
    measured: bool = False
    images: int = 0
    batch: int = 256

    @property
    def data(self):
        return self.script.split("_")[0]

    @property
    def network(self):
        plain = {"4c3f": "4C3F", "6c2f": "6C2F"}[self.script.split("_", 1)[1]]
        return plain + {"auto_maxmin": ", MaxMin", "maxmin": ", MaxMin", "clipped_maxmin": ", clipped MaxMin"}.get(self.settings.get("activation"), "")

    @property
    def local(self):
        return self.method.startswith("local_lip")

    @property
    def bound(self):
        """What the published procedure certifies it by; a standard network by GloRo's, which costs least and gives nothing either."""
        return {"local_lip_g": "local", "local_lip_b": "local", "bcp": "global", "gloro": "ball", "standard": "ball", "lmt": "lmt", "ibp": "interval"}[self.method]

    @property
    def steps(self):
        return self.epochs * -(-self.images // self.batch)

    @property
    def minutes(self):
        return self.steps * self.ms / 60000 + (START_LOCAL if self.local else START_OTHER) / 60

    @property
    def vector_gb(self):
        """The store of vectors, which a checkpoint holds."""
        if not self.local:
            return 0.0
        width = 2 if self.data == "cifar10" else 4
        return self.images * VECTORS[self.script] * width / 1e9

    def with_settings(self, also):
        """The same with settings of the caller, which win."""
        number = lambda key, own: int(also.get(key, own)) or own
        found = dict(epochs=number("epochs", self.epochs), batch=number("batch", self.batch), images=number("train_limit", self.images))
        return dataclasses.replace(self, settings={**self.settings, **also}, **found)

    def arguments(self):
        """The settings as arguments of `workbench run`."""
        chosen = {"method": self.method, "precision": "tf32", **self.settings}
        return [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]


def _entry(sources, name, script, method, after="", **settings):
    text = (sources / "scripts" / f"{script}.rhai").read_text()
    epochs = int(re.search(r"\bepochs: (\d+)", text)[1])
    # Figures with MaxMin say so behind the method, where the paper has some; with another activation than that it is a variant of ours.
    activation = settings.get("activation", "")
    behind = r"\((?:clipped )?MaxMin\) " if activation == "auto_maxmin" else ""
    found = re.search(rf"\b{method} {behind}\s*([\d.]+) +/ +([\d.]+) +/ +([\d.]+)", text)
    if not found:
        raise SystemExit(f"rows: the header of scripts/{script}.rhai has no published figures for {method}")
    published = () if activation not in ("", "auto_maxmin") else tuple(map(float, found.groups()))
    return Entry(name, script, method, settings, int(settings.get("epochs", epochs)), epochs, published, after, images=IMAGES[script.split("_")[0]][0])


def entries(sources=SOURCES):
    """The list, with the milliseconds of the notes."""
    e = functools.partial(_entry, sources)
    found = [
        e("mnist_gloro", "mnist_4c3f", "gloro"),
        e("mnist_standard", "mnist_4c3f", "standard", "mnist_gloro"),
        e("mnist_bcp", "mnist_4c3f", "bcp"),
        e("mnist_lmt", "mnist_4c3f", "lmt"),
        # What fits at today's step; ramp and learning rate in proportion.
        e("mnist_local_lip_g", "mnist_4c3f", "local_lip_g", epochs=260, ramp=130),
        e("mnist_local_lip_b", "mnist_4c3f", "local_lip_b", epochs=260, ramp=130),
        e("cifar10_6c2f_standard", "cifar10_6c2f", "standard"),
        e("cifar10_6c2f_local_lip_b", "cifar10_6c2f", "local_lip_b"),
        e("cifar10_6c2f_gloro", "cifar10_6c2f", "gloro"),
        e("cifar10_6c2f_bcp", "cifar10_6c2f", "bcp"),
        e("cifar10_6c2f_local_lip_g", "cifar10_6c2f", "local_lip_g"),
        e("cifar10_6c2f_maxmin", "cifar10_6c2f", "local_lip_b", activation="auto_maxmin"),
        e("cifar10_4c3f_local_lip_b", "cifar10_4c3f", "local_lip_b"),
    ]
    times = step_times((sources / "benches" / "NOTES.md").read_text())
    for entry in found:
        if entry.name not in times:
            raise SystemExit(f"rows: benches/NOTES.md has no milliseconds for {entry.name}; add it to the table under \"### Rows\"")
        entry.ms, entry.measured = times[entry.name]
    return found


def short(sources=SOURCES):
    """Trainings for two cores, of an hour or two each: a twelfth of the published epochs, one a quarter."""
    e = functools.partial(_entry, sources)
    common = {"precision": "f32", "vectors": "f16", "late_iterations": 20, "look": 1000, "procedures": "[]"}
    return [
        e("mnist_short_local_lip_g", "mnist_4c3f", "local_lip_g", epochs=24, ramp=12, **common),
        e("mnist_short_gloro", "mnist_4c3f", "gloro", epochs=72, ramp=36, **common),
        e("mnist_short_maxmin", "mnist_4c3f", "local_lip_g", epochs=24, ramp=12, activation="clipped_maxmin", **common),
        e("mnist_short_bcp", "mnist_4c3f", "bcp", epochs=24, ramp=12, **common),
    ]


def named(sources=SOURCES):
    """All of them, by name."""
    return {entry.name: entry for entry in entries(sources) + short(sources)}


def epochs_done(entry, sources):
    """Of a row whose results are kept; 0 of one that has not run."""
    path = pathlib.Path(sources) / "docs" / "results" / f"{entry.name}.json"
    return json.loads(path.read_text())["epochs"] if path.exists() else 0


def step_times(notes):
    """Milliseconds a step by row, and whether they were measured, from the table under "### Rows"."""
    part = notes.split("### Rows", 1)[-1].split("\n#", 1)[0]
    rows = re.findall(r"^\| (\w+) \| ([\d.]+) \| (measured|estimated)\b", part, re.M)
    return {name: (float(ms), how == "measured") for name, ms, how in rows}
