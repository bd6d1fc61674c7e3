"""What quantize does to a tile in UB: the SIMD functions.

A register of 64 fp32 lanes makes 64 codes of one byte each, but what is stored is packed: so x is
loaded as even and odd elements, and the codes of a pair become neighbours in one 32-bit lane, of
which the store keeps the low half (8 bits each) or the low byte (4 bits each).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emulator.numerics import get_block_format
from isa.npu import BITS_OF, Reg
from programs.npu.rows import RowsFunction, RowTile
from programs.npu.simd import LANES, REGISTER, Function, Mask, Vector
from programs.npu.tiles import TileProgram
from programs.quantize import INTEGERS, element_of

PAIRS = 2 * LANES  # elements of two registers, even ones and odd ones
BLOCK = 32
FACTOR_LANES = PAIRS // BLOCK  # blocks of such a pair of registers
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


class Functions:
    """The functions of one program; `groups` are the blocks of a row in UB."""

    def __init__(
        self, made: TileProgram, tile: RowTile, dtype: str, codes: Codes, groups: int
    ) -> None:
        self.made, self.tile, self.dtype, self.codes = made, tile, dtype, codes
        self.groups = groups

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
