"""c = a + b, element by element: a SIMD function over tiles in UB, or a thread per element."""

from __future__ import annotations

from typing import Any, ClassVar

from emulator.npu.chip import NpuChip
from isa.npu import BITS_OF
from isa.program import Program
from programs.kernel import Choice, KernelError, Param, Params
from programs.npu.rows import ElementwiseKernel
from programs.npu.simd import Function, Vector
from programs.npu.simt_kernel import MOST, block_count
from programs.npu.tiles import TileProgram
from programs.rows import AddMaths

THREADS = 1024  # of a block in SIMT mode
SIMT_FORMATS = ("fp32", "fp16", "bf16")  # what threads convert


class AddKernel(AddMaths, ElementwiseKernel):
    """Two loads, an add and a store per 64 elements (SIMD) or per 32 (SIMT): memory-bound."""

    params: ClassVar[tuple[Param, ...]] = (
        *AddMaths.params,
        Choice("mode", "simd", "how V runs it", choices=("simd", "simt")),
    )

    def lanes(self, f: Function, *values: Vector) -> Vector:
        return f.add(values[0], values[1])

    def build(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        simt = params.get("mode") == "simt"
        return self._threads(chip, dtype, params) if simt else super().build(chip, dtype, params)

    def _threads(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        """The SIMT version: threads go over the elements in steps of the whole grid."""
        if chip.simt is None:
            raise KernelError(f"add: {chip.name} has no SIMT mode; use mode=simd")
        if dtype not in SIMT_FORMATS:
            raise KernelError(f"add: mode=simt takes {', '.join(SIMT_FORMATS)}, not {dtype}")
        shape = int(params["rows"]), int(params["cols"])
        total, threads = shape[0] * shape[1], min(THREADS, int(chip.simt.threads))
        if total > MOST:
            raise KernelError(f"add: mode=simt takes at most {MOST:,} elements, not {total:,}")
        blocks = block_count(chip, total, threads)
        program = TileProgram(chip)
        tensors = [program.tensor(name, dtype, shape) for name in self.operands]
        tensors.append(program.tensor(self.output, "fp32", shape, "out"))
        f = program.simt("add", *self.operands, self.output, threads=threads)
        i, bits = f.thread(), BITS_OF[dtype]
        with f.each_from(i, total, blocks * threads):
            at = f.shl(i, bits.bit_length() - 4)  # to bytes
            a, b = (f.load(f[name], at, width=f"b{bits}") for name in self.operands)
            if dtype != "fp32":
                for value in (a, b):
                    f.convert(value, dtype, "fp32", into=value)
            f.store(f.add(a, b, "fp32", into=a), f[self.output], f.shl(i, 2))
        program.vector.call(f, *(tensor.layouts[0].base for tensor in tensors))
        meta: dict[str, Any] = {
            "kernel": self.name, "dtype": dtype, "shape": {"rows": shape[0], "cols": shape[1]},
        }  # fmt: skip
        return program.finish(blocks, meta)


KERNEL = AddKernel()
