"""o = softmax(q k^T / sqrt(head_dim)) v on cubes and vectors together; see `attention_plan`."""

from __future__ import annotations

from emulator.npu.chip import NpuChip
from isa.program import Program
from programs.attention import FACTORED, P_SCALE, SHAPE, AttentionMaths, parameters
from programs.encoding import element_format
from programs.kernel import KernelError, Params
from programs.npu.attention_cube import CubeHalf, Places
from programs.npu.attention_plan import Plan, Work, choose
from programs.npu.attention_vector import VectorHalf
from programs.npu.tiles import TileProgram
from programs.npu.tiling import BLOCK, up


class AttentionKernel(AttentionMaths):
    """``attention`` in mixed blocks: scores and products on the cube, softmax on its vectors."""

    machine = "npu"
    params = parameters(1024)

    def dtypes(self, chip: NpuChip) -> tuple[str, ...]:
        return tuple(d for d in chip.dtypes if d in P_SCALE)

    def default_dtype(self, chip: NpuChip) -> str:
        return "bf16" if "bf16" in chip.dtypes else "fp16"

    def build(self, chip: NpuChip, dtype: str, params: Params) -> Program:
        paths = {"from L0C to UB": chip.cube.l0c_ub, "from UB to L1": chip.dma.ub_l1}
        missing = [path for path, rate in paths.items() if rate is None]
        if missing:
            raise KernelError(
                f"attention keeps scores inside a core; {chip.name} has no path"
                f" {' and none '.join(missing)}"
            )
        if dtype not in self.dtypes(chip):
            granted = ", ".join(self.dtypes(chip))
            raise KernelError(f"attention on {chip.name} takes {granted}, not {dtype}")
        work = Work(
            params["batch"] * params["heads"], params["batch"] * params["kv_heads"],
            params["seq"], params["kv"], params["head_dim"],
            bool(params["causal"]) and params["seq"] > 1, params.get("scale") in FACTORED,
        )  # fmt: skip
        return self.emit(chip, choose(chip, dtype, work), params)

    def emit(self, chip: NpuChip, plan: Plan, params: Params) -> Program:
        """The program of one plan."""
        program = TileProgram(chip)
        places = Places(self._tensors(program, plan))
        cube, vector = CubeHalf(program, plan, places), VectorHalf(program, plan, places)
        cube.emit()
        vector.emit()
        meta = {
            "kernel": self.name, "dtype": plan.dtype, "shape": {n: params[n] for n in SHAPE},
            "tile": f"{plan.rows}x{plan.keys}x{plan.part}", "splits": plan.splits,
        }  # fmt: skip
        return program.finish(plan.blocks, meta)

    def _tensors(self, program: TileProgram, plan: Plan) -> dict[str, int]:
        """Declares all tensors; their addresses by name."""
        work, element = plan.work, element_format(plan.dtype)
        q, k = (work.queries, work.seq, work.dim), (work.heads, work.kv, work.dim)
        tensors = [program.tensor(n, element, s) for n, s in (("q", q), ("k", k), ("v", k))]
        if plan.scaled:
            shapes = {
                "q.scale": (*q[:2], plan.dim_blocks), "k.scale": (*k[:2], plan.dim_blocks),
                "v.scale": (work.heads, up(work.kv, BLOCK), work.dim),
            }  # fmt: skip
            tensors += [program.tensor(n, "e8m0", s) for n, s in shapes.items()]
            ones = (plan.rows, up(plan.part, BLOCK))
            tensors.append(
                program.constant("p.scale", "e8m0", ones, bytes([127]) * ones[0] * ones[1])
            )
        if plan.factored:
            tensors += [program.tensor(n, "fp32", (1,)) for n in ("score.scale", "value.scale")]
        tensors.append(program.tensor("o", "fp32", q, "out"))
        if plan.splits > 1:
            rows = plan.units * plan.unit_rows, plan.splits
            scratch = {"o.parts": (*rows, work.dim), "o.tops": rows, "o.sums": rows}
            tensors += [program.tensor(n, "fp32", s, "scratch") for n, s in scratch.items()]
        return {t.name: t.layouts[0].base for t in tensors}


KERNEL = AttentionKernel()
