"""How a matmul is cut up: tiles in L0, steps in L1, blocks over the cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from emulator.npu.chip import NpuChip
from isa.npu import BITS_OF
from programs.kernel import KernelError

BLOCK = 32  # elements of k that share a scale
SMALL = 64 * 64  # elements of a tile whose loads into L0 are mostly overhead unless k is deep
SCALE_SPAN = 4096  # most k whose scales are loaded at once: rows of 128 bytes


def up(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def is_scaled(dtype: str) -> bool:
    return dtype.startswith("mx")


def chunk(chip: NpuChip, dtype: str) -> int:
    """Elements of k that the cube sums exactly; k is split only there."""
    return int(chip.cube.chunk) * 8 // BITS_OF.get(dtype, 8)


@dataclass(frozen=True)
class Tiling:
    """`tm` x `tn` x `tk` in L0, `step` of k in L1 at once, `span` of k per load of scales.

    `rows` x `cols` blocks; each owns `block_m` x `block_n` of the output.
    """

    m: int
    n: int
    k: int
    bits: int
    tm: int
    tn: int
    tk: int
    step: int
    span: int
    rows: int
    cols: int
    halves: int = 1  # 2: a tile's columns are of two B beside each other, of each the same ones

    def bytes(self, elements: int) -> int:
        return up(elements * self.bits, 8)

    @property
    def block_m(self) -> int:
        return up(up(self.m, self.tm), self.rows) * self.tm

    @property
    def outputs(self) -> int:
        """Columns of the output that a tile makes."""
        return self.tn // self.halves

    @property
    def block_n(self) -> int:
        return up(up(self.n, self.outputs), self.cols) * self.outputs

    @property
    def l1_a(self) -> int:
        """Bytes of a step of A in L1, and below of B and of the scales."""
        return _aligned(self.tm * self.bytes(self.step))

    @property
    def l1_b(self) -> int:
        return _aligned(self.step * self.bytes(self.tn))

    @property
    def l1_as(self) -> int:
        return _aligned(self.tm * (self.span // BLOCK))

    @property
    def l1_bs(self) -> int:
        return _aligned(self.tn * (self.span // BLOCK))

    @property
    def l1(self) -> int:
        """All of L1 that it needs: everything twice."""
        return 2 * (self.l1_a + self.l1_b + self.l1_as + self.l1_bs)


def _aligned(size: int) -> int:
    return up(size, 32) * 32


def default(
    chip: NpuChip,
    dtype: str,
    m: int,
    n: int,
    k: int,
    tile: tuple[int, ...] | None = None,
    blocks: tuple[int, ...] | None = None,
    fits: Callable[[int, int], bool] = lambda tm, tn: True,
) -> Tiling:
    """The tiling with the least estimated time, or the given one checked.

    `fits(tm, tn)` says so where something else than L0 has to hold a tile.
    """
    if tile is not None:
        return _with_steps(chip, dtype, m, n, k, tile, blocks or _grid(chip, m, n, tile))
    best: tuple[float, Tiling, tuple[int, ...]] | None = None
    grids = [blocks] if blocks else _grids(chip)
    for candidate in _tiles(chip, dtype, m, n, k):
        if not fits(candidate[0], candidate[1]):
            continue
        try:
            tiling = _with_steps(chip, dtype, m, n, k, candidate, grids[0])
        except KernelError:
            continue
        cycles = _of_a_tile(chip, dtype, tiling)
        for grid in grids:
            time = _estimate(chip, tiling, grid, *cycles)
            if best is None or time < best[0]:
                best = time, tiling, grid
    if best is None:
        raise KernelError(f"{chip.name}: no tile of {dtype} fits L0 and L1")
    rows, cols = best[2]
    return replace(best[1], rows=rows, cols=cols)


def _tiles(chip: NpuChip, dtype: str, m: int, n: int, k: int) -> Iterator[tuple[int, ...]]:
    """Tiles worth a try, larger first: equal estimates take the larger."""
    unit = chunk(chip, dtype)
    sizes = (512, 384, 256, 192, 128, 96, 64, 48, 32, 16)
    for tm in sizes:
        for tn in sizes:
            if (tm > 16 and tm >= 2 * m) or (tn > 16 and tn >= 2 * n):
                continue
            for depth in (16, 8, 4, 2, 1) if tm * tn <= SMALL else (2, 1):
                if unit * depth < 2 * k or depth == 1:
                    yield tm, tn, unit * depth


def _grids(chip: NpuChip) -> list[tuple[int, int]]:
    return [(r, chip.cores // r) for r in range(1, chip.cores + 1) if chip.cores // r * r > 0]


def _grid(chip: NpuChip, m: int, n: int, tile: tuple[int, ...]) -> tuple[int, int]:
    """The blocks for given tiles: the grid with the fewest tiles per core."""
    return min(
        _grids(chip),
        key=lambda g: (up(up(m, tile[0]), g[0]) * up(up(n, tile[1]), g[1]), abs(g[0] - g[1])),
    )


def _with_steps(
    chip: NpuChip, dtype: str, m: int, n: int, k: int, tile: tuple[int, ...], grid: tuple[int, ...]
) -> Tiling:
    """The largest steps in L1 that fit; `KernelError` with needed and available bytes."""
    tm, tn, tk = tile
    unit, bits = chunk(chip, dtype), BITS_OF.get(dtype, 8)
    if tk % unit:
        raise KernelError(f"tile {tm}x{tn}x{tk}: k is a multiple of {unit} for {dtype}")
    if tm % 16 or tn % 16:
        raise KernelError(f"tile {tm}x{tn}x{tk}: m and n are multiples of 16")
    cube = chip.cube
    for name, need, have in (
        ("L0A", 2 * tm * tk * bits // 8, int(cube.l0a)),
        ("L0B", 2 * tn * tk * bits // 8, int(cube.l0b)),
        ("L0C", tm * tn * 4, int(cube.l0c)),
    ):
        if need > have:
            message = f"needs {need:,} bytes of {name}, it has {have:,}"
            raise KernelError(f"tile {tm}x{tn}x{tk} {message}")
    whole = up(k, tk) * tk
    smallest = None
    for times in (4, 3, 2, 1):
        step = min(tk * times, whole)
        span = 0
        if is_scaled(dtype):
            span = min(max(SCALE_SPAN // step, 1) * step, up(whole, step) * step)
        smallest = Tiling(m, n, k, bits, tm, tn, tk, step, span, *grid)
        if smallest.l1 <= int(cube.l1):
            return smallest
    assert smallest is not None
    raise KernelError(
        f"tile {tm}x{tn}x{tk} needs {smallest.l1:,} bytes of L1, it has {int(cube.l1):,}"
    )


def _of_a_tile(chip: NpuChip, dtype: str, t: Tiling) -> tuple[float, float]:
    """Cycles of the slowest pipe for a tile, and those before the first tile's work begins and
    after the last one's has ended: whatever the blocks.
    """
    cube = chip.cube
    m, n = min(t.tm, t.m), min(t.tn, t.n)
    steps = up(t.k, t.tk)
    ideal = up(m, 16) * up(n, 16) * up(min(t.tk, t.k), chip.k0(dtype))
    start = cube.startup if ideal < cube.startup_hidden_from else cube.startup_hidden
    load = 2 * cube.load_overhead + (2 * cube.scale_overhead if is_scaled(dtype) else 0)
    depth = t.bytes(min(t.tk, t.k))
    load += int(m * depth / cube.l1_l0a + n * depth / cube.l1_l0b)
    # A piece of a row of B shorter than an L2 line costs some more.
    width = t.bytes(n) + (chip.l2.partial_line if t.bytes(n) < chip.l2.line else 0)
    moved = (m * t.bytes(t.k) + t.k * width) / chip.dma.gm_l1
    moved += 2 * up(t.k, t.step) * chip.dma.overhead
    out = m * n * 4 / cube.l0c_gm + cube.fix_overhead
    first = t.step * (t.bytes(m) + t.bytes(n)) / chip.dma.gm_l1 + out
    return max(steps * (ideal + start), steps * load, moved, out), first


def _estimate(chip: NpuChip, t: Tiling, grid: tuple[int, ...], tile: float, first: float) -> float:
    """Cycles if the slowest pipe of a core or HBM bounds it: a rule of thumb for choosing."""
    down, across = up(up(t.m, t.tm), grid[0]), up(up(t.n, t.tn), grid[1])  # tiles of a block
    # HBM: A comes again for every column of tiles of a block, and B for every row of them, unless
    # L2 keeps them meanwhile.
    rows, cols = min(grid[0] * t.tm, t.m), min(grid[1] * t.tn, t.n)  # that all work on at a time
    a, b, capacity = rows * t.bytes(t.k), t.k * t.bytes(cols), chip.l2.capacity
    a_times = 1 if a + b <= capacity else across
    b_times = 1 if a + t.k * t.bytes(t.n) + 4 * rows * t.n <= capacity else down
    moved = a_times * t.m * t.bytes(t.k) + b_times * t.k * t.bytes(t.n) + 4 * t.m * t.n
    hbm = moved * chip.clock / chip.hbm.bandwidth
    core = down * across * tile
    # The shorter of two that overlap is not hidden to its last cycle.
    return max(core, hbm) + min(core, hbm) / 8 + first
