"""The tile-level API: an NPU program as tensors, buffers that go round, and loops over tiles.

    program = TileProgram(chip)
    x, y = program.tensor("x", "fp32", (n,)), program.tensor("y", "fp32", (n,), "out")
    double = program.simd("double", "src", "dst", "chunks")
    ...                                         # its body, see `programs.npu.simd`
    core = program.vector
    ring = core.ring("x", ("mte2", "v", "mte3"), {"x": ("ub", 4 * tile)})
    with core.tiles(n, tile) as (first, count):
        with ring.stage("mte2") as slot:
            core.load(slot["x"], x, first, n=count)
        ...
    return program.finish(blocks, meta)

A program of vector sub-cores alone runs one block per sub-core; with a cube a block is a core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from emulator.npu.chip import NpuChip
from emulator.npu.globals import ALIGNMENT, at, tensor_bytes
from isa.npu import BITS_OF, Reg
from isa.program import Program, Tensor
from programs.kernel import KernelError
from programs.npu.buffers import FLAGS, Buffers, Ring
from programs.npu.emit import Code, Value
from programs.npu.simd import Function
from programs.npu.simt import Threads

WIDTHS = {4: "b4", 8: "b8", 16: "b16", 32: "b32"}


def width(dtype: str) -> str:
    """The DMA width of a dtype's elements."""
    return WIDTHS[BITS_OF.get(dtype, 8)]


class Core(Code):
    """The program of one kind of sub-core: ``cube`` or ``vector``."""

    def __init__(self, program: TileProgram, kind: str) -> None:
        super().__init__(f"core.{kind}")
        self.program, self.kind = program, kind
        self.buffers = Buffers(program.chip)
        self._flags: dict[tuple[str, str], int] = {}
        self._worker: Reg | None = None

    # ---- buffers and flags -----------------------------------------------------------------------

    def ring(
        self, name: str, stages: tuple[str, ...], parts: Mapping[str, tuple[str, int]],
        depth: int = 2,
    ) -> Ring:  # fmt: skip
        """`depth` slots of buffers, part -> (memory, bytes), going round through `stages`."""
        return Ring(self, name, stages, depth, parts)

    def buffer(self, space: str, size: int, what: str) -> int:
        """The address of bytes that stay the same for the whole program."""
        return self.buffers.take(space, size, what)

    def flags(self, pairs: list[tuple[str, str]], count: int) -> int:
        """The first of `count` flags in a row that are free in every pair of pipes."""
        first = max(self._flags.get(pair, 0) for pair in pairs)
        if first + count > FLAGS:
            raise KernelError(f"{self.name}: a pair of pipes has {FLAGS} flags, all are in use")
        for pair in pairs:
            self._flags[pair] = first + count
        return first

    # ---- work for a sub-core ---------------------------------------------------------------------

    @property
    def worker(self) -> Reg:
        """This sub-core's number among all that run this program; first used outside of loops."""
        if self._worker is None:
            self._worker = self.reg()
            self("sr", which="block", dst=self._worker)
            if self.kind == "vector" and self.program.has_cube:
                per_core = self.program.chip.vector.per_core
                with self.temporary() as sub:
                    self("sr", which="sub", dst=sub)
                    self.scaled(self._worker, self._worker, per_core)
                    self.op("add", self._worker, self._worker, sub)
        return self._worker

    @contextmanager
    def tiles(self, count: int, step: int, workers: int) -> Iterator[tuple[Reg, Reg]]:
        """Every `workers`-th tile of `step` out of range(count): (first, size), registers.

        The last tile is smaller where `step` does not divide `count`.
        """
        first, size = self.reg(), self.reg()
        self.scaled(first, self.worker, step)
        with self.loop(first, first, count, step * workers):
            if count % step:
                self.mov(size, count)
                self.op("sub", size, size, first)
                self.op("min", size, size, step)
            else:
                self.mov(size, step)
            yield first, size
        self.free(first, size)

    def call(self, function: Function | Threads, *arguments: Value, dcache: int = 0) -> None:
        """Run a function on V; arguments by position.

        `dcache` is what a SIMT function has of UB to cache global memory, in KiB; 0 is the least.
        """
        if len(arguments) != len(function.arguments):
            wanted = ", ".join(function.arguments)
            raise ValueError(f"{function.name} takes ({wanted}), not {len(arguments)} arguments")
        if isinstance(function, Threads) and function.takes_zero:
            arguments += (0,)
        frame = self.consecutive(len(arguments))
        for register, argument in zip(frame, arguments, strict=True):
            self.mov(register, argument)
        number = self.program.number(function)
        first = frame[0] if frame else Reg("x", 0)
        launch: dict[str, int] = {}
        if isinstance(function, Threads):
            assert self.program.chip.simt is not None
            least = int(self.program.chip.simt.dcache_least) // 1024
            launch = {"threads": function.threads, "dcache": dcache or least}
        self("vcall", fn=number, first=first, count=len(frame), **launch)
        self.free(*frame)

    # ---- global memory ---------------------------------------------------------------------------

    def place(self, dst: Reg, tensor: Tensor, first: Value, pitch: int = 1) -> Reg:
        """dst = the address of element `first` * `pitch` (an even one if they have four bits)."""
        bits = BITS_OF.get(tensor.dtype, 8)
        if isinstance(first, int):
            self.mov(dst, tensor.layouts[0].base + first * pitch * bits // 8)
            return dst
        scale = pitch * bits
        if scale % 8:
            self.scaled(dst, first, pitch)
            self.op("shr", dst, dst, 1)
        else:
            self.scaled(dst, first, scale // 8)
        return self.op("add", dst, dst, tensor.layouts[0].base)

    def load(
        self, to: Value, tensor: Tensor, first: Value, *, n: Value, pitch: int = 1,
        space: str = "ub", l2: str = "normal", **more: Value,
    ) -> None:  # fmt: skip
        """MTE2: n elements from element `first` * `pitch` on; `more` as the row ``load`` has it."""
        with self.temporary() as src, self.operands(dst=to, n=n, **more) as operands:
            self.place(src, tensor, first, pitch)
            self("load", space=space, width=width(tensor.dtype), src=src, l2=l2, **operands)

    def store(
        self, tensor: Tensor, first: Value, src: Value, *, n: Value, pitch: int = 1, **more: Value
    ) -> None:
        """MTE3: n elements of UB to element `first` * `pitch` on; `more` as the row ``store``."""
        with self.temporary() as dst, self.operands(src=src, n=n, **more) as operands:
            self.place(dst, tensor, first, pitch)
            self("store", space="gm", width=width(tensor.dtype), dst=dst, **operands)

    @contextmanager
    def operands(self, **values: Value) -> Iterator[dict[str, Reg]]:
        """Numbers in registers of their own, because a DMA's operands are registers."""
        made: dict[str, Reg] = {}
        given = {k: v for k, v in values.items() if isinstance(v, Reg)}
        for name, number in values.items():
            if not isinstance(number, Reg):
                made[name] = self.reg(number)
        yield {**given, **made}
        self.free(*made.values())


class TileProgram:
    """An NPU program in the making."""

    def __init__(self, chip: NpuChip) -> None:
        self.chip = chip
        self.tensors: list[Tensor] = []
        self._end = 0
        self._cores: dict[str, Core] = {}
        self._functions: list[Function | Threads] = []

    @property
    def vector(self) -> Core:
        """The program of the vector sub-cores."""
        return self._core("vector")

    @property
    def cube(self) -> Core:
        """The program of the cubes; taken before `vector` where there are both."""
        return self._core("cube")

    @property
    def has_cube(self) -> bool:
        return "cube" in self._cores

    def _core(self, kind: str) -> Core:
        if kind not in self._cores:
            self._cores[kind] = Core(self, kind)
        return self._cores[kind]

    def simd(self, name: str, *arguments: str) -> Function:
        """A new SIMD function."""
        function = Function(name, *arguments)
        self._functions.append(function)
        return function

    def simt(self, name: str, *arguments: str, threads: int) -> Threads:
        """A new SIMT function for launches of so many threads; `KernelError` if they are too many.

        A thread has as many registers as that leaves.
        """
        simt = self.chip.simt
        if simt is None:
            raise KernelError(f"{self.chip.name} has no SIMT mode")
        if not 1 <= threads <= simt.threads:
            raise KernelError(
                f"{self.chip.name} runs 1 to {simt.threads:,} threads a block, not {threads:,}"
            )
        registers = max(n for most, n in simt.registers.items() if threads <= int(most))
        function = Threads(name, *arguments, registers=registers, threads=threads)
        self._functions.append(function)
        return function

    def number(self, function: Function | Threads) -> int:
        """What ``vcall`` calls it."""
        return self._functions.index(function)

    def constant(self, name: str, dtype: str, shape: tuple[int, ...], data: bytes) -> Tensor:
        """A tensor whose codes are part of the program."""
        return self.tensor(name, dtype, shape, "const", data)

    def tensor(
        self, name: str, dtype: str, shape: tuple[int, ...], role: str = "in",
        data: bytes | None = None,
    ) -> Tensor:  # fmt: skip
        """The next tensor of global memory."""
        tensor = Tensor(name, dtype, shape, role, at(self._end), data=data)
        self.tensors.append(tensor)
        self._end = -(-(self._end + tensor_bytes(tensor)) // ALIGNMENT) * ALIGNMENT
        capacity = int(self.chip.hbm.capacity)
        if self._end > capacity:
            raise KernelError(
                f"the tensors need {self._end:,} bytes of {self.chip.name}'s {capacity:,}"
            )
        return tensor

    def finish(self, blocks: int, meta: Mapping[str, Any]) -> Program:
        """The program; every section gets its last word."""
        for code in (*self._cores.values(), *self._functions):
            code(code.last)
        cores = [self._cores[k].section() for k in ("cube", "vector") if k in self._cores]
        functions = [f.section() for f in self._functions]
        return Program("npu", self.chip.name, (*cores, *functions), tuple(self.tensors),
                       meta={**meta, "blocks": blocks})  # fmt: skip
