"""What the kernels over [rows, columns] share: where x and y lie, and the way into fp32 and out.

Row-wise kernels store x transposed, rows in lanes and one vector per column, so that a maximum or
sum over a row is a running one over successive vectors and its result is in the right lane.
Element-wise kernels store rows as they are.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from emulator.lpu.chip import LpuChip
from isa.lpu import CASTS
from isa.program import Digit, Layout, Program, Tensor
from isa.table import BYTES_OF
from programs.kernel import KernelError, Params
from programs.lpu.schedule import Arena, Block, Fragment, Schedule, ScheduleError, Value
from programs.lpu.tiles import RowTiles, Shape3
from programs.rows import RowsMaths

TILE = 512  # vectors of one burst; tiles lie in different slices and run side by side


class Stage:
    """Tensors and schedule of one [rows, columns] program."""

    def __init__(self, chip: LpuChip, dtype: str, rows: int, cols: int, *, transposed: bool,
                 label: str) -> None:  # fmt: skip
        self.chip, self.dtype, self.rows, self.cols = chip, dtype, rows, cols
        self.transposed = transposed
        self.arena = Arena(chip)
        self.plan = Schedule(chip, label)
        self.tensors: list[Tensor] = []
        outer, inner = (cols, rows) if transposed else (rows, cols)
        # Row-wise, a burst is a whole row; else tiles of it.
        self.shape = Shape3(1, outer, inner, outer if transposed else min(outer, TILE), chip.lanes)
        self._next = {"w": 0, "e": 0}

    def quads(self, side: str, width: int) -> list[str]:
        """The next `width` slices of a side, going round."""
        names = []
        for _ in range(width):
            names.append(f"{side}{self._next[side] % self.chip.mem.slices}")
            self._next[side] += 1
        return names

    def tensor(self, name: str, dtype: str, role: str, side: str, *, copies: int = 1,
               bank: int = 0) -> list[RowTiles]:  # fmt: skip
        """A [rows, columns] tensor, `copies` times in different slices; `role` "" for scratch."""
        axes = (None, 1, 0) if self.transposed else (None, 0, 1)
        tiles = []
        for _ in range(copies):
            width = BYTES_OF[dtype] * self._spread(dtype)
            tiles.append(RowTiles(self.arena, self.quads(side, width), dtype, self.shape, name,
                                  banks=(bank,), axes=axes))  # fmt: skip
        if role:
            layouts = tuple(t.layouts()[0] for t in tiles)
            self.tensors.append(Tensor(name, dtype, (self.rows, self.cols), role, layouts))
        return tiles

    def _spread(self, dtype: str) -> int:
        """Groups of slices that tiles are dealt out to."""
        return max(1, min(self.shape.tiles, self.chip.mem.slices // (4 * BYTES_OF[dtype])))

    def per_column(self, name: str, side: str) -> Block:
        """An fp32 input [columns], one vector a column, the same in all lanes."""
        block = self.arena.block(self.quads(side, 4), 0, self.cols, name)
        layout = Layout(block.slices, block.base, (Digit(0, 1, self.cols, addr=block.step),), None)
        self.tensors.append(Tensor(name, "fp32", (self.cols,), "in", (layout,)))
        return block

    def vectors(self, side: str, what: str, bank: int = 0) -> Block:
        """Scratch for one fp32 vector per row tile of lanes."""
        return self.arena.block(self.quads(side, 4), bank, self.shape.passes, what)

    def load(self, f: Fragment, x: RowTiles, p: int, first: int = 0, n: int | None = None) -> Value:
        """Vectors of x as fp32."""
        value = x.value(f, 0, p, first, self.shape.rows if n is None else n)
        if self.dtype != "fp32" and x.streams != 4:
            value = f.vxm(f"cast.{self.dtype}.fp32", value)
        return value

    def bursts(self) -> list[tuple[int, int, int]]:
        """(first vector, count, pass) of every burst of an element-wise program."""
        sh = self.shape
        return [(t * sh.tile, sh.rows_of(t), p) for t in range(sh.tiles) for p in range(sh.passes)]


class RowsKernel(RowsMaths):
    """Builds a kernel x [rows, columns] -> y of the same shape; subclasses place fragments."""

    machine = "lpu"
    transposed: ClassVar[bool] = True

    @abstractmethod
    def place(self, stage: Stage) -> None:
        """Add the tensors and place the fragments."""

    def dtypes(self, chip: LpuChip) -> tuple[str, ...]:
        floats = [d for d in chip.mxm.modes if d in CASTS and d != "int8"]
        return ("fp32", *floats)

    def build(self, chip: LpuChip, dtype: str, params: Params) -> Program:
        rows, cols = params["rows"], params["cols"]
        stage = Stage(chip, dtype, rows, cols, transposed=self.transposed,
                      label=f"{self.name} {rows}x{cols} {dtype}")  # fmt: skip
        try:
            self.place(stage)
        except ScheduleError as error:
            raise KernelError(f"{self.name} does not fit {chip.name}: {error}") from None
        meta = {"kernel": self.name, "dtype": dtype, "shape": {"rows": rows, "cols": cols}}
        return stage.plan.program(stage.tensors, meta)
