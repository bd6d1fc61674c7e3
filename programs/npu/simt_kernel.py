"""What the SIMT kernels share: inputs as words, how many blocks and threads, blocks that meet.

A subclass names its inputs with their types and emits its functions; see `programs.npu.saxpy` for
the shortest one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from emulator.npu.chip import NpuChip
from isa.program import Program
from programs.kernel import Array, Arrays, Encoded, Kernel, KernelError, Param, Params
from programs.npu.simt import Threads, Value
from programs.npu.tiles import Core, TileProgram

WARP = 32
MOST = 1 << 30  # elements of a tensor: byte offsets of threads have 32 bits
OPERAND = "operand"  # an input of the format that --dtype names


def up(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def threads_param(default: int = 1024, most: int = 2048) -> Param:
    return Threadcount("threads", default, "of a block; no more than the chip runs", WARP, most)


class Threadcount(Param):
    """Whole warps."""

    def read(self, value: Any) -> Any:
        number = super().read(value)
        if number % WARP:
            raise KernelError(f"{self.name} is a multiple of {WARP}, not {number}")
        return number


class SimtKernel(Kernel):
    """A kernel of SIMT functions on the vector sub-cores, one block on each."""

    machine = "npu"
    formats: ClassVar[tuple[str, ...]] = ("fp32",)
    # Input -> its type: OPERAND, or one that does not follow --dtype.
    types: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def emit(self, program: TileProgram, dtype: str, params: Params) -> int:
        """Tensors, functions and the core's program; returns the number of blocks."""

    def dtypes(self, chip: NpuChip) -> tuple[str, ...]:
        return self.formats if chip.simt is not None else ()

    def default_dtype(self, chip: NpuChip) -> str:
        return self.formats[0]

    def build(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        if chip.simt is None:
            raise KernelError(f"{self.name}: {chip.name} has no SIMT mode")
        if dtype not in self.formats:
            raise KernelError(f"{self.name} takes {', '.join(self.formats)}, not {dtype}")
        program = TileProgram(chip)
        blocks = self.emit(program, dtype, params)
        for tensor in program.tensors:
            if tensor.size > MOST:
                shape = "x".join(map(str, tensor.shape))
                raise KernelError(
                    f"{self.name}: {tensor.name} has {shape} elements; at most {MOST:,}, because"
                    " threads count bytes with 32 bits"
                )
        meta = {"kernel": self.name, "dtype": dtype, "shape": dict(params)}
        return program.finish(blocks, meta)

    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        return Encoded({
            name: as_words(name, arrays[name], dtype if kind == OPERAND else kind)
            for name, kind in self.types.items()
        })  # fmt: skip

    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        """Outputs of the operand format's kind; overridden where they are not."""
        kind = np.int32 if dtype == "int32" else np.float32
        return {name: outputs[name].view(kind) for name in self.outputs_doc}

    def macs(self, params: Params) -> int:
        return 0


def as_words(name: str, array: Array, kind: str) -> Array:
    """An array as 32-bit words: float32 codes, or int32 (floats that are whole numbers too)."""
    array = np.asarray(array)
    if kind == "fp32":
        if array.dtype == np.uint32:  # codes already
            return array
        if array.dtype.kind != "f":
            raise KernelError(f"{name} is an array of {array.dtype}; give floats")
        return np.ascontiguousarray(array, np.float32).view(np.uint32)
    whole = array.dtype.kind == "f" and bool(np.all(np.rint(array) == array))
    if array.dtype.kind != "i" and not whole:
        raise KernelError(f"{name} is an array of {array.dtype}; give signed integers")
    low, high = -(1 << 31), (1 << 31) - 1
    if array.size and not (low <= array.min() and array.max() <= high):
        raise KernelError(f"{name} holds integers that do not fit 32 bits")
    return np.ascontiguousarray(array).astype(np.int32)


def within(name: str, array: Array, stop: int, what: str) -> None:
    """Refuse indices outside 0 to stop - 1, which would be addresses outside of a tensor."""
    if array.size and not (array.min() >= 0 and array.max() < stop):
        raise KernelError(
            f"{name} holds {what} from {array.min():,} to {array.max():,}; they are 0 to"
            f" {stop - 1:,}"
        )


def block_threads(chip: NpuChip, params: Params) -> int:
    """Threads of a block: what was asked for, or all that the chip runs."""
    assert chip.simt is not None
    return min(int(params["threads"]), int(chip.simt.threads))


def block_count(chip: NpuChip, items: int, each: int) -> int:
    """Blocks for so many items when a block takes `each` at a time: one a sub-core at most."""
    return max(1, min(chip.vectors, up(items, each)))


def grid_warp(f: Threads) -> Value:
    """This warp's number among those of all blocks."""
    warp = f.special("warp")
    with f.scope():
        f.fma(f.special("block"), f.threads // WARP, warp, into=warp)
    return warp


def meet(core: Core) -> None:
    """V goes on when every block has come here, and sees what the others have written."""
    core("xset", src="v", scope="grid", id=0)
    core("xwait", dst="v", id=0)
