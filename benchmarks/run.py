"""How fast the emulator is on this computer: ``python benchmarks/run.py [ROW...] [--json FILE|-]``.

Every row of `rows.py` runs in a process of its own, in turn with numpy's float32 and float64 matmul
of 4096^3 as yardsticks, which make figures of different computers comparable; the best of each
counts. ROW: part of a row's name. What is timed is `Machine.run`: events, values and
the account of every cycle; building the program and encoding the inputs stand in their own column.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rows import ROWS, Row

from emulator.host import host_threads
from isa.collector import no_collection
from tools.jobs import Request, open_job
from tools.machines import machine
from tools.text import count, seconds

YARDSTICK = 4096
COLUMNS = (
    "                                    cycles       wall   x F32   x F64   limit    MAC/s"
    "  cycles/s   warps/s    memory"
)


Figures = dict[str, Any]


def timed(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


class Yardsticks:
    """numpy's matmuls, timed once at each call; the best of all of them counts."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.pairs = {
            name: [rng.standard_normal((YARDSTICK, YARDSTICK)).astype(dtype) for _ in range(2)]
            for name, dtype in (("f32", np.float32), ("f64", np.float64))
        }
        self.best = dict.fromkeys(self.pairs, float("inf"))

    def __call__(self) -> None:
        for name, (a, b) in self.pairs.items():
            self.best[name] = min(self.best[name], timed(lambda a=a, b=b: a @ b)[0])


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def in_process(row: Row) -> tuple[Callable[[], Figures], Figures]:
    """A measurement of `Machine.run`, and what was found on the way there."""
    request = Request(
        target=row.kernel, chip=row.chip, dtype=row.dtype, settings=row.sizes, mode=row.mode,
        overrides=row.changed,
    )  # fmt: skip
    job = open_job(request)
    with no_collection():  # as `presil run` builds
        build_s, program = timed(job.program)
    encode_s, tensors = timed(lambda: job.encode().tensors if job.needs_values(row.mode) else {})
    fresh = machine(job.chip).Machine
    kept = fresh(job.chip)

    def once() -> Figures:
        # A machine remembers the times of the last program: nothing would be left of timing.
        runner = fresh(job.chip) if row.mode == "timing" else kept
        cpu = time.process_time()
        wall, result = timed(lambda: runner.run(program, tensors, mode=row.mode))
        cpu = time.process_time() - cpu
        warps = sum(unit.busy for unit in result.units if unit.name == "simt.scheduler")
        return {
            "cycles": result.cycles, "wall_s": wall, "cpu_s": cpu,
            "cycles_per_s": result.cycles / wall,
            "macs_per_s": job.macs() / wall if job.macs() else None,
            "warp_instructions_per_s": warps / wall if warps else None,
            "peak_rss_bytes": peak_bytes(),
        }  # fmt: skip

    return once, {"build_s": build_s, "encode_s": encode_s}


def whole_process(row: Row) -> tuple[Callable[[], Figures], Figures]:
    """A measurement of `presil run` from the shell, beyond what `presil chips` takes."""
    presil = [sys.executable, "-m", "tools.cli"]
    command = [*presil, "run", row.kernel, "--chip", row.chip, "--json", "-"]
    command += ["--dtype", row.dtype] if row.dtype else []
    for name, value in row.changed.items():
        command += ["--with", f"{name}={value}"]
    for name, value in row.sizes.items():
        command += ["--set", f"{name}={value}"]

    def shell(words: list[str]) -> str:
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    def once() -> Figures:
        wall, text = timed(lambda: shell(command))
        empty, _ = timed(lambda: shell([*presil, "chips"]))
        report = json.loads(text)
        return {
            "cycles": report["cycles"], "wall_s": wall - empty, "process_s": wall,
            "cycles_per_s": report["cycles"] / wall, "macs_per_s": None,
            "warp_instructions_per_s": None, "peak_rss_bytes": report["host"]["peak_rss_bytes"],
        }  # fmt: skip

    return once, {}


def measure(row: Row, repeat: int) -> Figures:
    """One row: workload and yardsticks in turn, so that other work on the computer meets both."""
    once, found = (whole_process if row.process else in_process)(row)
    runs = [once()]
    base = Yardsticks()
    base()
    for _ in range(repeat - 1):
        runs.append(once())
        base()
    peak = runs[0]["peak_rss_bytes"]  # the yardsticks are in the others'
    found = {**found, **min(runs, key=lambda run: run["wall_s"]), "peak_rss_bytes": peak}
    wall = found["wall_s"]
    return {
        "name": row.name, "kernel": row.kernel, "chip": row.chip, "dtype": row.dtype,
        "mode": row.mode, "sizes": row.sizes, "process": row.process, **found,
        "yardsticks_s": base.best, "ratio_f32": wall / base.best["f32"],
        "ratio_f64": wall / base.best["f64"],
        "limit": {"yardstick": row.limit[0], "times": row.limit[1]} if row.limit else None,
        "within": wall <= row.limit[1] * base.best[row.limit[0]] if row.limit else None,
    }  # fmt: skip


def host() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    return {
        "cpus": host_threads(), "machine": platform.machine(), "processor": _processor(),
        "numpy": np.__version__, "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE"),
    }  # fmt: skip


def _processor() -> str:
    """The CPU's name where the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    limit = row["limit"]
    bound = f"{limit['times']:g} {limit['yardstick'].upper()}" if limit else ""
    mark = "" if row["within"] is None else "  " if row["within"] else " !"
    rate = [f"{row[k]:.3g}" if row[k] else "" for k in
            ("macs_per_s", "cycles_per_s", "warp_instructions_per_s")]  # fmt: skip
    return (
        f"{row['name']:34}{count(row['cycles']):>9} {seconds(row['wall_s']):>10}"
        f" {row['ratio_f32']:7.2f} {row['ratio_f64']:7.2f} {bound + mark:>9}"
        f" {rate[0]:>8} {rate[1]:>9} {rate[2]:>9} {row['peak_rss_bytes'] / 1e6:6.0f} MB"
    )


def child(row: Row, repeat: int) -> dict[str, Any]:
    """A row in a fresh process, so that its peak memory is its own."""
    words = [sys.executable, __file__, "--child", row.name, "--repeat", str(repeat)]
    found: dict[str, Any] = json.loads(
        subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only rows with this in their name")
    parser.add_argument("--json", metavar="FILE|-", help="write JSON, to FILE beside the table")
    parser.add_argument("--repeat", type=int, default=3, help="take the best of so many runs; 3")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(measure(next(r for r in ROWS if r.name == chosen.child), chosen.repeat)))
        return
    rows = [r for r in ROWS if not chosen.rows or any(word in r.name for word in chosen.rows)]
    quiet = chosen.json == "-"
    if not quiet:
        print(f"{host()['processor']}, {host()['cpus']} CPUs; F32, F64: numpy {YARDSTICK}^3\n")
        print(COLUMNS)
    found = []
    for row in rows:
        found.append(child(row, chosen.repeat))
        if not quiet:
            print(line(found[-1]), flush=True)
    text = json.dumps({"schema": 2, "host": host(), "runs": found}, indent=2)
    if quiet:
        print(text)
    elif chosen.json:
        Path(chosen.json).write_text(text + "\n")


if __name__ == "__main__":
    main()
