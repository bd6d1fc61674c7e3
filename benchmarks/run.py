"""How fast the emulator is on this computer: ``python benchmarks/run.py [--json FILE|-]``.

Wall time of three runs with values, and each as a ratio to a numpy float32 matmul of 4096^3 that
is timed in the same process, so that figures of different computers can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import presil
from tools.text import count, seconds

YARDSTICK = 4096
RUNS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("matmul 640x640x640 int8", "matmul", {"dtype": "int8", "m": 640, "n": 640, "k": 640}),
    ("matmul 1x4096x4096 e4m3", "matmul", {"dtype": "e4m3", "m": 1, "n": 4096, "k": 4096}),
    ("attention, real tensors, bf16", "attention", {"dtype": "bf16"}),
)


def yardstick() -> float:
    """Seconds of the numpy matmul, the better of two."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((YARDSTICK, YARDSTICK), dtype=np.float32) for _ in range(2))
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return best


def measure(repeat: int) -> dict[str, Any]:
    """All figures as plain data."""
    base = yardstick()
    rows = []
    for name, kernel, arguments in RUNS:
        reports = [presil.run(kernel, check=False, **arguments) for _ in range(repeat)]
        wall = min(report.wall_s for report in reports)
        macs = presil.kernels("lpu")[kernel].macs(reports[0].shape)
        rows.append({
            "name": name, "engine": "step", "chip": reports[0].chip, "cycles": reports[0].cycles,
            "wall_s": wall, "ratio": wall / base, "macs_per_s": macs / wall,
            "peak_rss_bytes": reports[-1].peak_rss_bytes,
        })  # fmt: skip
    return {
        "schema": 1,
        "host": {"cpus": os.cpu_count(), "machine": platform.machine(), "numpy": np.__version__},
        "yardstick": {"name": f"numpy float32 matmul {YARDSTICK}^3", "wall_s": base},
        "runs": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE|-", help="write JSON instead of the table")
    parser.add_argument("--repeat", type=int, default=2, help="take the best of so many runs; 2")
    chosen = parser.parse_args()
    figures = measure(chosen.repeat)
    text = json.dumps(figures, indent=2)
    if chosen.json == "-":
        print(text)
        return
    if chosen.json:
        Path(chosen.json).write_text(text + "\n")
    base = figures["yardstick"]
    print(f"{base['name']}: {seconds(base['wall_s'])} on {figures['host']['cpus']} CPUs\n")
    print(f"{'step engine, with values':32} {'cycles':>12} {'wall':>10} {'ratio':>8} {'MAC/s':>10}")
    for row in figures["runs"]:
        print(
            f"{row['name']:32} {count(row['cycles']):>12} {seconds(row['wall_s']):>10}"
            f" {row['ratio']:8.2f} {row['macs_per_s']:10.3g}"
        )


if __name__ == "__main__":
    sys.exit(main())
