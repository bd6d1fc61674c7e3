"""c = a b on the LPU: weights stay in the planes, rows stream through them.

The output is cut into weight tiles of `width` columns, dealt out to the planes so that all are
equally loaded; K is cut into passes of the mode's k, accumulated inside the planes in ascending
order. Rows go in tiles of at most the accumulator depth. Planes of one row share an activation
stream and run in lock step; the next pass's weights load while the present one runs. With few rows
(the decode case) loading is what takes time: then both halves of the outward streams carry weights
back to back and the few activations slip into the cycle that an install leaves free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from emulator.lpu.chip import LpuChip
from isa.program import Digit, Layout, Program, Tensor
from isa.table import BYTES_OF
from programs.encoding import accumulator, encode_operand, is_block_scaled
from programs.kernel import Array, Arrays, Encoded, Kernel, KernelError, Param, Params, normal
from programs.lpu.floor import FEED, Floor, lanes_per_cycle, plan_floor, widest_tile
from programs.lpu.schedule import Arena, Block, Fragment, Run, Schedule, Value
from programs.naive import naive_matmul

BLOCK = 32  # elements that share a scale


def cdiv(a: int, b: int) -> int:
    return -(-a // b)


@dataclass(frozen=True)
class Tiling:
    """How m x n x k is cut. Planes form a grid of `pm` rows (of m) by `pn` columns (of n)."""

    m: int
    n: int
    k: int
    pm: int
    pn: int
    width: int  # columns of a weight tile
    tiles: int  # weight tiles per plane, one after another
    passes: int  # of k
    depth: int  # k of one pass
    rows: int  # rows of a row tile
    row_tiles: int  # per plane
    streaming: bool  # few rows: bound by loading weights

    @property
    def chunk(self) -> int:
        """Rows of one row of planes."""
        return self.rows * self.row_tiles


def choose_tiling(floor: Floor, dtype: str, m: int, n: int, k: int) -> Tiling:
    """The cheapest grid of planes: fewest passes times rows, then fewest weight copies."""
    mode = floor.chip.mode(dtype)
    planes = floor.chip.mxm.planes // mode.planes
    widest, step = widest_tile(floor, dtype), lanes_per_cycle(floor, dtype)
    passes = cdiv(k, mode.k)
    best: tuple[tuple[int, int], Tiling] | None = None
    for pn in (p for p in range(planes, 0, -1) if planes % p == 0):
        pm = min(planes // pn, m)
        tiles = cdiv(n, pn * widest)
        width = cdiv(cdiv(n, pn * tiles), step) * step
        row_tiles = cdiv(cdiv(m, pm), floor.chip.mxm.acc_rows)
        rows = cdiv(m, pm * row_tiles)
        load = cdiv(width, step)
        cost = passes * tiles * row_tiles * max(rows + 1, load + 1)
        tiling = Tiling(m, n, k, pm, pn, width, tiles, passes, mode.k, rows, row_tiles,
                        rows < 2 * load)  # fmt: skip
        if best is None or (cost, pm) < best[0]:
            best = (cost, pm), tiling
    assert best is not None
    return best[1]


class Matmul:
    """One product under construction: tensors in SRAM, then the schedule.

    Also the building block of kernels that multiply (swiglu): `product` can be given a function
    that consumes the emitted rows instead of storing them.
    """

    def __init__(self, chip: LpuChip, dtype: str, m: int, n: int, k: int) -> None:
        self.chip, self.dtype = chip, dtype
        self.floor = plan_floor(chip)
        self.tiling = choose_tiling(self.floor, dtype, m, n, k)
        self.arena = Arena(chip)
        mode = chip.mode(dtype)
        self.planes = tuple(range(0, chip.mxm.planes, mode.planes))
        self.bytes = BYTES_OF[dtype]
        self.scaled = is_block_scaled(dtype)
        self.blocks_per_pass = mode.k // BLOCK

    # ---- where tensors lie -----------------------------------------------------------------

    def place_activations(self, name: str) -> tuple[list[Tensor], Activations]:
        """a [m, k]: rows of one tile side by side, tiles dealt out to the pool, in each hemisphere."""
        t = self.tiling
        used = self.planes[: t.pm * t.pn]
        sides = sorted({self.chip.plane_side(p) for p in used}, reverse=True)
        streams = self.bytes + self.scaled
        blocks, layouts, scales = {}, [], []
        for side in sides:
            pool = self.floor.pool[side]
            groups = [pool[i : i + streams] for i in range(0, len(pool) - streams + 1, streams)]
            count = min(len(groups), t.pm * t.row_tiles)
            banks = (0,) if self.floor.shared else (0, 1)
            per_bank = cdiv(t.pm * t.row_tiles, count * len(banks))
            used_slices = [s for g in groups[:count] for s in g]
            size = per_bank * t.passes * t.rows
            both = [self.arena.block(used_slices, b, size, f"activation {name}") for b in banks]
            blocks[side] = both
            step = both[0].step
            digits = [
                Digit(0, t.rows, count, slice=streams),
                Digit(0, 1, t.rows, addr=step),
                Digit(0, t.rows * count * len(banks), per_bank, addr=t.passes * t.rows * step),
            ]
            if len(banks) == 2:
                digits.append(Digit(0, t.rows * count, 2, addr=both[1].base - both[0].base))
            elements = used_slices
            if self.scaled:
                elements = used_slices[0::2]
                half = [Digit(d.axis, d.div, d.mod, d.slice // 2, d.addr) for d in digits]
                scales.append(Layout(
                    tuple(used_slices[1::2]), both[0].base,
                    (*half, Digit(1, self.blocks_per_pass, t.passes, addr=t.rows * step)),
                    1, 1, self.blocks_per_pass, BLOCK,
                ))  # fmt: skip
                digits = half
            layouts.append(Layout(
                tuple(elements), both[0].base,
                (*digits, Digit(1, t.depth, t.passes, addr=t.rows * step)), 1, 1, t.depth,
            ))  # fmt: skip
        tensors = [Tensor(name, self.dtype, (t.m, t.k), "in", tuple(layouts))]
        if self.scaled:
            shape = (t.m, cdiv(t.k, BLOCK))
            tensors.append(Tensor(f"{name}.scale", "e8m0", shape, "in", tuple(scales), pad=127))
        return tensors, Activations(t, blocks, streams)

    def place_weights(self, name: str) -> tuple[list[Tensor], Weights]:
        """b [k, n]: column n of a tile is one weight vector; 16 slices feed 16 streams."""
        t = self.tiling
        per_cycle = lanes_per_cycle(self.floor, self.dtype)
        feed = per_cycle * self.bytes
        depth = t.width // per_cycle
        slices = [s for p in self.planes[: t.pm * t.pn] for s in self.floor.weights[p][:feed]]
        block = self.arena.block(slices, 0, t.passes * t.tiles * depth, f"weights {name}")
        layouts = []
        for row in range(t.pm):
            mine = tuple(slices[row * t.pn * feed : (row + 1) * t.pn * feed])
            layouts.append(Layout(mine, block.base, (
                Digit(1, 1, per_cycle, slice=self.bytes),
                Digit(1, per_cycle, depth, addr=block.step),
                Digit(1, t.width, t.pn, slice=feed),
                Digit(1, t.width * t.pn, t.tiles, addr=depth * block.step),
                Digit(0, t.depth, t.passes, addr=t.tiles * depth * block.step),
            ), 0, 1, t.depth))  # fmt: skip
        # A tile's digit restarts at every tile only if widths are whole cycles.
        assert t.width % per_cycle == 0
        tensors = [Tensor(name, self.dtype, (t.k, t.n), "in", tuple(layouts))]
        scales = None
        if self.scaled:
            scales = self.arena.block(slices, 0, t.passes * t.tiles, f"scales of {name}")
            copies = []
            for row in range(t.pm):
                mine = tuple(slices[row * t.pn * feed : (row + 1) * t.pn * feed])
                copies.append(Layout(mine, scales.base, (
                    Digit(0, 1, self.blocks_per_pass, slice=1),
                    Digit(0, self.blocks_per_pass, t.passes, addr=t.tiles * scales.step),
                    Digit(1, t.width, t.pn, slice=feed),
                    Digit(1, t.width * t.pn, t.tiles, addr=scales.step),
                ), 1, 1, t.width))  # fmt: skip
            shape = (cdiv(t.k, BLOCK), t.n)
            tensors.append(Tensor(f"{name}.scale", "e8m0", shape, "in", tuple(copies), pad=127))
        return tensors, Weights(t, block, scales, feed, per_cycle, self.bytes, depth)

    def place_results(
        self, name: str, dtype: str, quad: int | None = None
    ) -> tuple[Tensor, Results]:
        """c [m, n] of 4-byte elements: each plane's tiles in bank 1 of its own slices.

        With `quad` all in that one of the plane's groups of four slices, so that several results
        can be read at once.
        """
        t = self.tiling
        have = len(self.floor.weights[0]) // 4 if quad is None else 1
        left = 0 if quad is None else 4 * quad
        groups = next(g for g in range(min(have, t.row_tiles), 0, -1)
                      if t.pm == 1 or t.row_tiles % g == 0)  # fmt: skip
        deep = cdiv(t.row_tiles, groups)
        slices = [
            s for p in self.planes[: t.pm * t.pn]
            for s in self.floor.weights[p][left : left + 4 * groups]
        ]  # fmt: skip
        block = self.arena.block(slices, 1, deep * t.tiles * t.rows, f"results {name}")
        step = block.step
        layout = Layout(tuple(slices), block.base, (
            Digit(1, t.width, t.pn, slice=4 * groups),
            Digit(1, t.width * t.pn, t.tiles, addr=t.rows * step),
            Digit(0, t.chunk, t.pm, slice=t.pn * 4 * groups),
            Digit(0, t.rows, groups, slice=4),
            Digit(0, t.rows * groups, deep, addr=t.tiles * t.rows * step),
            Digit(0, 1, t.rows, addr=step),
        ), 1, 1, t.width)  # fmt: skip
        return Tensor(name, dtype, (t.m, t.n), "out", (layout,)), Results(t, block, groups)

    # ---- the schedule ----------------------------------------------------------------------

    def product(self, schedule: Schedule, a: Activations, b: Weights, *c: Results) -> None:
        """Place all fragments of c = a b; each of several `c` gets a copy."""
        t = self.tiling
        order = [(i, tile, p) for i in range(t.row_tiles) for tile in range(t.tiles)
                 for p in range(t.passes)]  # fmt: skip
        grid = [(row, self.planes[row * t.pn : (row + 1) * t.pn]) for row in range(t.pm)]
        if not t.streaming:
            for step in order:
                for row, planes in grid:
                    self._load(schedule, b, row, planes, step)
                    self._install(schedule, row, planes, step)
                for row, planes in grid:
                    self._run(schedule, a, c, row, planes, step)
            return
        # Loads lead by one pass, so that they take the streams first and activations fit between.
        for ahead, step in zip([*order[1:], None], order, strict=True):
            if step == order[0]:
                for row, planes in grid:
                    self._load(schedule, b, row, planes, step)
            for row, planes in grid:
                self._install(schedule, row, planes, step)
            if ahead is not None:
                for row, planes in grid:
                    self._load(schedule, b, row, planes, ahead)
            for row, planes in grid:
                for plane in planes:
                    self._run(schedule, a, c, row, (plane,), step)

    def stored_tiles(self) -> list[tuple[int, int, int, int]]:
        """(plane index, row tile, weight tile, rows) of every stored tile of the result."""
        t = self.tiling
        return [
            (row * t.pn + column, i, tile, n)
            for i in range(t.row_tiles) for tile in range(t.tiles) for row in range(t.pm)
            for column in range(t.pn)
            if (n := self._rows(row, i)) and self._columns(self.planes[column], tile)
        ]  # fmt: skip

    def _columns(self, plane: int, tile: int) -> int:
        """Columns of a plane's weight tile (0: nothing to do)."""
        t = self.tiling
        index = tile * t.pn + self.planes.index(plane) % t.pn
        return max(0, min(t.width, t.n - index * t.width))

    def _busy(self, row: int, planes: tuple[int, ...], step: tuple[int, int, int]) -> list[int]:
        if self._rows(row, step[0]) == 0:
            return []
        return [p for p in planes if self._columns(p, step[1])]

    def _rows(self, row: int, i: int) -> int:
        t = self.tiling
        return max(0, min(t.rows, t.m - row * t.chunk - i * t.rows))

    def _load(self, schedule: Schedule, b: Weights, row: int, planes: tuple[int, ...],
              step: tuple[int, int, int]) -> None:  # fmt: skip
        t = self.tiling
        _, tile, p = step
        lanes = min(t.depth, t.k - p * t.depth)
        # With many rows the activations hold a stream of the upper half all the time.
        groups = (0, 16) if t.streaming else (0,)
        for plane in self._busy(row, planes, step):
            index = self.planes.index(plane)
            rows = self._columns(plane, tile)
            f = schedule.fragment(f"load plane {plane} tile {tile} pass {p}")
            f.load_weights(plane, self.dtype, b.value(f, index, tile, p, rows), rows, lanes, groups)
            schedule.planes.load(f)
            if self.scaled:
                f = schedule.fragment(f"scales plane {plane} tile {tile} pass {p}")
                value = b.scale_value(f, index, tile, p, cdiv(lanes, BLOCK))
                f.load_scales(plane, self.dtype, value, groups)
                schedule.planes.load(f)

    def _install(self, schedule: Schedule, row: int, planes: tuple[int, ...],
                 step: tuple[int, int, int]) -> None:  # fmt: skip
        for plane in self._busy(row, planes, step):
            schedule.planes.install(plane)

    def _run(self, schedule: Schedule, a: Activations, c: tuple[Results, ...], row: int,
             planes: tuple[int, ...], step: tuple[int, int, int]) -> None:  # fmt: skip
        t = self.tiling
        i, tile, p = step
        busy, n = self._busy(row, planes, step), self._rows(row, i)
        if not busy:
            return
        # Planes of one hemisphere run in lock step, so that rows are read once.
        for side in sorted({self.chip.plane_side(q) for q in busy}, reverse=True):
            f = schedule.fragment(f"rows {row * t.chunk + i * t.rows}.. tile {tile} pass {p}")
            x = a.value(f, side, row * t.row_tiles + i, p, n)
            for plane in (q for q in busy if self.chip.plane_side(q) == side):
                out = f.matmul(plane, self.dtype, x, start=p == 0, emit=p == t.passes - 1)
                for copy in c if out is not None else ():
                    copy.store(f, out, self.planes.index(plane), i, tile)
            schedule.planes.run(f)


@dataclass(frozen=True)
class Activations:
    """a in SRAM; `blocks[side]` one block a bank."""

    tiling: Tiling
    blocks: dict[str, list[Block]]
    streams: int

    def value(self, f: Fragment, side: str, tile: int, p: int, n: int) -> Value:
        """Rows of row tile `tile` (over all planes), pass `p`, as a burst of `n` vectors."""
        banks = self.blocks[side]
        count = len(banks[0].slices) // self.streams
        block = banks[tile // count % len(banks)]
        at = tile % count * self.streams
        first = (tile // (count * len(banks)) * self.tiling.passes + p) * self.tiling.rows
        return f.read(block.on(*range(at, at + self.streams)), first, n)


@dataclass(frozen=True)
class Weights:
    """b in SRAM: `feed` slices per plane."""

    tiling: Tiling
    block: Block
    scales: Block | None
    feed: int
    per_cycle: int
    bytes: int
    depth: int

    def value(self, f: Fragment, plane: int, tile: int, p: int, rows: int) -> Value:
        """The weight vectors of `rows` output lanes on 16 streams."""
        first = (p * self.tiling.tiles + tile) * self.depth
        sources: list[list[Run]] = []
        for stream in range(FEED):
            lane = stream // self.bytes
            if lane >= min(rows, self.per_cycle):
                sources.append([])
                continue
            count = cdiv(rows - lane, self.per_cycle)
            sources.append([Run(self.block.on(plane * self.feed + stream), first, count)])
        return f.read_runs(sources, cdiv(rows, self.per_cycle))

    def scale_value(self, f: Fragment, plane: int, tile: int, p: int, blocks: int) -> Value:
        """The scale vectors of one pass on ten streams."""
        assert self.scales is not None
        first = p * self.tiling.tiles + tile
        sources = [[Run(self.scales.on(plane * self.feed + b), first, 1)] for b in range(blocks)]
        return f.read_runs([*sources, *[[]] * (10 - blocks)])


@dataclass(frozen=True)
class Results:
    """c in SRAM: `groups` groups of four byte planes per plane."""

    tiling: Tiling
    block: Block
    groups: int

    def _place(self, plane: int, i: int, tile: int) -> tuple[Block, int]:
        at = (plane * self.groups + i % self.groups) * 4
        first = (i // self.groups * self.tiling.tiles + tile) * self.tiling.rows
        return self.block.on(*range(at, at + 4)), first

    def store(self, f: Fragment, rows: Value, plane: int, i: int, tile: int) -> None:
        """Write rows of row tile `i` (of the plane's), weight tile `tile`."""
        f.write(rows, *self._place(plane, i, tile))

    def value(self, f: Fragment, plane: int, i: int, tile: int, n: int) -> Value:
        """Read them back."""
        block, first = self._place(plane, i, tile)
        return f.read(block, first, n)


class MatmulKernel(Kernel):
    """``matmul``: c [m, n] = a [m, k] b [k, n]; c is the accumulator (fp32, int32)."""

    name = "matmul"
    machine = "lpu"
    summary = "c = a b; m = 1 is the decode case"
    params = (
        Param("m", 640, "rows of a"),
        Param("n", 640, "columns of b"),
        Param("k", 640, "columns of a = rows of b"),
    )
    inputs_doc = {"a": "[m, k]", "b": "[k, n]"}
    outputs_doc = {"c": "[m, n] fp32, or int32 for int8"}

    def dtypes(self, chip: LpuChip) -> tuple[str, ...]:
        return tuple(chip.mxm.modes)

    def default_dtype(self, chip: LpuChip) -> str:
        return "int8"

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        a, b = arrays["a"], arrays["b"]
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
            raise KernelError(f"a is [m, k] and b [k, n], not {a.shape} and {b.shape}")
        return {"m": a.shape[0], "k": a.shape[1], "n": b.shape[1]}

    def build(self, chip: LpuChip, dtype: str, params: Params) -> Program:
        m, n, k = (int(params[p]) for p in ("m", "n", "k"))
        work = Matmul(chip, dtype, m, n, k)
        tensors_a, a = work.place_activations("a")
        tensors_b, b = work.place_weights("b")
        out, c = work.place_results("c", accumulator(dtype))
        schedule = Schedule(chip, f"matmul {m}x{n}x{k} {dtype}")
        work.product(schedule, a, b, c)
        meta = {"kernel": self.name, "dtype": dtype, "shape": {"m": m, "n": n, "k": k}}
        return schedule.program([*tensors_a, *tensors_b, out], meta)

    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        m, n, k = (int(params[p]) for p in ("m", "n", "k"))
        return {"a": normal((m, k), seed, 0), "b": normal((k, n), seed, 1)}

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        tensors: dict[str, Any] = {}
        scales: dict[str, float] = {}
        for name, axis in (("a", 1), ("b", 0)):
            operand = encode_operand(name, arrays, dtype, axis)
            tensors[name] = operand.codes
            scales |= operand.scales
            if operand.block_scales is not None:
                tensors[f"{name}.scale"] = operand.block_scales
        return Encoded(tensors, scales)

    def decode(self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded) -> dict[str, Array]:
        return {"c": outputs["c"].view(np.int32 if dtype == "int8" else np.float32)}

    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"c": arrays["a"].astype(np.float64) @ arrays["b"].astype(np.float64)}

    def naive(self, dtype: str, params: Params, arrays: Arrays) -> dict[str, Array]:
        return {"c": naive_matmul(arrays["a"], arrays["b"], dtype)}

    def macs(self, params: Params) -> int:
        return int(params["m"]) * int(params["n"]) * int(params["k"])

    def accuracy_scale(self, dtype: str, encoded: Encoded) -> dict[str, float]:
        return {"c": encoded.scales.get("a", 1.0) * encoded.scales.get("b", 1.0)}


KERNEL = MatmulKernel()
