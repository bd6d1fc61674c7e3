"""Twice the work, how much more time: ``python benchmarks/scaling.py [CASE...] [--json FILE]``.

A matmul grows from 1024^3 by doubling n, m and k one after the other. Each size is timed
(`Machine.run`) in turn with the one before, in a process of their own; the best of several counts,
as CPU time, which other work on the computer disturbs least. A ratio beyond 2.2 is marked `!`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rows import LPU, NPU, Row
from run import in_process

from tools.text import count, seconds

LIMIT = 2.2
FIRST = 1024
CASES = {
    "NPU mxfp8 timing": (NPU, "mxfp8", "timing", 8192),
    "NPU mxfp8": (NPU, "mxfp8", "full", 4096),
    "NPU int8": (NPU, "int8", "full", 4096),
    "LPU int8 timing": (LPU, "int8", "timing", 4096),
    "LPU int8": (LPU, "int8", "full", 4096),
    "LPU e4m3": (LPU, "e4m3", "full", 4096),
}


def sizes(last: int) -> Iterator[dict[str, int]]:
    """Shapes from 1024^3 to last^3, each twice the work of the one before."""
    shape = {"m": FIRST, "n": FIRST, "k": FIRST}
    yield dict(shape)
    while shape["k"] < last:
        for name in ("n", "m", "k"):
            shape[name] *= 2
            yield dict(shape)


def step(case: str, index: int, repeat: int) -> dict[str, Any]:
    """CPU and wall seconds of a size and of the next one."""
    chip, dtype, mode, last = CASES[case]
    pair = list(sizes(last))[index : index + 2]
    runs = [in_process(Row(case, "matmul", chip, dtype, mode, shape))[0] for shape in pair]
    best: list[dict[str, float]] = [{}, {}]
    for _ in range(repeat):
        for found, once in zip(best, runs, strict=True):
            figures = once()
            for key in ("cpu_s", "wall_s"):
                found[key] = min(found.get(key, float("inf")), figures[key])
    return {
        "case": case, "from": pair[0], "to": pair[1], "before": best[0], "after": best[1],
        "ratio_cpu": best[1]["cpu_s"] / best[0]["cpu_s"],
        "ratio_wall": best[1]["wall_s"] / best[0]["wall_s"],
    }  # fmt: skip


def child(case: str, index: int, repeat: int) -> dict[str, Any]:
    words = [sys.executable, __file__, "--child", f"{case}:{index}", "--repeat", str(repeat)]
    found: dict[str, Any] = json.loads(
        subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    )
    return found


def line(found: dict[str, Any]) -> str:
    shape = "x".join(count(found["to"][name]) for name in "mnk")
    mark = " !" if found["ratio_cpu"] > LIMIT else ""
    return (
        f"{found['case']:18} {shape:>18} {seconds(found['after']['cpu_s']):>10}"
        f" {found['ratio_cpu']:6.2f} {found['ratio_wall']:6.2f}{mark}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="only cases with this in the name")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--repeat", type=int, default=3, help="take the best of so many runs; 3")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        case, index = chosen.child.rsplit(":", 1)
        print(json.dumps(step(case, int(index), chosen.repeat)))
        return
    print(f"{'':18} {'m x n x k':>18} {'CPU':>10} {'x CPU':>6} {'x wall':>6}")
    found = []
    for case, (*_, last) in CASES.items():
        if chosen.cases and not any(word in case for word in chosen.cases):
            continue
        for index in range(len(list(sizes(last))) - 1):
            found.append(child(case, index, chosen.repeat))
            print(line(found[-1]), flush=True)
    if chosen.json:
        Path(chosen.json).write_text(json.dumps({"schema": 1, "steps": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
