"""Schedules as text: a Gantt chart of units and the story of each fragment."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from programs.lpu.schedule.schedule import Schedule

SHADES = " .:-=+*#"


def gantt(schedule: Schedule, width: int, limit: int) -> str:
    """Units over time (darker = more of the unit's queues busy), then `limit` fragments."""
    total = max(schedule.cycles, 1)
    per = -(-total // width)
    busy: dict[str, list[int]] = defaultdict(lambda: [0] * (-(-total // per)))
    queues: dict[str, set[str]] = defaultdict(set)
    for placement in schedule.placements:
        for op, queue in zip(placement.fragment.ops, placement.queues, strict=True):
            unit = _unit(queue)
            queues[unit].add(queue)
            mask, start = op.mask(), placement.time(op)
            for column in range(start // per, (start + mask.bit_length() - 1) // per + 1):
                shift = column * per - start
                window = mask >> shift if shift >= 0 else mask << -shift
                busy[unit][column] += (window & ((1 << per) - 1)).bit_count()
    lines = [f"{schedule.name}: {total:,} cycles, one column = {per} cycles"]
    for unit in sorted(busy):
        peak = per * len(queues[unit])
        bar = "".join(SHADES[min(7, -(-7 * b // peak))] for b in busy[unit])
        lines.append(f"  {unit:<14}|{bar}|")
    lines.append(f"  {'cycle':>7} {'length':>7}  fragment")
    for placement in schedule.placements[:limit]:
        why = f"not before cycle {placement.least} ({placement.bound})" if placement.least else ""
        if placement.blocked is not None:
            why = f"the cycle before: {placement.blocked}"
        lines.append(
            f"  {placement.start:>7} {placement.end - placement.start:>7}"
            f"  {placement.fragment.label:<28} {why}".rstrip()
        )
    left = len(schedule.placements) - limit
    if left > 0:
        lines.append(f"  ... and {left} more")
    return "\n".join(lines)


def _unit(queue: str) -> str:
    kind, *rest = queue.split(".")
    if kind == "mem":
        return f"mem.{rest[0][0]} {rest[1]}"
    if kind == "mxm":
        return queue
    return kind if kind == "vxm" else f"sxm.{rest[0]}"
