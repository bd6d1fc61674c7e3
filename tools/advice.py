"""What limits a run and what would help: one sentence per bound, and gains computed from waits."""

from __future__ import annotations

from collections.abc import Sequence

from emulator.result import Result, UnitUse

# By bound: a unit, a wait reason or a memory level. The longest name that matches is taken.
BOUNDS = {
    "mxm": (
        "The matrix units take an activation vector in most cycles.",
        "Fewer passes help: an 8-bit format instead of a 16-bit one, or shapes that fill whole"
        " tiles of K and N.",
    ),
    "vxm": (
        "The vector ALUs are busy in most cycles.",
        "Fuse casts and scales, keep large-ALU work (max, cast, exp2, rsqrt, tanh) apart so that"
        " every ALU has a share, or move sums into the matrix unit.",
    ),
    "sxm": (
        "The shift and permute units are busy in most cycles.",
        "Lay tensors out transposed on load instead, or reduce in the matrix unit with ones.",
    ),
    "mem": (
        "The ports of the SRAM slices are busy in most cycles.",
        "Keep intermediate results on streams instead of writing and reading them again.",
    ),
    "stream": (
        "The streams carry as many bytes as they can.",
        "Use each weight load for more rows (a larger m), or a narrower format.",
    ),
    "sram": (
        "SRAM delivers as many bytes as it can.",
        "Replicate hot tensors over more slices, or keep values on streams.",
    ),
    "weights": (
        "The matrix units wait for weights.",
        "Load the next tile while this one multiplies, or use each load for more rows.",
    ),
    "operand": (
        "Instructions wait for operands that are still being computed.",
        "Interleave independent work (heads, tiles, rows) between producer and consumer.",
    ),
    "bank": (
        "Instructions wait for an SRAM bank.",
        "Place what is read and what is written in the same cycle in different banks or slices.",
    ),
    "unit": (
        "Instructions wait for their unit to be free.",
        "Spread the work over more planes, ALUs or slices.",
    ),
    "sync": (
        "Queues wait for the barrier.",
        "Use fewer barriers; a static schedule needs none.",
    ),
    "schedule": (
        "Instructions could have been issued earlier than the program does.",
        "Let the scheduler place them, or take nops out.",
    ),
    "cube.m": (
        "The cubes multiply in most cycles.",
        "Fewer or shorter products help: a narrower format, or tiles that fill 16 x 16 x k0.",
    ),
    "cube.mte1": (
        "The cubes' loads from L1 into L0 take most cycles.",
        "Larger m and n of the L0 tile use each load more often; longer k spares overheads.",
    ),
    "cube.mte2": (
        "The loads from global memory into L1 take most cycles.",
        "Larger tiles in L1 load less; longer rows and fewer instructions spare overheads.",
    ),
    "cube.fix": (
        "Taking results out of L0C takes most cycles.",
        "Convert to a narrower format on the way, or accumulate longer before.",
    ),
    "cube.scalar": (
        "The cubes' scalar units dispatch in most cycles.",
        "Larger tiles need fewer instructions; compute addresses once.",
    ),
    "vector.v": (
        "The vector units are busy in most cycles.",
        "Fewer passes over UB, narrower elements, and loops long enough to hide latencies help.",
    ),
    "vector.mte2": (
        "The loads from global memory into UB take most cycles.",
        "Longer rows and larger tiles spare overheads; fuse kernels to load once.",
    ),
    "vector.mte3": (
        "The stores out of UB take most cycles.",
        "Longer rows and larger tiles spare overheads; store a narrower format.",
    ),
    "vector.scalar": (
        "The vectors' scalar units dispatch in most cycles.",
        "Larger tiles need fewer instructions; put loops into the functions.",
    ),
    "simt.scheduler": (
        "The warp schedulers issue in most cycles.",
        "Fewer instructions per element: wider loads, more elements per thread, less address"
        " arithmetic.",
    ),
    "hbm": (
        "HBM delivers as many bytes as it can.",
        "Reuse tiles in L2 and on chip, choose larger tiles, or a narrower format.",
    ),
    "l2": (
        "The L2 delivers as many bytes as it can.",
        "Larger tiles in L1 ask less of it.",
    ),
}  # fmt: skip

GAIN_SHOWN = 1.01  # smaller gains are not worth a line


NEAR_PEAK = 0.5  # a resource below this share of its peak is not what holds a run up


def explanation(result: Result) -> tuple[str, str]:
    """The sentence of a run: of its bound, or of a run in which nothing is near its peak."""
    share = max(result.speed_of_light.values(), default=0.0)
    if share >= NEAR_PEAK:
        return sentence(result.bound)
    return (
        f"Nothing is near its peak; {result.bound} comes closest with {100 * share:.1f} %.",
        "The time goes into latencies: fill, drain, and operations that depend on one another. More"
        " independent work at a time (rows, tiles, heads) would fill it.",
    )


def sentence(bound: str) -> tuple[str, str]:
    """What the bound means, and what to change."""
    matches = [name for name in BOUNDS if bound == name or bound.startswith(name)]
    if not matches:
        return (f"'{bound}' is the most used resource.", "Give it less to do, or spread it out.")
    return BOUNDS[max(matches, key=len)]


# Bounds that are no units, and the units that they keep waiting.
FED_BY = {"stream": "mxm", "sram": "mem"}


def critical_unit(result: Result) -> UnitUse | None:
    """The unit that the bound names, all of its kind taken together; else the busiest one."""
    wanted = FED_BY.get(result.bound, result.bound)
    for unit in result.units:
        if unit.name == wanted:
            return unit
    for unit in result.units:  # SIMT functions take most of the time: their schedulers tell more
        if unit.name == "simt.scheduler" and unit.busy + sum(unit.waits.values()) > unit.idle:
            return unit
    family = [unit for unit in result.units if unit.name.split(".")[0] == wanted]
    if family:
        return _together(wanted, family)
    return max(result.units, key=lambda u: u.busy / max(1, u.count), default=None)


def _together(name: str, units: Sequence[UnitUse]) -> UnitUse:
    waits: dict[str, int] = {}
    for unit in units:
        for reason, lost in unit.waits.items():
            waits[reason] = waits.get(reason, 0) + lost
    return UnitUse(
        name, sum(u.count for u in units), sum(u.busy for u in units), waits,
        sum(u.idle for u in units),
    )  # fmt: skip


def gains(result: Result) -> list[tuple[float, str, int]]:
    """(factor, wait reason, cycles) for the unit that bounds: what the run could gain without it.

    Nothing where no unit is the bound: then its waits are the effect of the bound, not a reserve.
    """
    unit = critical_unit(result)
    if unit is None or not result.cycles or result.bound in FED_BY:
        return []
    total = result.cycles * unit.count
    found = [
        (total / (total - lost) if lost < total else float("inf"), reason, lost)
        for reason, lost in unit.waits.items()
    ]
    return sorted((g for g in found if g[0] >= GAIN_SHOWN), key=lambda g: -g[2])


def best_case(result: Result) -> int | None:
    """Cycles that the bound resource alone would need at its peak."""
    share = max(result.speed_of_light.values(), default=0.0)
    return round(share * result.cycles) if share > 0 else None
