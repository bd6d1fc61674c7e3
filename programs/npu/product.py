"""c = a b on the cube sub-cores: double buffers in L1 and L0, FIX taking tiles as M finishes them.

Per tile of the output, k runs in steps through L1 (MTE2), each in smaller steps through L0 (MTE1,
M). Flags, by pipe pair: mte1 -> mte2 and back, 0 and 1: halves of L1; 2 and 3: halves of its
scales; m -> mte1 and back, 0 and 1: halves of L0. M and FIX hand over per 512 bytes (unit flag).
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.npu.chip import NpuChip
from isa.npu import Reg
from isa.program import Section
from programs.npu.emit import Code
from programs.npu.tiling import BLOCK, Tiling, is_scaled

WIDTH = {4: "b4", 8: "b8", 16: "b16", 32: "b32"}


@dataclass(frozen=True)
class Places:
    """Global addresses of the operands."""

    a: int
    b: int
    c: int
    a_scale: int = 0
    b_scale: int = 0


class Product:
    """Emits the cube's program for one tiling, by itself or into `code`."""

    def __init__(
        self, chip: NpuChip, dtype: str, tiling: Tiling, places: Places, code: Code | None = None
    ) -> None:
        self.chip, self.dtype, self.t, self.at = chip, dtype, tiling, places
        self.scaled = is_scaled(dtype)
        self.width = WIDTH[tiling.bits]
        self.code = code or Code("core.cube")
        self.result = "int32" if dtype == "int8" else "fp32"
        buffers = chip.buffers()
        self.half = {name: buffers[name] // 2 for name in ("l0a", "l0b", "l0as", "l0bs")}
        # The halves of L1 are its banks: MTE1 reads one while MTE2 writes the other.
        self.half["l1"] = buffers["l1"] // 2
        # Two tiles in L0C where they fit: FIX takes one while M fills the other.
        size = tiling.tm * tiling.tn * 4
        self.c_size = size if 2 * size <= buffers["l0c"] else 0

    def section(self) -> Section:
        """The whole program of a block."""
        self.emit()
        self.code("end")
        return self.code.section()

    def emit(self) -> None:
        """All of it but its end."""
        code, t = self.code, self.t
        done = code.label()
        self.i, self.i_end, first_j, self.j_end = (code.reg() for _ in range(4))
        with code.temporary() as block:
            code("sr", which="block", dst=block)
            code.op("div", self.i, block, t.cols)
            code.op("rem", first_j, block, t.cols)
        for begin, end, size, most in (
            (self.i, self.i_end, t.block_m, t.m), (first_j, self.j_end, t.block_n, t.n)
        ):  # fmt: skip
            code.op("mul", begin, begin, size)
            code.op("add", end, begin, size)
            code.op("min", end, end, most)
            code.branch("ge", begin, end, done)
        self._constants()
        self.j = code.reg()
        with code.loop(self.i, self.i, self.i_end, t.tm):
            self._clip(self.m, self.i, self.i_end, t.tm)
            with code.loop(self.j, first_j, self.j_end, t.outputs):
                self._columns()
                self._tile()
        code.bind(done)

    def _constants(self) -> None:
        """Pitches, sizes, parities, and all buffers free."""
        code, t = self.code, self.t
        self.m, self.n, self.kk, self.kc = (code.reg() for _ in range(4))
        self.k_step, self.k_tile = code.reg(), code.reg()
        self.l1, self.l0, self.l0c = code.reg(0), code.reg(0), code.reg(0)
        self.a_pitch, self.b_pitch = code.reg(t.bytes(t.k)), code.reg(t.bytes(t.n))
        self.a_step, self.b_step = code.reg(t.bytes(t.step)), code.reg(t.bytes(t.tn))
        for number in (0, 1):
            code.raise_flag("mte1", "mte2", number)
            code.raise_flag("m", "mte1", number)
        if self.scaled:
            self.part = code.reg(1)  # half of the scale buffers, flipped before its first use
            self.blocks = code.reg(-(-t.k // BLOCK))
            self.span_blocks, self.span_at = code.reg(t.span // BLOCK), code.reg()
            self.columns, self.tile_columns = code.reg(t.n), code.reg(t.tn)
            for number in (2, 3):
                code.raise_flag("mte1", "mte2", number)

    def _clip(self, size: Reg, at: Reg, end: Reg, most: int) -> None:
        self.code.op("sub", size, end, at)
        self.code.op("min", size, size, most)

    def _columns(self) -> None:
        """n = columns of B in this tile."""
        self._clip(self.n, self.j, self.j_end, self.t.tn)

    def _tile(self) -> None:
        code, t = self.code, self.t
        with code.loop(self.kk, 0, t.k, t.step):
            with code.temporary() as left:
                code.mov(left, t.k)
                code.op("sub", self.k_step, left, self.kk)
                code.op("min", self.k_step, self.k_step, t.step)
            if self.scaled:
                code.op("rem", self.span_at, self.kk, t.span)
                with code.when("eq", self.span_at, 0):
                    self._load_scales()
            self._load_step()
            with code.loop(self.kc, 0, self.k_step, t.tk):
                self._multiply()
            code.raise_flag("mte1", "mte2", self.l1)
            code.op("xor", self.l1, self.l1, 1)
            if self.scaled:
                self._release_scales()
        self._deliver()

    # ---- global memory -> L1 ---------------------------------------------------------------------

    def _load_step(self) -> None:
        """A [m, k_step] and B [k_step, n] into the half of L1 whose number is in `l1`."""
        code, t = self.code, self.t
        code.await_flag("mte1", "mte2", self.l1)
        with code.temporary() as dst, code.temporary() as src, code.temporary() as off:
            code.op("mul", dst, self.l1, self.half["l1"])
            code.op("mul", src, self.i, t.bytes(t.k))
            self._elements(off, self.kk)
            code.op("add", src, src, off)
            code.op("add", src, src, self.at.a)
            code("load", space="l1", width=self.width, dst=dst, src=src, n=self.k_step,
                 rows=self.m, src_pitch=self.a_pitch, dst_pitch=self.a_step)  # fmt: skip
            code.op("add", dst, dst, t.l1_a)
            code.op("mul", src, self.kk, t.bytes(t.n))
            self._elements(off, self.j)
            code.op("add", src, src, off)
            self._load_b(dst, src)
        code.hand_over("mte2", "mte1", self.l1)

    def _load_b(self, dst: Reg, src: Reg) -> None:
        """B [k_step, n]; `src` counts bytes from the beginning of B."""
        code = self.code
        code.op("add", src, src, self.at.b)
        code("load", space="l1", width=self.width, dst=dst, src=src, n=self.n, rows=self.k_step,
             src_pitch=self.b_pitch, dst_pitch=self.b_step)  # fmt: skip

    def _elements(self, dst: Reg, count: Reg) -> None:
        """dst = bytes of so many elements (an even number of 4-bit ones)."""
        if self.t.bits == 4:
            self.code.op("shr", dst, count, 1)
        else:
            self.code.scaled(dst, count, self.t.bits // 8)

    def _scales_at(self, dst: Reg) -> None:
        """L1 address of the current half of A's scales; B's lie behind them."""
        self.code.op("mul", dst, self.part, self.half["l1"])
        self.code.op("add", dst, dst, self.t.l1_a + self.t.l1_b)

    def _b_scales_at(self, dst: Reg) -> None:
        t = self.t
        self.code.op("mul", dst, self.part, self.half["l1"])
        self.code.op("add", dst, dst, t.l1_a + t.l1_b + t.l1_as)

    def _load_scales(self) -> None:
        """Scales of the next `span` of k."""
        code, t = self.code, self.t
        code.op("xor", self.part, self.part, 1)
        with code.temporary() as flag, code.temporary() as count:
            code.op("add", flag, self.part, 2)
            code.await_flag("mte1", "mte2", flag)
            with code.temporary() as dst, code.temporary() as src, code.temporary() as at:
                code.op("shr", at, self.kk, 5)
                code.op("sub", count, self.blocks, at)
                code.op("min", count, count, t.span // BLOCK)
                self._scales_at(dst)
                code.op("mul", src, self.i, -(-t.k // BLOCK))
                code.op("add", src, src, at)
                code.op("add", src, src, self.at.a_scale)
                code("load", space="l1", width="b8", dst=dst, src=src, n=count, rows=self.m,
                     src_pitch=self.blocks, dst_pitch=self.span_blocks)  # fmt: skip
                self._b_scales_at(dst)
                code.op("mul", src, at, t.n)
                code.op("add", src, src, self.j)
                self._load_b_scales(dst, src, count)
            code.hand_over("mte2", "mte1", flag)

    def _load_b_scales(self, dst: Reg, src: Reg, count: Reg) -> None:
        """B's scales [count, n]; `src` counts bytes from the beginning of them."""
        code = self.code
        code.op("add", src, src, self.at.b_scale)
        code("load", space="l1", width="b8", dst=dst, src=src, n=self.n, rows=count,
             src_pitch=self.columns, dst_pitch=self.tile_columns)  # fmt: skip

    def _release_scales(self) -> None:
        """After the last step of a span its half of the scale buffers is free again."""
        code, t = self.code, self.t
        with code.temporary() as flag:
            code.op("add", flag, self.kk, t.step)
            last, out = code.label(), code.label()
            code.branch("ge", flag, t.k, last)
            code.op("rem", flag, flag, t.span)
            code.branch("ne", flag, 0, out)
            code.bind(last)
            code.op("add", flag, self.part, 2)
            code.raise_flag("mte1", "mte2", flag)
            code.bind(out)

    # ---- L1 -> L0 -> L0C -------------------------------------------------------------------------

    def _multiply(self) -> None:
        """One L0 tile: MTE1 into half `l0` of the buffers, M out of it."""
        code, t = self.code, self.t
        code.op("sub", self.k_tile, self.k_step, self.kc)
        code.op("min", self.k_tile, self.k_tile, t.tk)
        code.await_flag("m", "mte1", self.l0)
        with code.temporary() as to_a, code.temporary() as to_b, code.temporary() as src:
            code.op("mul", to_a, self.l0, self.half["l0a"])
            code.op("mul", to_b, self.l0, self.half["l0b"])
            with code.temporary() as off:
                code.op("mul", src, self.l1, self.half["l1"])
                self._elements(off, self.kc)
                code.op("add", src, src, off)
            code("load0", buf="a", width=self.width, dst=to_a, src=src, rows=self.m,
                 cols=self.k_tile, pitch=self.a_step)  # fmt: skip
            with code.temporary() as off:
                code.op("mul", src, self.l1, self.half["l1"])
                code.op("mul", off, self.kc, t.bytes(t.tn))
                code.op("add", src, src, off)
                code.op("add", src, src, t.l1_a)
            code("load0", buf="b", width=self.width, dst=to_b, src=src, rows=self.k_tile,
                 cols=self.n, pitch=self.b_step)  # fmt: skip
            if self.scaled:
                self._scales_to_l0(src)
            code.hand_over("mte1", "m", self.l0)
            self._mmad(to_a, to_b, src)
        code.raise_flag("m", "mte1", self.l0)
        code.op("xor", self.l0, self.l0, 1)

    def _scales_to_l0(self, src: Reg) -> None:
        code, t = self.code, self.t
        with code.temporary() as dst, code.temporary() as at, code.temporary() as count:
            code.op("add", at, self.span_at, self.kc)
            code.op("shr", at, at, 5)
            code.op("add", count, self.k_tile, BLOCK - 1)
            code.op("shr", count, count, 5)
            self._scales_at(src)
            code.op("add", src, src, at)
            code.op("mul", dst, self.l0, self.half["l0as"])
            code("load0", buf="as", width="b8", dst=dst, src=src, rows=self.m, cols=count,
                 pitch=self.span_blocks)  # fmt: skip
            code.op("mul", at, at, t.tn)
            self._b_scales_at(src)
            code.op("add", src, src, at)
            code.op("mul", dst, self.l0, self.half["l0bs"])
            code("load0", buf="bs", width="b8", dst=dst, src=src, rows=count, cols=self.n,
                 pitch=self.tile_columns)  # fmt: skip

    def _mmad(self, a: Reg, b: Reg, at: Reg) -> None:
        """The first of a tile begins anew, the last hands over to FIX."""
        code, t = self.code, self.t
        with code.temporary() as scale_a, code.temporary() as scale_b:
            operands = {"type": self.dtype, "dst": self.l0c, "a": a, "b": b, "m": self.m,
                        "n": self.n, "k": self.k_tile}  # fmt: skip
            if self.scaled:
                code.op("mul", scale_a, self.l0, self.half["l0as"])
                code.op("mul", scale_b, self.l0, self.half["l0bs"])
                operands |= {"ascale": scale_a, "bscale": scale_b}
            if t.k <= t.tk:
                code("mmad", **operands, init=True, unit="set")
                return
            later, last, out = code.label(), code.label(), code.label()
            code.op("add", at, self.kk, self.kc)
            code.branch("ne", at, 0, later)
            code("mmad", **operands, init=True, unit="check")
            code("jump", target=out)
            code.bind(later)
            code.op("add", at, at, t.tk)
            code.branch("ge", at, t.k, last)
            code("mmad", **operands)
            code("jump", target=out)
            code.bind(last)
            code("mmad", **operands, unit="set")
            code.bind(out)

    def _deliver(self) -> None:
        """FIX: the tile to global memory."""
        code, t = self.code, self.t
        with code.temporary() as dst, code.temporary() as off, code.temporary() as pitch:
            code.mov(pitch, t.n * 4)
            code.op("mul", dst, self.i, pitch)
            code.op("shl", off, self.j, 2)
            code.op("add", dst, dst, off)
            code.op("add", dst, dst, self.at.c)
            code("fix", space="gm", type=self.result, to=self.result, dst=dst, src=self.l0c,
                 m=self.m, n=self.n, dst_pitch=pitch, unit=True)  # fmt: skip
        if self.c_size:
            code.op("xor", self.l0c, self.l0c, self.c_size)
