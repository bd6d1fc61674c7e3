"""The LPU's two engines on this computer: ``python benchmarks/lpu.py [--quick]``.

For each workload: building the program, preparing it (decoding, placing, timing), a run with values
and a run of timing only, the best of three, in seconds and as a ratio to numpy's 4096^3 matmul in
float32 (F32) and float64 (F64), timed in the same process on the same threads.
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from emulator.lpu.chip import load
from emulator.lpu.machine import Machine
from programs.registry import find

SIZE = 4096
HEAD = {"batch": "1", "heads": "1", "seq": "4096", "kv": "4096", "head_dim": "128"}
LARGE = {"mem.words": "40960"}  # a chip that holds 8192^3


def cube(n: int, m: int | None = None) -> dict[str, str]:
    return {"m": str(m or n), "n": str(n), "k": str(n)}


# name, kernel, format, parameters, chip values, whether with values
RUNS: tuple[tuple[str, str, str, dict[str, str], dict[str, str], bool], ...] = (
    ("int8 1024^3", "matmul", "int8", cube(1024), {}, True),
    ("int8 1x4096x4096", "matmul", "int8", cube(4096, 1), {}, True),
    ("attention 4096x4096x128 bf16", "attention", "bf16", HEAD, {}, True),
    ("int8 4096^3", "matmul", "int8", cube(4096), {}, True),
    ("e4m3 4096^3", "matmul", "e4m3", cube(4096), {}, True),
    ("int8 8192^3", "matmul", "int8", cube(8192), LARGE, False),
)


def best(work: Callable[[], object], times: int = 3) -> float:
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def yardstick(dtype: Any) -> float:
    a = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(dtype)
    return best(lambda: a @ a)


def measure(kernel: str, dtype: str, given: dict[str, str], over: dict[str, str],
            values: bool, step: bool) -> list[float]:  # fmt: skip
    """Seconds: build, prepare, timing only, with values, with values in the step engine."""
    found, chip = find(kernel, "lpu"), load("lpu-lp30", over)
    params = found.resolve(given, None)
    gc.collect()
    gc.disable()  # as the command line does while it builds
    start = time.perf_counter()
    program = found.build(chip, dtype, params)
    built = time.perf_counter() - start
    gc.enable()
    start = time.perf_counter()
    loaded = Machine(chip).prepare(program)
    prepared = time.perf_counter() - start
    timing = best(lambda: _fresh(chip, loaded)(mode="timing"))
    if not values:
        return [built, prepared, timing, np.nan, np.nan]
    tensors = found.encode(dtype, params, found.inputs(params, 0)).tensors
    full = best(lambda: _fresh(chip, loaded)(tensors))
    slow = np.nan
    if step:
        slow = best(lambda: Machine(chip, engine="step").run(program, tensors), 1)
    return [built, prepared, timing, full, slow]


def _fresh(chip: Any, loaded: Any) -> Any:
    """A prepared program that remembers nothing of earlier runs."""
    return type(loaded)(loaded.prepared, loaded.plan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without the step engine")
    quick = parser.parse_args().quick
    base, double = yardstick(np.float32), yardstick(np.float64)
    print(f"F32 {base:.2f} s, F64 {double:.2f} s\n")
    heads = ("build", "prepare", "timing", "values", "x F32", "x F64", "step")
    print(f"{'seconds':28}" + "".join(f"{h:>9}" for h in heads))
    for name, kernel, dtype, given, over, values in RUNS:
        built, prepared, timing, full, slow = measure(
            kernel, dtype, given, over, values, not quick
        )  # fmt: skip
        run = timing if np.isnan(full) else full
        row = (built, prepared, timing, full, run / base, run / double, slow)
        print(f"{name:28}" + "".join("        -" if np.isnan(x) else f"{x:9.3f}" for x in row))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory of all this {peak:.2f} GiB")


if __name__ == "__main__":
    main()
