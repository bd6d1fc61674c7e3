"""x -> codes and scales on the vector sub-cores, in passes over tiles of rows.

A register of 64 fp32 lanes makes 64 codes of one byte each, but what is stored is packed: so x is
loaded as even and odd elements, and the codes of a pair become neighbours in one 32-bit lane, of
which the store keeps the low half (8 bits each) or the low byte (4 bits each).

Block formats take three passes over a tile in UB: the largest magnitude of every block; from those,
64 at a time, exponents and the powers of two to multiply with; the products as codes. Integers need
the largest magnitude of the whole tensor first, so their sub-cores read x twice and meet between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emulator.npu.chip import NpuChip
from emulator.numerics import get_block_format
from isa.npu import BITS_OF, Reg
from isa.program import Program
from programs.kernel import KernelError, Params
from programs.npu.rows import RowsFunction, RowTile, row_tile, up
from programs.npu.simd import LANES, REGISTER, Function, Mask, Vector
from programs.npu.tiles import TileProgram
from programs.quantize import BLOCKS, INTEGERS, TARGETS, QuantizeMaths, element_of

PAIRS = 2 * LANES  # elements of two registers, even ones and odd ones
BLOCK = 32
FACTOR_LANES = PAIRS // BLOCK  # blocks of such a pair of registers
CONSTANTS = 8192  # bytes of UB for maxima and such
LARGEST = 3.4028234663852886e38  # finite fp32
NAN_EXPONENT = 255
LEAST_FACTOR = 0x00400000  # 2^-127, the bits of a subnormal


@dataclass(frozen=True)
class Codes:
    """How codes of a format are made from fp32 and packed."""

    to: str

    @property
    def element(self) -> str:
        return element_of(self.to)

    @property
    def bits(self) -> int:
        return BITS_OF.get(self.element, 8)

    def store(self, f: Function, even: Vector, odd: Vector, at: Reg, mask: Mask | None = None,
              source: str = "fp32") -> None:  # fmt: skip
        """Convert a pair of registers (lanes outside the mask give 0) and store 128 codes."""
        low = f.convert(even, source, self.element, sat=True, mask=mask)
        if self.bits == 8:
            codes = f.convert(odd, source, self.element, part=1, into=low, sat=True, mask=mask,
                              merge=True)  # fmt: skip
            f("vst", width="b16", dist="pack", src=codes, base=at, post=PAIRS)
            return
        high = f.convert(odd, source, self.element, sat=True, mask=mask)
        if self.element == "int4":
            f.each("vand", low, 15, type="int32", into=low)
        f.each("vshl", high, 4, type="int32", into=high)
        f.each("vor", low, high, type="int32", into=low)
        f("vst", width="b8", dist="pack4", src=low, base=at, post=PAIRS // 2)


class PairFunction(RowsFunction):
    """Emits passes over rows by pairs of registers."""

    def __init__(self, f: Function, tile: RowTile, dtype: str) -> None:
        super().__init__(f, tile, dtype)
        self.masks: tuple[Mask, Mask] | None = None
        if tile.tail:
            self.masks = f.mask((tile.tail + 1) // 2), f.mask(tile.tail // 2)
            self.mask = self.masks[0]

    def pair(self, at: Reg, mask: Mask | None) -> tuple[Vector, Vector]:
        """The next 128 elements, zeros beyond the row."""
        even, odd = self.f.load_pairs(at, self.dtype, step=True)
        if mask is not None and self.masks is not None:
            self.f.keep(self.masks[0], even)
            self.f.keep(self.masks[1], odd)
        return even, odd

    def pairs(self, numbers: list[int], step: Callable[[int, Vector, Vector], None]) -> None:
        """step(row, even, odd) for every pair of registers of x."""
        f = self.f
        at = self.cursors("x", self.tile.x_pitch, numbers)

        def visit(mask: Mask | None, way: int) -> None:
            for i in numbers:
                with f.scope():
                    step(i, *self.pair(at[i], mask))

        self.chunks(visit)
        f.free(*at)

    def codes(self, numbers: list[int], step: Callable[[int, Vector, Vector, Reg], None]) -> None:
        """step(row, even, odd, where their codes go) for every pair of registers of x."""
        to = self.cursors("y", self.tile.y_pitch, numbers)
        self.pairs(numbers, lambda i, even, odd: step(i, even, odd, to[i]))
        self.f.free(*to)


class QuantizeKernel(QuantizeMaths):
    """Builds the program for one format."""

    machine = "npu"

    def dtypes(self, chip: NpuChip) -> tuple[str, ...]:
        return "fp32", "fp16", "bf16"

    def targets(self, chip: NpuChip) -> tuple[str, ...]:
        """Formats that the chip's casts know: a chip without 8-bit floats has integers only."""
        return TARGETS if "e4m3" in chip.dtypes else tuple(INTEGERS)

    def build(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        rows, cols, to = int(params["rows"]), int(params["cols"]), str(params["to"])
        if to not in self.targets(chip):
            granted = ", ".join(self.targets(chip))
            raise KernelError(f"{chip.name} does not convert to {to}; it converts to {granted}")
        if dtype not in self.dtypes(chip):
            granted = ", ".join(self.dtypes(chip))
            raise KernelError(f"quantize takes {granted}, not {dtype}")
        return _Builder(chip, dtype, rows, cols, Codes(to)).program()


class _Builder:
    """One program: tensors, buffers, functions, and the loop over tiles."""

    def __init__(self, chip: NpuChip, dtype: str, rows: int, cols: int, codes: Codes) -> None:
        self.dtype, self.rows, self.cols, self.codes = dtype, rows, cols, codes
        self.made = TileProgram(chip)
        self.core = self.made.vector
        blocked, integers = codes.to in BLOCKS, codes.to in INTEGERS
        self.groups = up(cols, PAIRS) * FACTOR_LANES if blocked else 0  # of a row in UB
        tile = row_tile(chip, dtype, codes.element, rows, cols, CONSTANTS, chunk=PAIRS,
                        more=6 * self.groups)  # fmt: skip
        if tile is None:
            raise KernelError(
                f"{chip.name}: a row of {cols:,} columns and its codes do not fit into"
                f" {int(chip.vector.ub):,} bytes of UB"
            )
        self.tile = tile
        self.x = self.made.tensor("x", dtype, (rows, cols))
        self.y = self.made.tensor("y", codes.element, (rows, cols), "out")
        size, depth = self.tile.rows, self.tile.depth
        self.xs = self.core.ring("x", ("mte2", "v"), {"x": ("ub", size * self.tile.x_pitch)}, depth)
        parts = {"y": ("ub", size * self.tile.y_pitch)}
        if blocked:
            self.scale = self.made.tensor("scale", "e8m0", (rows, up(cols, BLOCK)), "out")
            parts["scale"] = ("ub", size * self.groups)
        elif integers:
            self.scale = self.made.tensor("scale", "fp32", (1,), "out")
        self.ys = self.core.ring("y", ("v", "mte3"), parts, depth)

    def program(self) -> Program:
        core, tile = self.core, self.tile
        if self.codes.to in BLOCKS:
            function = self.blocks()
            # A load of a pair's factors takes a whole register.
            factors = core.buffer("ub", 4 * tile.rows * self.groups + REGISTER, "factors")
        elif self.codes.to in INTEGERS:
            scale = self.tensor_scale()
            function = self.integers()
        else:
            function = self.plain()
        with core.tiles(self.rows, tile.rows, tile.blocks) as (first, count):
            self.load(first, count)
            with self.xs.stage("v") as source, self.ys.stage("v") as target:
                arguments = [source["x"], target["y"], count]
                if self.codes.to in BLOCKS:
                    core.call(function, *arguments, factors, target["scale"])
                elif self.codes.to in INTEGERS:
                    core.call(function, *arguments, scale)
                else:
                    core.call(function, *arguments)
            with self.ys.stage("mte3") as slot:
                whole = up(self.cols, 2) * 2 if self.codes.bits == 4 else self.cols
                core.store(self.y, first, slot["y"], pitch=whole, n=self.cols, rows=count,
                           src_pitch=tile.y_pitch)  # fmt: skip
                if self.codes.to in BLOCKS:
                    groups = up(self.cols, BLOCK)
                    core.store(self.scale, first, slot["scale"], pitch=groups, n=groups,
                               rows=count, src_pitch=self.groups)  # fmt: skip
            self.xs.advance()
            self.ys.advance()
        meta = {
            "kernel": "quantize", "dtype": self.dtype,
            "shape": {"rows": self.rows, "cols": self.cols, "to": self.codes.to},
            "tile": f"{tile.rows}x{self.cols}",
        }  # fmt: skip
        return self.made.finish(tile.blocks, meta)

    def load(self, first: Reg, count: Reg) -> None:
        """A tile of x into the ring."""
        with self.xs.stage("mte2") as slot:
            self.core.load(slot["x"], self.x, first, pitch=self.cols, n=self.cols, rows=count,
                           dst_pitch=self.tile.x_pitch)  # fmt: skip

    # ---- functions -------------------------------------------------------------------------------

    def pairs(self, function: Function) -> PairFunction:
        return PairFunction(function, self.tile, self.dtype)

    def plain(self) -> Function:
        """y = x, converted."""
        f = self.made.simd("quantize", "x", "y", "rows")
        rows = self.pairs(f)

        def group(numbers: list[int]) -> None:
            def codes(i: int, even: Vector, odd: Vector, to: Reg) -> None:
                self.codes.store(f, even, odd, to)

            rows.codes(numbers, codes)

        rows.rows(group, x=self.tile.x_pitch, y=self.tile.y_pitch)
        return f

    def blocks(self) -> Function:
        """Block formats: maxima, factors, codes."""
        f = self.made.simd("quantize", "x", "y", "rows", "factors", "scale")
        rows = self.pairs(f)
        start = {n: f.reg(f[n]) for n in ("x", "factors")}
        of_row = 4 * self.groups
        few = f.mask(FACTOR_LANES)

        def maxima(numbers: list[int]) -> None:
            to = rows.cursors("factors", of_row, numbers)

            def largest(i: int, even: Vector, odd: Vector) -> None:
                most = f.max(f.abs(even), f.abs(odd))
                most = f.reduce("max", most, group=f"g{BLOCK // 2}")
                f("vst", width="b32", dist="norm", src=most, base=to[i], post=4 * FACTOR_LANES,
                  mask=few)  # fmt: skip

            rows.pairs(numbers, largest)
            f.free(*to)

        rows.rows(maxima, x=self.tile.x_pitch, factors=of_row)
        f.fence()
        self.exponents(f, start["factors"])
        f.fence()
        for name, register in start.items():
            f.mov(f[name], register)
        lane = f.each("vindex", 0, type="uint32")
        f.each("vshr", lane, (BLOCK // 2).bit_length() - 1, type="uint32", into=lane)

        def products(numbers: list[int]) -> None:
            at = rows.cursors("factors", of_row, numbers)

            def codes(i: int, even: Vector, odd: Vector, to: Reg) -> None:
                factor = f.vector()
                f("vld", width="b32", dist="norm", dst=factor, base=at[i], post=4 * FACTOR_LANES)
                f("vperm", width="b32", dst=factor, a=factor, index=lane)
                valid = f.compare("ne", factor, 0.0)  # blocks with a NaN or Inf become zeros
                for half in (even, odd):
                    f.mul(half, factor, into=half)
                    if self.codes.element == "int8":
                        f.mul(half, 64.0, into=half)
                        f.max(f.min(half, 127.0, into=half), -127.0, into=half)
                self.codes.store(f, even, odd, to, valid)

            rows.codes(numbers, codes)
            f.free(*at)

        rows.rows(products, x=self.tile.x_pitch, y=self.tile.y_pitch, factors=of_row)
        return f

    def exponents(self, f: Function, at: Reg) -> None:
        """Per block: e8m0 code max(exponent - emax, 0) of its maximum, factor 2^(127 - code)."""
        emax = get_block_format(self.codes.to).emax
        count, whole = f.reg(), f.reg()
        f.op("mul", count, f["rows"], self.groups)
        f.op("shr", whole, count, LANES.bit_length() - 1)
        f.op("and", count, count, LANES - 1)
        rest = f.mask(count)
        f.op("min", count, count, 1)
        cursor, back, to = f.reg(at), f.reg(at), f.reg(f["scale"])
        top = f.fill(254, type="int32")

        def chunk(mask: Mask | None) -> None:
            exponent = f.load(cursor, step=True)
            f.each("vshr", exponent, 23, type="uint32", into=exponent)
            finite = f.compare("ne", exponent, NAN_EXPONENT, type="int32")
            code = f.each("vsub", exponent, emax, type="int32", into=exponent)
            f.each("vmax", code, 0, type="int32", into=code)
            factor = f.each("vsub", top, code, type="int32")
            f.each("vshl", factor, 23, type="int32", into=factor)
            f.each("vmax", factor, LEAST_FACTOR, type="int32", into=factor)
            f.keep(finite, factor)
            f.select(finite, code, NAN_EXPONENT, into=code)
            f("vst", width="b32", dist="norm", src=factor, base=back, post=REGISTER, mask=mask)
            f("vst", width="b8", dist="pack4", src=code, base=to, post=LANES, mask=mask)

        with f.repeat(whole):
            chunk(None)
        with f.repeat(count):
            chunk(rest)
        f.free(count, whole, cursor, back, to)

    def integers(self) -> Function:
        """y = round(x / scale): the quotient rounded once, which a rounded fp32 one is not.

        Where it falls between two integers, the remainder, exact when fused, says which is nearer.
        """
        f = self.made.simd("quantize", "x", "y", "rows", "scale")
        rows = self.pairs(f)
        most = INTEGERS[self.codes.to]
        scale = f.load_one(f["scale"])
        below = f.each("vneg", scale)

        def whole(x: Vector) -> Vector:
            with f.scope():
                q = f.div(x, scale)
                f.max(f.min(q, float(most), into=q), float(-most), into=q)
                n = f.convert(q, "fp32", "int32", into=q)
                back = f.convert(n, "int32", "fp32")
                f.madd(x, back, below)  # what is left of x, to be compared with scale / 2
                f.add(x, x, into=x)
                over, under = f.compare("gt", x, scale), f.compare("lt", x, below)
                f.each("vadd", n, 1, type="int32", into=n, mask=over, merge=True)
                f.each("vsub", n, 1, type="int32", into=n, mask=under, merge=True)
                f.each("vmin", n, most, type="int32", into=n)
                return f.each("vmax", n, -most, type="int32", into=x)

        def group(numbers: list[int]) -> None:
            def codes(i: int, even: Vector, odd: Vector, to: Reg) -> None:
                self.codes.store(f, whole(even), whole(odd), to, source="int32")

            rows.codes(numbers, codes)

        rows.rows(group, x=self.tile.x_pitch, y=self.tile.y_pitch)
        return f

    # ---- one scale for the tensor ----------------------------------------------------------------

    def tensor_scale(self) -> int:
        """Address in UB of the scale: every sub-core its maximum, a meeting, all maxima."""
        core, blocks = self.core, self.tile.blocks
        found = self.made.tensor("maxima", "fp32", (blocks, 8), "scratch")
        own = core.buffer("ub", REGISTER, "maximum")
        scale = core.buffer("ub", REGISTER, "scale")
        every = core.buffer("ub", up(blocks * 32, REGISTER) * REGISTER, "maxima")
        clear, largest, last = self.maximum()
        core.call(clear, own)
        with core.tiles(self.rows, self.tile.rows, blocks) as (first, count):
            self.load(first, count)
            with self.xs.stage("v") as source:
                core.call(largest, source["x"], count, own)
            self.xs.advance()
        core.call(last, own)
        flag = core.flags([("v", "mte3"), ("mte2", "v")], 1)
        core.hand_over("v", "mte3", flag)
        core.store(found, core.worker, own, pitch=8, n=8)
        core("xset", src="mte3", scope="grid", id=0)
        core("xwait", dst="mte2", id=0)
        core.load(every, found, 0, n=8 * blocks)
        core.hand_over("mte2", "v", flag)
        core.call(self.scale_of(blocks), every, scale)
        core.hand_over("v", "mte3", flag)
        with core.when("eq", core.worker, 0):
            core.store(self.scale, 0, scale, n=1)
        return scale

    def maximum(self) -> tuple[Function, Function, Function]:
        """Begin at 0; the largest finite magnitudes of a tile, lane by lane; of all lanes."""
        clear = self.made.simd("clear", "own")
        clear.store(clear.fill(0.0), clear["own"])
        f = self.made.simd("largest", "x", "rows", "own")
        total = f.load(f["own"])
        rows = self.pairs(f)

        def group(numbers: list[int]) -> None:
            def pair(i: int, even: Vector, odd: Vector) -> None:
                for half in (even, odd):
                    f.abs(half, into=half)
                    f.keep(f.compare("le", half, LARGEST), half)
                f.max(total, f.max(even, odd), into=total)

            rows.pairs(numbers, pair)

        rows.rows(group, x=self.tile.x_pitch)
        f.store(total, f["own"])
        last = self.made.simd("last", "own")
        last.store(last.reduce_all("max", last.load(last["own"])), last["own"])
        return clear, f, last

    def scale_of(self, blocks: int) -> Function:
        """scale = largest of all / the largest code, 1 for a tensor of zeros."""
        f = self.made.simd("scale", "maxima", "scale")
        total = f.fill(0.0)
        for first in range(0, 8 * blocks, LANES):
            left = 8 * blocks - first
            with f.scope():
                mask = f.mask(left) if left < LANES else None
                f.max(total, f.keep(mask, f.load(f["maxima"], step=True)), into=total)
        most = f.reduce_all("max", total)
        scale = f.div(most, float(INTEGERS[self.codes.to]))
        f.store(f.select(f.compare("ne", scale, 0.0), scale, 1.0), f["scale"])
        return f


KERNEL = QuantizeKernel()
