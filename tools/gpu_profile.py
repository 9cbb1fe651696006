#!/usr/bin/env python3
"""gpu_profile.py FILE.csv [ROWS]: a step's time and memory traffic by kernel, from what Nsight Compute wrote.

    ncu --clock-control none --csv --print-units base --log-file FILE.csv \\
        --metrics gpu__time_duration.sum,dram__bytes_read.sum,dram__bytes_write.sum PROGRAM ...

A step is what lies between two launches of the optimizer's kernel; of several steps, the last whole one counts."""
import collections, csv, sys

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

rows = collections.defaultdict(lambda: [0, 0.0, 0.0, 0.0])
for launch in step:
    row, metrics = rows[short(launch["name"])], launch["metrics"]
    row[0] += 1
    row[1] += metrics.get("gpu__time_duration.sum", 0)
    row[2] += metrics.get("dram__bytes_read.sum", 0)
    row[3] += metrics.get("dram__bytes_write.sum", 0)
total = [sum(row[k] for row in rows.values()) for k in range(4)]
print(f"{'kernel':64} {'number':>6} {'us':>8} {'share':>6} {'read MB':>8} {'written':>8} {'TB/s':>5}")
rate = lambda row: (row[2] + row[3]) / row[1] / 1e3 if row[1] else 0
for name, row in sorted(rows.items(), key=lambda item: -item[1][1])[:shown]:
    print(f"{name:64} {row[0]:6} {row[1] / 1e3:8.1f} {row[1] / total[1] * 100:5.1f}% {row[2] / 1e6:8.1f} {row[3] / 1e6:8.1f} {rate(row):5.2f}")
print(f"{'all' if len(ends) > 1 else 'all launches seen, not a step':64} {total[0]:6} {total[1] / 1e3:8.1f}        {total[2] / 1e6:8.1f} {total[3] / 1e6:8.1f} {rate(total):5.2f}")
