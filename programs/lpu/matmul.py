"""c = a b on the LPU; how is in `programs.lpu.product`."""

from __future__ import annotations

from emulator.lpu.chip import LpuChip
from isa.program import Program
from programs.encoding import accumulator
from programs.kernel import Param, Params
from programs.lpu.product import Matmul, first_fit
from programs.lpu.schedule import Schedule
from programs.matmul import MatmulMaths


class MatmulKernel(MatmulMaths):
    """``matmul``: c [m, n] = a [m, k] b [k, n]; c is the accumulator (fp32, int32)."""

    machine = "lpu"
    params = (
        Param("m", 640, "rows of a"),
        Param("n", 640, "columns of b"),
        Param("k", 640, "columns of a = rows of b"),
    )

    def dtypes(self, chip: LpuChip) -> tuple[str, ...]:
        return tuple(chip.mxm.modes)

    def default_dtype(self, chip: LpuChip) -> str:
        return "int8"

    def build(self, chip: LpuChip, dtype: str, params: Params) -> Program:
        m, n, k = (int(params[p]) for p in ("m", "n", "k"))

        def build(work: Matmul) -> Program:
            tensors_a, a = work.place_activations("a")
            tensors_b, b = work.place_weights("b")
            out, c = work.place_results("c", accumulator(dtype))
            schedule = Schedule(chip, f"matmul {m}x{n}x{k} {dtype}")
            work.product(schedule, a, b, c)
            meta = {"kernel": self.name, "dtype": dtype, "shape": {"m": m, "n": n, "k": k}}
            return schedule.program([*tensors_a, *tensors_b, out], meta)

        return first_fit(chip, dtype, m, n, k, build)


KERNEL = MatmulKernel()
