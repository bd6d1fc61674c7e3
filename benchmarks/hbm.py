"""The model of HBM against the referee: ``python benchmarks/hbm.py [--chip NAME]``.

Random pieces of a size, a part of them written, arrive at a share of the raw rate; the figure is
when the last one is done, by the model that the engine uses and by the referee, which issues every
command of every burst. Below, shares of the peak that closed forms are known for (referee).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from emulator.npu.chip import load
from emulator.npu.memory._system import MemorySystem
from emulator.npu.memory.numbers import numbers

NS = 1e9  # a clock at which cycles are ns
MIXES = [
    (size, writes, rate)
    for size in (512, 4096, 32768)
    for writes in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
    for rate in (0.8, 1.5)
]
SMALL = [(size, 0.0, rate) for size in (128, 256) for rate in (0.8, 1.5)]


def system(name: str, **overrides: str) -> MemorySystem:
    chip = load(name, {key.replace("__", "."): value for key, value in overrides.items()})
    return MemorySystem(numbers(chip.hbm, chip.l2, NS, 1))


def mix(name: str, size: int, writes: float, rate: float, total: int) -> tuple[float, float]:
    """ns until the last of `total` bytes is done: by the model, by the referee."""
    chip, rng = load(name), np.random.default_rng(size)
    memory, n = system(name), total // size
    asked = (
        np.sort(rng.random(n)) * total / (chip.hbm.bandwidth / NS * rate),
        rng.integers(0, (1 << 29) // size, n) * size,
        np.full(n, size, np.int64),
        (rng.random(n) < writes).astype(np.uint8),
    )
    return max(memory.model(*asked).max(), memory.busy_until()), memory.referee(*asked).max()


def random_share(size: int) -> float:
    """Share of one pseudo-channel's peak that random reads of a size reach, without refresh."""
    memory = system("npu-950pr", hbm__bandwidth="1638.4 GB/s", hbm__rfc="2 ns")
    rng = np.random.default_rng(size)
    addresses = rng.integers(0, (1 << 35) // size, 200_000) * size
    mine = np.ascontiguousarray(addresses[memory.spots(addresses)[:, 0] == 0])
    n = len(mine)
    ends = memory.referee(np.zeros(n), mine, np.full(n, size, np.int64), np.zeros(n, np.uint8))
    return n * size / float(ends.max()) / 25.6


def lines(name: str) -> Iterator[str]:
    yield f"{'bytes':>6} {'written':>8} {'rate':>5} {'model us':>9} {'referee us':>11} {'error':>7}"
    for size, writes, rate in SMALL + MIXES:
        model, referee = mix(name, size, writes, rate, 8 << 20)
        error = model / referee - 1
        yield (f"{size:6,} {writes:8.0%} {rate:5.1f} {model / 1e3:9.1f} {referee / 1e3:11.1f}"
               f" {error:+7.1%}")  # fmt: skip
    for size in (32, 64, 128, 256):
        yield f"random reads of {size} B: {random_share(size):.1%} of the peak"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chip", default="npu-tiny", help="npu-tiny: four pseudo-channels")
    for line in lines(parser.parse_args().chip):
        print(line)
