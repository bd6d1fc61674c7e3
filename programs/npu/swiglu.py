"""y = silu(x w_gate) * (x w_up): both products in one tile of the cube, silu on its vectors.

A tile of B holds columns of w_gate and, beside them, the same columns of w_up, so that one `mmad`
makes both. FIX hands half of a tile's rows to each vector sub-core, which works on them while the
cube makes the next tile.
"""

from __future__ import annotations

from dataclasses import replace

from emulator.npu.chip import NpuChip
from isa.npu import Reg
from isa.program import Program
from programs.encoding import element_format
from programs.kernel import KernelError, Params
from programs.npu import tiling
from programs.npu.emit import Code, Value
from programs.npu.product import Places, Product
from programs.npu.simd import LANES, REGISTER, Function
from programs.npu.tiles import Core, TileProgram
from programs.npu.tiling import BLOCK, Tiling, up
from programs.swiglu import SwigluMaths

# Counted flags: on the cube one per vector sub-core (half of the tile's place in UB is free), on a
# vector sub-core the half that is ready.
FREE, READY = 0, 0


class TwoProducts(Product):
    """A product with the columns of two B in every tile, handed to the vectors."""

    def __init__(
        self, chip: NpuChip, dtype: str, cut: Tiling, places: dict[str, int], code: Code,
        tiles: tuple[int, int],
    ) -> None:  # fmt: skip
        at = Places(places["x"], 0, 0, places.get("x.scale", 0))
        super().__init__(chip, dtype, cut, at, code)
        self.places, self.vectors = places, chip.vector.per_core
        self.ub, self.turn = tiles, code.reg(0)

    def _columns(self) -> None:
        self.code.mov(self.n, self.t.tn)

    def _load_b(self, dst: Reg, src: Reg) -> None:
        self._halves("", self.width, self.t.bits, 0, dst, src, self.k_step,
                     self.b_pitch, self.b_step)  # fmt: skip

    def _load_b_scales(self, dst: Reg, src: Reg, count: Reg) -> None:
        self._halves(".scale", "b8", 8, 127, dst, src, count, self.columns, self.tile_columns)

    def _halves(
        self, what: str, width: str, bits: int, pad: int, dst: Reg, src: Reg, rows: Reg,
        src_pitch: Reg, dst_pitch: Reg,
    ) -> None:  # fmt: skip
        """Columns of w_gate and then of w_up, the last ones padded to whole halves."""
        code, t = self.code, self.t
        n, cols = self.k_tile, self.kc  # both begin anew when the tile is multiplied
        self._clip(n, self.j, self.j_end, t.outputs)
        code.mov(cols, t.outputs)
        before = 0
        with code.temporary() as padding:
            code.mov(padding, pad)
            for name in ("w_gate", "w_up"):
                code.op("add", src, src, self.places[name + what] - before)
                before = self.places[name + what]
                code("load", space="l1", width=width, dst=dst, src=src, n=n, rows=rows, cols=cols,
                     src_pitch=src_pitch, dst_pitch=dst_pitch, pad=padding)  # fmt: skip
                code.op("add", dst, dst, t.outputs * bits // 8)

    def _deliver(self) -> None:
        """FIX: half of the rows to each vector sub-core."""
        code = self.code
        for vector in range(self.vectors):
            code.await_count("fix", FREE + vector)
        with code.temporary() as dst:
            code.scaled(dst, self.turn, self.ub[1] - self.ub[0])
            code.op("add", dst, dst, self.ub[0])
            code("fix", space="ub", type=self.result, to="fp32", dst=dst, src=self.l0c, m=self.m,
                 n=self.n, split=self.vectors == 2, unit=True)  # fmt: skip
        code.count_up("fix", "vectors", READY)
        code.op("xor", self.turn, self.turn, 1)
        if self.c_size:
            code.op("xor", self.l0c, self.l0c, self.c_size)


class SwigluKernel(SwigluMaths):
    """``swiglu`` in mixed blocks."""

    machine = "npu"

    def dtypes(self, chip: NpuChip) -> tuple[str, ...]:
        return tuple(d for d in chip.dtypes if not d.startswith("mx") or d in ("mxfp8", "mxfp4"))

    def default_dtype(self, chip: NpuChip) -> str:
        return "bf16"

    def build(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        if chip.cube.l0c_ub is None:
            raise KernelError(f"swiglu hands tiles to the vectors; {chip.name} has no path from"
                              " L0C to UB")  # fmt: skip
        if dtype not in self.dtypes(chip):
            granted = ", ".join(self.dtypes(chip))
            raise KernelError(f"swiglu on {chip.name} takes {granted}, not {dtype}")
        m, n, k = (int(params[name]) for name in ("m", "n", "k"))
        vectors = chip.vector.per_core

        def fits(tm: int, tn: int) -> bool:
            """Two tiles and two of y in UB."""
            rows = up(tm, vectors)
            need = 2 * (_tile_bytes(rows, tn) + rows * _y_pitch(tn // 2))
            return tn % 32 == 0 and need <= chip.vector.ub

        wide = tiling.default(chip, dtype, m, max(2 * n, 32), k, fits=fits)
        cut = replace(wide, n=n, halves=2)
        program = TileProgram(chip)
        places = self._tensors(program, dtype, m, n, k)
        cube, vector = program.cube, program.vector
        rows = up(cut.tm, vectors)
        size = _tile_bytes(rows, cut.tn)
        first = vector.buffer("ub", 2 * size, "gate and up")
        tiles = first, first + size
        TwoProducts(chip, dtype, cut, places, cube, tiles).emit()
        _Silu(vector, dtype, cut, places, tiles, rows).emit()
        meta = {
            "kernel": self.name, "dtype": dtype, "shape": {"m": m, "n": n, "k": k},
            "tile": f"{cut.tm}x{cut.tn}x{cut.tk}", "grid": f"{cut.rows}x{cut.cols}",
        }  # fmt: skip
        return program.finish(cut.rows * cut.cols, meta)

    @staticmethod
    def _tensors(program: TileProgram, dtype: str, m: int, n: int, k: int) -> dict[str, int]:
        """Declares all tensors; their addresses by name."""
        element, blocks = element_format(dtype), up(k, BLOCK)
        tensors = [program.tensor("x", element, (m, k))]
        tensors += [program.tensor(name, element, (k, n)) for name in ("w_gate", "w_up")]
        if tiling.is_scaled(dtype):
            tensors.append(program.tensor("x.scale", "e8m0", (m, blocks)))
            tensors += [program.tensor(f"{name}.scale", "e8m0", (blocks, n))
                        for name in ("w_gate", "w_up")]  # fmt: skip
        if dtype == "int8":
            tensors += [program.tensor(name, "fp32", (1,)) for name in SwigluKernel.factors]
        tensors.append(program.tensor("y", "fp32", (m, n), "out"))
        return {t.name: t.layouts[0].base for t in tensors}


def _tile_bytes(rows: int, columns: int) -> int:
    """A tile in UB; the last row's last register may reach beyond it."""
    return up(4 * rows * columns, REGISTER) * REGISTER + REGISTER


def _y_pitch(outputs: int) -> int:
    """Bytes of a row of y in UB: whole registers."""
    return up(outputs * 4, REGISTER) * REGISTER


class _Silu:
    """The vectors' half: y of the rows that FIX handed over, through UB to global memory."""

    def __init__(
        self, core: Core, dtype: str, cut: Tiling, places: dict[str, int],
        tiles: tuple[int, int], rows: int,
    ) -> None:  # fmt: skip
        self.core, self.t, self.places, self.ub = core, cut, places, tiles
        self.integer = dtype == "int8"
        self.vectors = core.program.chip.vector.per_core
        self.pitch = _y_pitch(cut.outputs)
        self.y = core.ring("y", ("v", "mte3"), {"y": ("ub", rows * self.pitch)})
        self.silu = self._function(
            core.program.simd("silu", "tile", "y", "rows", *(["gate", "up"] * self.integer))
        )

    def _function(self, f: Function) -> Function:
        """y = g / (1 + exp(-g)) u, row by row; g and u lie beside each other."""
        outputs = self.t.outputs
        tail = f.mask(outputs % LANES) if outputs % LANES else None
        with f.repeat(f["rows"]):
            for column in range(0, outputs, LANES):
                with f.scope():
                    g, u = (f.load(f["tile"], offset=4 * (column + i * outputs)) for i in (0, 1))
                    if self.integer:
                        f.mul(g, f["gate"], into=g)
                        f.mul(u, f["up"], into=u)
                    share = f.div(g, f.add(f.exp(f.each("vneg", g)), 1.0))
                    mask = tail if column + LANES > outputs else None
                    f.store(f.mul(share, u), f["y"], offset=4 * column, mask=mask)
            f.op("add", f["tile"], f["tile"], 4 * self.t.tn)
            f.op("add", f["y"], f["y"], self.pitch)
        return f

    def emit(self) -> None:
        core, t = self.core, self.t
        sub, done = core.reg(), core.label()
        core("sr", which="sub", dst=sub)
        self.sub, self.turn = sub, core.reg(0)
        for _ in range(2):
            self._free()
        self.factors: list[Value] = []
        if self.integer:
            with core.temporary() as at:
                for name in SwigluKernel.factors:
                    core.mov(at, self.places[name])
                    self.factors.append(core.reg())
                    core("ld", space="gm", width="u32", dst=self.factors[-1], base=at)
        i, i_end, first_j, j_end, j = (core.reg() for _ in range(5))
        with core.temporary() as block:
            core("sr", which="block", dst=block)
            core.op("div", i, block, t.cols)
            core.op("rem", first_j, block, t.cols)
        for begin, end, size, most in (
            (i, i_end, t.block_m, t.m),
            (first_j, j_end, t.block_n, t.n),
        ):
            core.op("mul", begin, begin, size)
            core.op("add", end, begin, size)
            core.op("min", end, end, most)
            core.branch("ge", begin, end, done)
        with core.loop(i, i, i_end, t.tm), core.temporary() as row, core.temporary() as rows:
            self._rows(i, i_end, row, rows)
            with core.loop(j, first_j, j_end, t.outputs):
                self._tile(row, rows, j, j_end)
        core.bind(done)

    def _free(self) -> None:
        with self.core.temporary() as own:
            self.core.count_up("v", "cube", self.core.op("add", own, self.sub, FREE))

    def _rows(self, i: Reg, i_end: Reg, row: Reg, rows: Reg) -> None:
        """This sub-core's rows of the tile: the first ones the larger half."""
        core = self.core
        core.op("sub", rows, i_end, i)
        core.op("min", rows, rows, self.t.tm)
        core.mov(row, i)
        if self.vectors == 2:
            with core.temporary() as larger:
                core.op("add", larger, rows, 1)
                core.op("shr", larger, larger, 1)
                second, out = core.label(), core.label()
                core.branch("ne", self.sub, 0, second)
                core.mov(rows, larger)
                core("jump", target=out)
                core.bind(second)
                core.op("sub", rows, rows, larger)
                core.op("add", row, row, larger)
                core.bind(out)

    def _tile(self, row: Reg, rows: Reg, j: Reg, j_end: Reg) -> None:
        core, t = self.core, self.t
        core.await_count("v", READY)
        with self.y.stage("v") as slot, core.temporary() as tile:
            core.scaled(tile, self.turn, self.ub[1] - self.ub[0])
            core.op("add", tile, tile, self.ub[0])
            core.call(self.silu, tile, slot["y"], rows, *self.factors)
        self._free()
        core.op("xor", self.turn, self.turn, 1)
        with (
            self.y.stage("mte3") as slot, core.when("gt", rows, 0),
            core.operands(src_pitch=self.pitch, dst_pitch=4 * t.n) as held,
            core.temporary() as dst, core.temporary() as n,
        ):  # fmt: skip
            core.op("mul", dst, row, t.n)
            core.op("add", dst, dst, j)
            core.op("shl", dst, dst, 2)
            core.op("add", dst, dst, self.places["y"])
            core.op("sub", n, j_end, j)
            core.op("min", n, n, t.outputs)
            core("store", space="gm", width="b32", dst=dst, src=slot["y"], n=n, rows=rows, **held)
        self.y.advance()


KERNEL = SwigluKernel()
