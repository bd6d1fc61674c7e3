"""How fast numbers become codes and back: ``python benchmarks/conversions.py [--json FILE|-]``.

Values per second of one thread's CPU time, and the ratio to ml_dtypes' casts or to a numpy
statement of block quantisation, timed in turn in the same process, so that figures of different
computers and of busy ones can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from emulator.numerics import decode, encode, quantize_blocks

COUNT = 1 << 20
REPEAT = 7
LIBRARY = {
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "bf16": ml_dtypes.bfloat16,
    "e2m1": ml_dtypes.float4_e2m1fn,
}
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)


def numpy_mxfp4(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """mxfp4 with FLOOR scales in numpy: codes [n], e8m0 scales [n / 32].

    Ties to even are exact here because every midpoint of e2m1 is a float32.
    """
    blocks = x.reshape(-1, 32)
    top = np.abs(blocks).max(1)
    exponent = np.maximum(((top.view(np.uint32) >> 23).astype(np.int32) - 127) - 2, -127)
    scaled = np.abs(blocks) * np.exp2(-exponent.astype(np.float32))[:, None]
    middles = (E2M1[1:] + E2M1[:-1]) / 2
    even = np.nextafter(middles[1::2], np.float32(0))  # a tie below an even code goes up
    edges = middles.copy()
    edges[1::2] = even
    codes = np.searchsorted(edges, scaled.reshape(-1), side="left").astype(np.uint8)
    return codes | (np.signbit(x).astype(np.uint8) << 3), (exponent + 127).astype(np.uint8)


def measure() -> list[dict[str, Any]]:
    """All rows as plain data."""
    x = np.random.default_rng(0).standard_normal(COUNT, dtype=np.float32)
    rows = []
    for name, dtype in LIBRARY.items():
        codes = encode(x, name)
        theirs = x.astype(dtype)
        assert np.array_equal(codes, theirs.view(codes.dtype))
        rows.append(_row(f"float32 -> {name}", lambda n=name: encode(x, n),
                         lambda d=dtype: x.astype(d), "ml_dtypes"))  # fmt: skip
        rows.append(_row(f"{name} -> float32", lambda n=name, c=codes: decode(c, n),
                         lambda t=theirs: t.astype(np.float32), "ml_dtypes"))  # fmt: skip
    ours, statement = quantize_blocks(x, "mxfp4"), numpy_mxfp4(x)
    assert np.array_equal(ours.codes, statement[0])
    assert np.array_equal(ours.scales, statement[1])
    rows.append(_row("float32 -> mxfp4", lambda: quantize_blocks(x, "mxfp4"),
                     lambda: numpy_mxfp4(x), "numpy"))  # fmt: skip
    return rows


def _row(
    name: str, ours: Callable[[], object], theirs: Callable[[], object], who: str
) -> dict[str, Any]:
    """The best of several turns of each, one after the other."""
    best = [float("inf")] * 2
    for _ in range(REPEAT):
        for i, work in enumerate((ours, theirs)):
            start = time.thread_time()
            work()
            best[i] = min(best[i], time.thread_time() - start)
    return {"name": name, "values_per_s": COUNT / best[0], "against": who,
            "their_values_per_s": COUNT / best[1], "ratio": best[1] / best[0]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE|-", help="write JSON instead of the table")
    chosen = parser.parse_args()
    rows = measure()
    host = {"cpus": os.cpu_count(), "machine": platform.machine(), "numpy": np.__version__,
            "ml_dtypes": ml_dtypes.__version__}  # fmt: skip
    text = json.dumps({"schema": 1, "host": host, "conversions": rows}, indent=2)
    if chosen.json == "-":
        print(text)
        return
    if chosen.json:
        Path(chosen.json).write_text(text + "\n")
    print(f"{'conversion':18} {'M values/s':>12} {'against':>10} {'M values/s':>12} {'ratio':>8}")
    for row in rows:
        print(
            f"{row['name']:18} {row['values_per_s'] / 1e6:12,.0f} {row['against']:>10}"
            f" {row['their_values_per_s'] / 1e6:12,.0f} {row['ratio']:7.1f}x"
        )


if __name__ == "__main__":
    main()
