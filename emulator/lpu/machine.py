"""The LPU as a machine: a program and tensors in, a `Result` out.

    machine = Machine(load("lpu-tsp1"))
    result = machine.run(program, {"a": codes_a, "b": codes_b})

    loaded = machine.prepare(program)     # decoded, placed and timed once
    results = [loaded({"a": a, "b": codes_b}) for a in many]

Two engines give the same bits, cycles and accounts. The *step* engine (`_engine.pyx`) walks time
and is the definition. The *bulk* engine (`_bulk.pyx`, `flow.py`, `values.py`) resolves whole bursts
once and computes values as arrays; a program in which it finds any fault, or whose bursts feed
themselves, is the step engine's, which has the messages.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator import layout
from emulator.lpu import accounts, hazards, prepare, values
from emulator.lpu._bulk import Bulk
from emulator.lpu._engine import Engine
from emulator.lpu.chip import LpuChip
from emulator.lpu.flow import Flow
from emulator.lpu.hazards import HazardError
from emulator.lpu.models import PlaneSums
from emulator.numerics.accumulate import Model
from emulator.numerics.running import choose
from emulator.result import Hazard, Result
from isa.program import Program

ENGINES = ("bulk", "step")
MODES = ("full", "timing")
POLICIES = ("error", "warn")
Tensors = Mapping[str, NDArray[Any]]


def _zeroed(rows: int, lanes: int) -> NDArray[np.uint8]:
    """Zeros of which the system provides what is touched, in its small pages.

    Tensors are strewn over all slices. numpy asks for huge pages, and then clearing the whole of
    the SRAM takes longer than a small run.
    """
    if sys.platform == "win32":
        return np.zeros((rows, lanes), np.uint8)
    memory = mmap.mmap(-1, rows * lanes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages knows no such advice
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, np.uint8).reshape(rows, lanes)


@dataclass(frozen=True)
class Timed:
    """What the bulk engine knows of a program whatever its inputs."""

    result: Result  # without outputs
    bulk: Bulk
    prepared: prepare.Prepared
    plan: layout.Plan

    @cached_property
    def flow(self) -> Flow:
        return Flow(self.prepared, self.bulk, self.plan)


@dataclass(frozen=True)
class Loaded:
    """A program decoded for one chip, its tensors placed: all that inputs do not change.

    Call it with tensors to run it: what was worked out for one run serves all later ones.
    """

    prepared: prepare.Prepared
    plan: layout.Plan
    engine: str = "bulk"

    @property
    def program(self) -> Program:
        return self.prepared.program

    @property
    def words(self) -> int:
        """Vectors of the whole SRAM."""
        chip = self.prepared.chip
        return 2 * chip.mem.slices * chip.mem.words

    def __call__(
        self,
        tensors: Tensors | None = None,
        *,
        mode: str = "full",
        hazards: str = "error",
        accumulate: str | Model | None = None,
    ) -> Result:
        """As `Machine.run`. A model of accumulation other than the planes' own makes its sums one
        by one, in the step engine."""
        if mode not in MODES:
            raise ValueError(f"no mode '{mode}'; modes: {', '.join(MODES)}")
        if hazards not in POLICIES:
            raise ValueError(f"hazards are {' or '.join(POLICIES)}, not '{hazards}'")
        mxm = self.prepared.chip.mxm
        chosen = choose(accumulate, mxm.accumulate, mxm.accumulate_int)
        computes = mode == "full" or self.prepared.addresses_are_data
        sums = PlaneSums(chosen, self.prepared.chip.lanes) if chosen and computes else None
        if self.engine == "bulk" and sums is None and self.timed is not None:
            return self._bulk(self.timed, tensors or {}, mode)
        return self._step(tensors or {}, mode, computes, hazards == "warn", sums)

    # ---- bulk --------------------------------------------------------------------------------

    @cached_property
    def timed(self) -> Timed | None:
        """Cycles and accounts, worked out once; None where only the step engine can do it."""
        chip, written = self.prepared.chip, self._written()
        bulk = Bulk(self.prepared, written)
        if bulk.why is not None or self.plan.unwritten(written, chip.superlane):
            return None
        cycles = 1 + bulk.last_cycle + chip.stagger
        charges = bulk.accounts(cycles=cycles, **accounts.units_for(chip))
        result = accounts.result(
            self.prepared, charges, bulk.bursts(), bulk.totals, (), mode="timing", cycles=cycles,
            outputs={},
        )  # fmt: skip
        return Timed(result, bulk, self.prepared, self.plan)

    def _bulk(self, timed: Timed, tensors: Tensors, mode: str) -> Result:
        if mode == "timing":
            return timed.result
        sram = self._filled(tensors, timed.flow.unused)
        values.run(timed.flow, sram)
        return replace(timed.result, mode=mode, outputs=self.plan.outputs(sram))

    # ---- step --------------------------------------------------------------------------------

    def _step(
        self, tensors: Tensors, mode: str, computes: bool, warn: bool, sums: PlaneSums | None
    ) -> Result:
        chip, prepared, plan = self.prepared.chip, self.prepared, self.plan
        written, writer = self._written(), np.zeros(self.words, np.int32)
        sram = self._filled(tensors) if computes else np.zeros((1, chip.lanes), np.uint8)
        engine = Engine(prepared, sram, written, writer, computes, warn, sums)
        engine.run()
        found = hazards.Writer(prepared).hazards(engine.hazards())
        if warn or all(h.severity == "warning" for h in found):
            found = (*self._unwritten(plan, written, engine.last_cycle), *found)
        errors = [h for h in found if h.severity == "error"]
        if errors and not warn:
            raise HazardError(errors, prepared.program)
        cycles, log = 1 + engine.last_cycle + chip.stagger, engine.log()
        return accounts.result(
            prepared, accounts.account(prepared, log, cycles), log["bursts"], engine.totals, found,
            mode=mode, cycles=cycles, outputs=plan.outputs(sram) if mode == "full" else {},
        )  # fmt: skip

    # ---- SRAM --------------------------------------------------------------------------------

    def _filled(
        self, tensors: Tensors, unused: Collection[tuple[str, int]] = ()
    ) -> NDArray[np.uint8]:
        """SRAM as the host leaves it, but for `unused` layouts. Untouched pages cost nothing."""
        sram = _zeroed(self.words, self.prepared.chip.lanes)
        self.plan.fill(sram, self.plan.codes(tensors), unused)
        return sram

    def _written(self) -> NDArray[np.uint64]:
        """Which superlanes of every word the host writes."""
        written = np.zeros(self.words, np.uint64)
        self.plan.mark(written, (1 << self.prepared.chip.stagger) - 1)
        return written

    def _unwritten(
        self, plan: layout.Plan, written: NDArray[np.uint64], cycle: int
    ) -> list[Hazard]:
        """Outputs that the program left unwritten: reading them back reads nothing."""
        chip = self.prepared.chip
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


class Machine:
    """One chip. A machine keeps nothing between runs but the last program it decoded.

    `engine` "bulk" leaves to the step engine what it must; "step" is that one alone.
    """

    def __init__(self, chip: LpuChip, *, engine: str = "bulk") -> None:
        if engine not in ENGINES:
            raise ValueError(f"no engine '{engine}'; engines: {', '.join(ENGINES)}")
        for key, latency in chip.latency.items():
            if key.startswith("vxm.") and chip.skew.get(key, 0) >= latency:
                raise ValueError(f"{chip.name}: skew.{key}: less than the latency, or no chain is")
        self.chip = chip
        self.engine = engine
        self._last: Loaded | None = None

    def prepare(self, program: Program) -> Loaded:
        """Decode `program` and place its tensors: call what comes back to run it.

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
        self._last = Loaded(prepared, layout.Plan(program, geometry), self.engine)
        return self._last

    def run(
        self,
        program: Program | Loaded,
        tensors: Tensors | None = None,
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
        loaded = program if isinstance(program, Loaded) else self.prepare(program)
        return loaded(tensors, mode=mode, hazards=hazards, accumulate=accumulate)


__all__ = ["ENGINES", "HazardError", "Loaded", "Machine"]
