"""Rows of the paper's Table 2 at full size, a slot of a GPU at a time.

    python3 tools/rows --plan                    the list: minutes, what fits, what is needed
    python3 tools/rows train [NAME ...]          on the GPU machine (tools/gpu_check.sh rows): as many as SLOT_SECONDS allow
    python3 tools/rows home FOLDER               what came back: put together, evaluated, recorded, written into docs/results.md
    python3 tools/rows evaluate NAME ...         the same for rows that are there: goes on where it stopped
    python3 tools/rows short [NAME ...]          short trainings on this machine's processor; stopped and called again they go on
    python3 tools/rows write                     docs/results.md from docs/results/*.json"""
import argparse, os, pathlib, signal, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import entries, here, home, plan, results, slot


def main():
    p = argparse.ArgumentParser(prog="rows", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", nargs="?", default="plan", choices=["plan", "train", "home", "evaluate", "short", "write"])
    p.add_argument("names", nargs="*", help="rows; for home the folder that has come back")
    p.add_argument("--plan", action="store_true", help="print the list")
    p.add_argument("--program", default="target/release/workbench")
    p.add_argument("--data", default=os.environ.get("DATA") or os.environ.get("WORKBENCH_DATA"), help="the folder of the data sets")
    p.add_argument("--seconds", type=float, default=float(os.environ.get("SLOT_SECONDS", 570)), help="of this command")
    p.add_argument("--stop", action="store_true", default=os.environ.get("SLOT_DETACH") == "0", help="stop a training in time for its checkpoint, and do not leave it running (SLOT_DETACH=0)")
    p.add_argument("--device", default="cuda")
    p.add_argument("--room", help="where trainings lie between two commands")
    p.add_argument("--out", default="gpu_check.out", help="what comes home")
    p.add_argument("--runs", default="runs/rows", help="where rows are kept at home")
    p.add_argument("--sources", default=str(entries.SOURCES), help=argparse.SUPPRESS)
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another value of a setting of every training")
    p.add_argument("--limit", type=int, default=0, help="evaluate only the first so many test images")
    p.add_argument("--without-rigorous", action="store_true")
    a = p.parse_args()
    sources = pathlib.Path(a.sources)
    if a.plan or a.what == "plan":
        print(plan.plan(sources))
        return 0
    if a.what == "train":
        room = pathlib.Path(a.room) if a.room else slot.free_room()
        also = dict(pair.split("=", 1) for pair in a.set)
        slots = slot.Slot(a.program, sources, room, a.out, a.seconds, a.device, a.data, also, not a.stop)
        for asked in (signal.SIGINT, signal.SIGTERM):
            signal.signal(asked, slots.stop)
        return slots.run(a.names)
    if a.what == "short":
        here.train(a.names, a.program, a.runs, a.data, sources, [pair.split("=", 1) for pair in a.set])
        return 0
    if a.what == "home":
        if len(a.names) != 1:
            raise SystemExit("rows: home wants the folder that has come back")
        names = home.collect(a.names[0], a.runs)
    elif a.what == "evaluate" and not a.names:
        raise SystemExit("rows: evaluate which? " + " ".join(sorted(path.parent.name for path in pathlib.Path(a.runs).glob("*/run"))))
    else:
        names = a.names
    for name in names:
        if a.what != "write":
            home.evaluate(name, a.program, a.runs, a.data, sources, a.limit, rigorous=not a.without_rigorous)
        print(results.record(name, a.runs, sources))
    print(results.write(sources))
    return 0


try:
    sys.exit(main())
except BrokenPipeError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
