"""The floor plan that the matrix kernels share: which slices hold weights, activations, results.

Per hemisphere, from the MXM inward: 16 slices of each plane (weights in bank 0, results in bank 1,
so loading and storing never meet), then the pool of activation slices (both banks, read only). On a
chip with too few slices the same ones serve as both; the scheduler then resolves the conflicts.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.lpu.chip import LpuChip
from isa.table import BYTES_OF

FEED = 16  # streams that a weight load takes at once


@dataclass(frozen=True)
class Floor:
    """Slices by use. `weights[p]` are plane p's; `pool[side]` the activation slices."""

    chip: LpuChip
    weights: tuple[tuple[str, ...], ...]
    pool: dict[str, tuple[str, ...]]
    shared: bool  # the pool is the weight slices themselves


def plan_floor(chip: LpuChip) -> Floor:
    """Divide the chip's slices."""
    per_side, slices = chip.mxm.planes // 2, chip.mem.slices
    dedicated = slices >= FEED * per_side + 4
    weights: list[tuple[str, ...]] = []
    pool = {}
    for side in "we":
        names = [f"{side}{i}" for i in range(slices)]
        for plane in range(per_side):
            if dedicated:
                top = slices - FEED * plane
                weights.append(tuple(names[top - FEED : top]))
            else:
                weights.append(tuple(names[-FEED:]))
        pool[side] = tuple(names[: slices - FEED * per_side] if dedicated else names)
    return Floor(chip, tuple(weights), pool, not dedicated)


def lanes_per_cycle(floor: Floor, dtype: str) -> int:
    """Output lanes that one cycle of a weight load can fill from a plane's slices."""
    return min(FEED, len(floor.weights[0])) // BYTES_OF[dtype]


def tile_step(floor: Floor, dtype: str) -> int:
    """Widths of weight tiles are multiples of this (and at most it where one cycle is all)."""
    return lanes_per_cycle(floor, dtype)


def widest_tile(floor: Floor, dtype: str) -> int:
    """Most output lanes of one weight load."""
    if len(floor.weights[0]) < FEED:
        return lanes_per_cycle(floor, dtype)
    return floor.chip.mode(dtype).n
