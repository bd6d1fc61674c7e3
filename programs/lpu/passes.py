"""All passes of a tile of a product as one fragment, in lock step.

With many rows a pass takes as long as its rows, and everything in it repeats from pass to pass: the
install at its start, the rows, and behind the install the load of the next pass's weights. So a
tile is one rigid fragment of two-level bursts, ``period`` cycles a pass:

    iw . mm mm mm mm ... mm iw . mm mm ...       I, I + period, ...: installs
       lw lw                   lw lw             planes of a side load one after another

Only the first pass's weights are loaded ahead, in the last pass of the tile before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isa.table import BYTES_OF
from programs.lpu.floor import FEED
from programs.lpu.schedule import Fragment, Op, Run, Schedule, repeated
from programs.lpu.tiles import BLOCK, RowTiles, cdiv

if TYPE_CHECKING:
    from programs.lpu.product import Matmul, Results, Weights


@dataclass(frozen=True)
class Tile:
    """What the planes of one side do: rows `first`.. (`count`) times weight tile `tile`."""

    planes: Sequence[int]
    row_tile: int
    tile: int
    first: int
    count: int


def loading(work: Matmul, plane: int, tile: int) -> int:
    """Cycles in which a load of a plane's weights keeps the streams that all of a side share."""
    columns = work.columns(plane, tile)
    per_cycle = FEED // BYTES_OF[work.dtype]
    scales = 1 + work.chip.latency["mxm.lw"] if work.scaled else 0
    return cdiv(columns, per_cycle) + scales if columns else 0


def period(work: Matmul, side: str, tile: int, count: int) -> int:
    """Cycles of a pass of `count` rows: those of the rows, or of all loads of the side."""
    latency = work.chip.latency
    loads = sum(
        loading(work, q, tile) for q in work.planes if work.chip.plane_side(q) == side
    )  # fmt: skip
    after = latency["mxm.lws"] if work.scaled else latency["mxm.lw"]
    return max(count - 1 + max(latency["mxm.iw"], 1), loads + 1 + after)


def run_passes(
    work: Matmul, schedule: Schedule, a: RowTiles, b: Weights, c: Sequence[Results], side: str,
    job: Tile,
) -> None:  # fmt: skip
    """Place the fragment; the weights of pass 0 are in the shadow buffers."""
    planes = tuple(job.planes)
    of_x, at = a.place(0, 0, job.first, job.count)
    places = [*at, b.place(job.tile, 0), *(copy.place(job.row_tile, job.tile) for copy in c)]
    if b.scales is not None:
        places.append(b.place_scales(job.tile, 0))
    columns = tuple(work.columns(q, job.tile) for q in work.planes)
    groups = tuple(copy.group(job.row_tile) for copy in c)
    key = ("passes", planes, job.count, columns, of_x, groups)
    f = schedule.alike(key, f"rows {job.first}.. tile {job.tile}", places)
    if f.empty:
        _fill(work, f, a, b, c, side, job)
    schedule.planes.run_passes(f)


def _fill(
    work: Matmul, f: Fragment, a: RowTiles, b: Weights, c: Sequence[Results], side: str, job: Tile,
) -> None:  # fmt: skip
    t = work.tiling
    every = period(work, side, job.tile, job.count)
    x = a.passes(f, job.first, job.count, every)
    # The loads of a side take turns, so that no row of planes waits for another's.
    others = [q for q in work.planes if work.chip.plane_side(q) == side and q not in job.planes]
    ahead = 1 + sum(loading(work, q, job.tile) for q in others)
    for plane in job.planes:
        index = work.planes.index(plane)
        mm, rows = f.matmul_passes(plane, work.dtype, x, job.count, t.passes, every)
        install = f.install(plane, t.passes, every)
        f.tie(mm, install, -max(work.chip.latency["mxm.iw"], 1))
        _load(work, f, b, plane, job.tile, every, install, ahead)
        ahead += loading(work, plane, job.tile)
        for copy in c:
            copy.store(f, rows, index, job.row_tile, job.tile)


def _load(
    work: Matmul, f: Fragment, b: Weights, plane: int, tile: int, every: int, install: Op,
    ahead: int,
) -> None:  # fmt: skip
    """The loads of passes 1, 2, ..., each `ahead` cycles after the install of the one before."""
    t = work.tiling
    rows = work.columns(plane, tile)
    per_cycle = FEED // b.bytes
    loads = t.passes - 1
    cycles = cdiv(rows, per_cycle)
    sources = [
        b.runs(work.planes.index(plane), tile, stream, rows, every) for stream in range(FEED)
    ]
    weights = f.read_runs(sources, mask=repeated((1 << cycles) - 1, loads, every))
    lanes = [min(t.depth, t.k - p * t.depth) for p in range(1, t.passes)]
    lw = f.load_passes(plane, work.dtype, weights, rows, lanes, every, (0,))
    f.tie(install, lw, ahead)
    if not work.scaled:
        return
    assert b.scales is not None
    # Scale vectors of whole passes; those beyond the last pass's lanes are not taken.
    at, last = work.planes.index(plane) * b.feed, cdiv(lanes[-1], BLOCK)
    scales = []
    for block in range(cdiv(lanes[0], BLOCK)):
        count = loads if block < last else loads - 1
        run = Run(b.scales.on(at + block), t.tiles + tile, 1, 1, count, every, t.tiles)
        scales.append([run] if count else [])
    value = f.read_runs([*scales, *[[]] * (10 - len(scales))], mask=repeated(1, loads, every))
    lws = f.load_scales(plane, work.dtype, value, (0,), loads, every)
    f.tie(lw, lws, lw.hold + work.chip.latency["mxm.lw"])
