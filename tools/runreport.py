"""What a run gives back to a person: values, cycles, accuracy, and the page that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from emulator.result import MemoryUse, Result, UnitUse
from isa.program import Program
from programs.kernel import Scale

if TYPE_CHECKING:
    from tools.accuracy import Accuracy
    from tools.record import Run


@dataclass(frozen=True, repr=False)
class RunReport:
    """One run. Its text (``print(report)``) is the page that ``presil run`` shows.

    `outputs` maps output name to values (float32, or integers), `result` is the emulator's account
    of every cycle, `scales` what floats were divided by to become codes, `data` says where the
    inputs came from, `accumulate` how products were added if not the chip's way, `scale` how
    float operands were scaled before they were rounded, and `warm_l2` whether an NPU's L2 held
    the inputs at first.
    """

    kernel: str
    chip: str
    dtype: str | None
    shape: Mapping[str, Any]
    data: str
    seed: int
    program: Program
    result: Result
    outputs: Mapping[str, NDArray[Any]]
    scales: Mapping[str, Scale]
    accuracy: Accuracy | None
    wall_s: float
    peak_rss_bytes: int
    accumulate: str | None = None
    warm_l2: bool = False
    measured: Mapping[str, int] = field(default_factory=dict)
    scale: str | None = None

    @property
    def cycles(self) -> int:
        return self.result.cycles

    @property
    def time_s(self) -> float:
        return self.result.time_s

    @property
    def units(self) -> Sequence[UnitUse]:
        return self.result.units

    @property
    def memory(self) -> Mapping[str, MemoryUse]:
        return self.result.memory

    @property
    def instructions(self) -> int:
        """Instructions issued, repeats counted."""
        uses = self.result.instructions
        known = getattr(uses, "issued", None)  # where rows are made only when they are asked for
        return sum(use.issued for use in uses) if known is None else int(known)

    def plain_scales(self) -> dict[str, float | list[float]]:
        """The scales, finer ones than per tensor as lists."""
        return {
            name: float(scale) if isinstance(scale, float | int) else scale.reshape(-1).tolist()
            for name, scale in self.scales.items()
        }

    def record(self) -> Run:
        """The run as the JSON schema's object."""
        from tools import record

        result = self.result
        return record.Run.model_validate(
            {
                "schema": record.SCHEMA,
                "kernel": self.kernel,
                "chip": self.chip,
                "dtype": self.dtype,
                "shape": dict(self.shape),
                "mode": result.mode,
                "cycles": result.cycles,
                "clock_hz": result.clock_hz,
                "time_s": result.time_s,
                "launch_s": result.launch_s,
                "bound": result.bound,
                "units": record.units(result),
                "memory": record.memory(result),
                "accuracy": self.accuracy,
                "host": {"wall_s": self.wall_s, "peak_rss_bytes": self.peak_rss_bytes},
                "program_sha256": self.program.sha256,
                "speed_of_light": dict(result.speed_of_light),
                "phases": dict(result.phases),
                "chain_cycles": self.measured.get("chain_cycles"),
                "scales": self.plain_scales(),
                "instructions": self.instructions,
                "seed": self.seed,
                "accumulate": self.accumulate,
                "scale": self.scale,
                "warm_l2": self.warm_l2,
                "hazards": record.hazards(self.program, result),
            }
        )

    def to_json(self, indent: int | None = 2) -> str:
        """The run as one JSON document (schema 1, docs/json.md)."""
        return self.record().model_dump_json(by_alias=True, indent=indent)

    def __repr__(self) -> str:
        from tools.report import run_text

        return run_text(self)

    def _repr_html_(self) -> str:
        from tools.html import run_html

        return run_html(self)
