"""The LPU as a machine: a program and tensors in, a `Result` out.

    result = Machine(load("lpu-tsp1")).run(program, {"a": codes_a, "b": codes_b})

Decoding and placing happen once per program: `prepare` does both, and `run` takes what it returns,
so one program serves many inputs. Values and cycles come from the step engine (`_engine.pyx`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator import layout
from emulator.lpu import accounts, hazards, prepare
from emulator.lpu._engine import Engine
from emulator.lpu.chip import LpuChip
from emulator.lpu.hazards import HazardError
from emulator.lpu.models import PlaneSums
from emulator.numerics.accumulate import Model
from emulator.numerics.running import choose
from emulator.result import Hazard, Result
from isa.program import Program

ENGINES = ("step",)
MODES = ("full", "timing")
POLICIES = ("error", "warn")


@dataclass(frozen=True)
class Loaded:
    """A program decoded for one chip, its tensors placed: all that inputs do not change."""

    prepared: prepare.Prepared
    plan: layout.Plan

    @property
    def program(self) -> Program:
        return self.prepared.program


class Machine:
    """One chip. A machine keeps nothing between runs but the last program it decoded."""

    def __init__(self, chip: LpuChip, *, engine: str = "step") -> None:
        if engine not in ENGINES:
            raise ValueError(f"no engine '{engine}'; engines: {', '.join(ENGINES)}")
        for key, latency in chip.latency.items():
            if key.startswith("vxm.") and chip.skew.get(key, 0) >= latency:
                raise ValueError(f"{chip.name}: skew.{key}: less than the latency, or no chain is")
        self.chip = chip
        self.engine = engine
        self._last: Loaded | None = None

    def prepare(self, program: Program) -> Loaded:
        """Decode `program` and place its tensors.

        Raises `HazardError` for what is wrong whatever the inputs, `LayoutError` for tensors that
        do not fit.
        """
        if self._last is not None and self._last.program is program:
            return self._last
        if program.isa != "lpu":
            raise ValueError(f"a program for '{program.isa}' does not run on {self.chip.name}")
        prepared = prepare.prepare(program, self.chip)
        if prepared.faults:
            raise HazardError(prepared.faults, program)
        chip = self.chip
        geometry = layout.Geometry(chip.slice_names, chip.mem.words, chip.lanes)
        self._last = Loaded(prepared, layout.Plan(program, geometry))
        return self._last

    def run(
        self,
        program: Program | Loaded,
        tensors: Mapping[str, NDArray[Any]] | None = None,
        *,
        mode: str = "full",
        hazards: str = "error",
        accumulate: str | Model | None = None,
    ) -> Result:
        """Run a program on `tensors`: codes of every input, by name.

        `mode` "timing" computes no values and needs no tensors (unless addresses come from
        streams); `hazards` "warn" goes on after errors, doing what hardware would; `accumulate` is
        a model that adds products in place of the chip's (`emulator.numerics.accumulate`). Raises
        `HazardError` (with all hazards of the first bad cycle) and `layout.LayoutError`.
        """
        if mode not in MODES:
            raise ValueError(f"no mode '{mode}'; modes: {', '.join(MODES)}")
        if hazards not in POLICIES:
            raise ValueError(f"hazards are {' or '.join(POLICIES)}, not '{hazards}'")
        loaded = program if isinstance(program, Loaded) else self.prepare(program)
        values = mode == "full" or loaded.prepared.addresses_are_data
        mxm = self.chip.mxm
        chosen = choose(accumulate, mxm.accumulate, mxm.accumulate_int)
        sums = PlaneSums(chosen, self.chip.lanes) if chosen and values else None
        return self._run(loaded, tensors or {}, mode, values, hazards == "warn", sums)

    def _run(
        self,
        loaded: Loaded,
        tensors: Mapping[str, NDArray[Any]],
        mode: str,
        values: bool,
        warn: bool,
        sums: PlaneSums | None,
    ) -> Result:
        chip, prepared, plan = self.chip, loaded.prepared, loaded.plan
        words = 2 * chip.mem.slices * chip.mem.words
        # Untouched pages of these cost nothing.
        sram = np.zeros((words if values else 1, chip.lanes), np.uint8)
        written, writer = np.zeros(words, np.uint64), np.zeros(words, np.int32)
        plan.mark(written, (1 << chip.stagger) - 1)
        if values:
            plan.fill(sram, plan.codes(tensors))
        engine = Engine(prepared, sram, written, writer, values, warn, sums)
        engine.run()
        found = hazards.Writer(prepared).hazards(engine.hazards())
        if warn or all(h.severity == "warning" for h in found):
            found = (*self._unwritten(plan, written, engine.last_cycle), *found)
        errors = [h for h in found if h.severity == "error"]
        if errors and not warn:
            raise HazardError(errors, prepared.program)
        return accounts.result(
            prepared,
            engine.log(),
            engine.totals,
            found,
            mode=mode,
            cycles=1 + engine.last_cycle + chip.stagger,
            outputs=plan.outputs(sram) if mode == "full" else {},
        )

    def _unwritten(
        self, plan: layout.Plan, written: NDArray[np.uint64], cycle: int
    ) -> list[Hazard]:
        """Outputs that the program left unwritten: reading them back reads nothing."""
        chip = self.chip
        found = []
        for name, (count, row) in plan.unwritten(written, chip.superlane).items():
            where = f"slice {chip.slice_names[row // chip.mem.words]}, word {row % chip.mem.words}"
            text = (
                f"output '{name}' is not complete when the program ends: {count} of its vectors"
                f" were never written, the first in {where}"
            )
            found.append(
                Hazard(kind="uninitialised", severity="error", message=text, cycle=max(cycle, 0))
            )
        return found


__all__ = ["HazardError", "Loaded", "Machine"]
