"""Writes a SIMD function: vector and mask registers by name, operations that return registers.

    f = Function("scale", "src", "dst", "chunks")
    with f.repeat(f["chunks"]):
        x = f.load(f["src"], "fp16", step=True)
        f.store(f.mul(x, 2.0), f["dst"], step=True)

A value is a vector register of 64 fp32 lanes unless a method says otherwise. Registers that a loop
or a `scope` takes are free again after it. V renames registers: reusing one costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from isa.npu import BITS_OF, Reg, row_bytes
from isa.npu_fields import float_bits
from programs.npu.emit import Code, Value

LANES = 64  # fp32 elements of a register
REGISTER = 256  # its bytes
Vector = Reg
Mask = Reg
Operand = Reg | int | float


def lanes_bytes(dtype: str, lanes: int = LANES) -> int:
    """Bytes of so many elements in UB.

    >>> lanes_bytes("fp16"), lanes_bytes("e2m1")
    (128, 32)
    """
    return row_bytes(dtype, lanes)


class Function(Code):
    """One SIMD function in the making; `vcall` hands it its arguments by position."""

    def __init__(self, name: str, *arguments: str) -> None:
        super().__init__(f"simd.{name}")
        self.arguments = arguments
        self._named = {a: Reg("x", 1 + i) for i, a in enumerate(arguments)}
        self._free = [Reg("x", i) for i in range(31, len(arguments), -1)]
        self._v = [Reg("v", i) for i in range(31, -1, -1)]
        self._p = [Reg("p", i) for i in range(7, -1, -1)]

    def __getitem__(self, argument: str) -> Reg:
        """The scalar register of an argument; the function may change it."""
        return self._named[argument]

    # ---- registers and loops ---------------------------------------------------------------------

    def vector(self) -> Vector:
        """A vector register that nobody uses."""
        if not self._v:
            raise ValueError(f"{self.name}: all 32 vector registers are in use")
        return self._v.pop()

    def free_vectors(self, *registers: Vector) -> None:
        self._v.extend(registers)

    def mask(self, count: Value, width: str = "b32") -> Mask:
        """A mask of the first `count` lanes."""
        if not self._p:
            raise ValueError(f"{self.name}: all 8 mask registers are in use")
        register = self._p.pop()
        self("pcount", width=width, dst=register, a=count)
        return register

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Registers taken inside are free behind it."""
        kept = list(self._v), list(self._p), list(self._free)
        yield
        self._v, self._p, self._free = kept

    @contextmanager
    def repeat(self, count: Value) -> Iterator[None]:
        """A hardware loop: the block `count` times (not at all if 0), at no cost; four deep."""
        end = self.label()
        self("loop", count=count, target=end)
        with self.scope():
            yield
        self.bind(end)

    # ---- memory ----------------------------------------------------------------------------------

    def load(
        self, base: Reg, dtype: str = "fp32", *, offset: int = 0, step: bool = False
    ) -> Vector:
        """64 elements as fp32; with `step` base moves on to the next 64."""
        bits = BITS_OF.get(dtype, 8)
        dist = {32: "norm", 16: "unpack", 8: "unpack4"}[bits]
        post = lanes_bytes(dtype) if step else 0
        raw = self.vector()
        self("vld", width=f"b{bits}", dist=dist, dst=raw, base=base, offset=offset, post=post)
        return raw if dtype == "fp32" else self.convert(raw, dtype, "fp32", into=raw)

    def load_pairs(
        self, base: Reg, dtype: str = "fp32", *, step: bool = False
    ) -> tuple[Vector, Vector]:
        """128 elements as fp32: the even ones and the odd ones."""
        bits = BITS_OF.get(dtype, 8)
        post = lanes_bytes(dtype, 2 * LANES) if step else 0
        if bits == 32:
            even, odd = self.neighbours()
            self("vld", width="b32", dist="split", dst=even, base=base, post=post)
            return even, odd
        raw = self.vector()
        self("vld", width=f"b{bits}", dist="norm" if bits == 16 else "unpack", dst=raw, base=base,
             post=post)  # fmt: skip
        odd = self.convert(raw, dtype, "fp32", part=16 // bits)
        return self.convert(raw, dtype, "fp32", into=raw), odd

    def neighbours(self) -> tuple[Vector, Vector]:
        """Two vector registers, one after the other, as instructions with two results want them."""
        free = sorted(self._v, key=lambda r: r.index)
        for low in free:
            high = Reg("v", low.index + 1)
            if high in free:
                self._v.remove(low)
                self._v.remove(high)
                return low, high
        raise ValueError(f"{self.name}: no two neighbouring vector registers are free")

    def load_one(self, base: Reg, *, offset: int = 0, post: int = 0) -> Vector:
        """One fp32 of UB in all lanes."""
        raw = self.vector()
        self("vld", width="b32", dist="brc", dst=raw, base=base, offset=offset, post=post)
        return raw

    def store(
        self, value: Vector, base: Reg, dtype: str = "fp32", *, offset: int = 0, step: bool = False,
        mask: Mask | None = None, sat: bool = True,
    ) -> None:  # fmt: skip
        """64 fp32 lanes as elements of `dtype` (not of four bits), those of the mask only."""
        bits = BITS_OF.get(dtype, 8)
        post = lanes_bytes(dtype) if step else 0
        dist = {32: "norm", 16: "pack", 8: "pack4"}[bits]
        with self.scope():
            if dtype != "fp32":
                value = self.convert(value, "fp32", dtype, sat=sat)
            self("vst", width=f"b{bits}", dist=dist, src=value, base=base, offset=offset, post=post,
                 mask=mask)  # fmt: skip

    def store_one(self, value: Vector, base: Reg, *, offset: int = 0, post: int = 0) -> None:
        """Element 0, an fp32."""
        self("vst", width="b32", dist="one", src=value, base=base, offset=offset, post=post)

    def fence(self) -> None:
        """Loads behind it see the stores before it."""
        self("vbar")

    # ---- arithmetic ------------------------------------------------------------------------------

    def each(
        self, name: str, *operands: Operand, type: str = "fp32", into: Vector | None = None,
        mask: Mask | None = None, merge: bool = False,
    ) -> Vector:  # fmt: skip
        """Any lane-wise instruction: into = name(operands); `into` None takes a new register."""
        dst = self.vector() if into is None else into
        named = dict(zip(("a", "b"), operands, strict=False))
        self(name, type=type, dst=dst, **named, mask=mask, merge=merge)
        return dst

    def add(self, a: Vector, b: Operand, **more: Any) -> Vector:
        return self.each("vadd", a, b, **more)

    def sub(self, a: Vector, b: Operand, **more: Any) -> Vector:
        return self.each("vsub", a, b, **more)

    def mul(self, a: Vector, b: Operand, **more: Any) -> Vector:
        return self.each("vmul", a, b, **more)

    def div(self, a: Vector, b: Operand, **more: Any) -> Vector:
        return self.each("vdiv", a, b, **more)

    def max(self, a: Vector, b: Operand, **more: Any) -> Vector:
        return self.each("vmax", a, b, **more)

    def min(self, a: Vector, b: Operand, **more: Any) -> Vector:
        return self.each("vmin", a, b, **more)

    def madd(self, total: Vector, a: Vector, b: Operand, **more: Any) -> Vector:
        """total + a * b into `total`, rounded once."""
        return self.each("vmadd", a, b, into=total, **more)

    def exp(self, a: Vector, **more: Any) -> Vector:
        return self.each("vexp", a, **more)

    def sqrt(self, a: Vector, **more: Any) -> Vector:
        return self.each("vsqrt", a, **more)

    def abs(self, a: Vector, **more: Any) -> Vector:
        return self.each("vabs", a, **more)

    def horner(self, x: Vector, coefficients: tuple[float, ...]) -> Vector:
        """c0 + x (c1 + x (c2 + ...)), each step rounded once."""
        total = self.fill(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            self.each("vmuladd", x, c, into=total)
        return total

    def fill(self, a: Operand, type: str = "fp32", **more: Any) -> Vector:
        """A number, a scalar register or element 0 of a vector, in all lanes."""
        return self.each("vdup", a, type=type, **more)

    def select(self, condition: Mask, a: Vector, b: Operand, into: Vector | None = None) -> Vector:
        """a where the condition holds, else b."""
        dst = self.vector() if into is None else into
        if isinstance(b, float):  # the word moves bits, not numbers
            b = float_bits(b) - (1 << 32 if b < 0 or str(b) == "-0.0" else 0)
        self("vsel", width="b32", dst=dst, a=a, b=b, c=condition)
        return dst

    def keep(self, mask: Mask | None, a: Vector) -> Vector:
        """Lanes outside the mask become 0; without a mask nothing happens."""
        if mask is not None:
            self("vmov", width="b32", dst=a, a=a, mask=mask)
        return a

    def compare(
        self, cond: str, a: Vector, b: Operand, type: str = "fp32", mask: Mask | None = None
    ) -> Mask:
        """The lanes where a cond b: ``eq``, ``ne``, ``lt``, ``le``, ``gt``, ``ge``."""
        if not self._p:
            raise ValueError(f"{self.name}: all 8 mask registers are in use")
        dst = self._p.pop()
        self("vcmp", cond=cond, type=type, dst=dst, a=a, b=b, mask=mask)
        return dst

    def convert(
        self, a: Vector, type: str, to: str, *, part: int = 0, into: Vector | None = None,
        sat: bool = False, **more: Any,
    ) -> Vector:  # fmt: skip
        """`vcvt`: see the manual for parts, rounding and saturation."""
        dst = self.vector() if into is None else into
        self("vcvt", type=type, to=to, dst=dst, a=a, part=part, sat=sat, **more)
        return dst

    def reduce(
        self, op: str, a: Vector, *, group: str = "all", mask: Mask | None = None,
        into: Vector | None = None,
    ) -> Vector:  # fmt: skip
        """``sum``, ``max`` or ``min`` over all lanes (element 0) or groups (elements 0, 1, ...)."""
        dst = self.vector() if into is None else into
        self("vred", op=op, type="fp32", group=group, dst=dst, a=a, mask=mask)
        return dst

    def reduce_all(self, op: str, a: Vector, mask: Mask | None = None) -> Vector:
        """The reduction of all lanes, in all lanes."""
        total = self.reduce(op, a, mask=mask)
        return self.fill(total, into=total)
