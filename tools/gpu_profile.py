#!/usr/bin/env python3
"""gpu_profile.py FILE.csv [ROWS]: a step's time and memory traffic by kernel, from what Nsight Compute wrote.

    ncu --clock-control none --csv --print-units base --log-file FILE.csv \\
        --metrics gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum PROGRAM ...

A step is what lies between two launches of the optimizer's kernel; of several steps, the last whole one counts. Rows are by kernel and
grid, and a second table by the number of blocks: launches of few blocks are the ones on a single image or vector."""
import collections, csv, re, sys

path, shown = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40
lines = [line for line in open(path) if line.startswith('"')]
launches = {}
for row in csv.DictReader(lines):
    launch = launches.setdefault(row["ID"], dict(name=row["Kernel Name"], grid=row.get("Grid Size", ""), metrics={}))
    launch["metrics"][row["Metric Name"]] = float(row["Metric Value"].replace(",", ""))
launches = list(launches.values())
ends = [k for k, launch in enumerate(launches) if "adam" in launch["name"].lower()]
ends = [k for k, following in zip(ends, ends[1:] + [None]) if following != k + 1]
step = launches[ends[-2] + 1 : ends[-1] + 1] if len(ends) > 1 else launches

def short(name):
    name = name.replace("void ", "").split("(")[0]
    return name if len(name) <= 64 else name[:40] + "…" + name[-23:]

def blocks(grid):
    found = 1
    for size in re.findall(r"\d+", grid): found *= int(size)
    return found

def summed(key):
    rows = collections.defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    for launch in step:
        row, metrics = rows[key(launch)], launch["metrics"]
        row[0] += 1
        for place, name in enumerate(("gpu__time_duration.sum", "dram__bytes_read.sum", "dram__bytes_write.sum"), 1):
            row[place] += metrics.get(name, 0)
    return rows

rows = summed(lambda launch: (short(launch["name"]), blocks(launch["grid"])))
total = [sum(row[k] for row in rows.values()) for k in range(4)]
print(f"{'kernel':64} {'blocks':>7} {'number':>6} {'us':>8} {'share':>6} {'read MB':>8} {'written':>8} {'TB/s':>5}")
rate = lambda row: (row[2] + row[3]) / row[1] / 1e3 if row[1] else 0
for (name, size), row in sorted(rows.items(), key=lambda item: -item[1][1])[:shown]:
    print(f"{name:64} {size:7} {row[0]:6} {row[1] / 1e3:8.1f} {row[1] / total[1] * 100:5.1f}% {row[2] / 1e6:8.1f} {row[3] / 1e6:8.1f} {rate(row):5.2f}")
print(f"{'all' if len(ends) > 1 else 'all launches seen, not a step':64} {'':7} {total[0]:6} {total[1] / 1e3:8.1f}        {total[2] / 1e6:8.1f} {total[3] / 1e6:8.1f} {rate(total):5.2f}")
for most, row in sorted(summed(lambda launch: next(most for most in (16, 132, 1056, float("inf")) if blocks(launch["grid"]) <= most)).items()):
    print(f"launches of {'more' if most == float('inf') else f'at most {most}'} blocks: {row[0]}, {row[1] / 1e3:.1f} us, {row[1] / total[1] * 100:.1f} %")
