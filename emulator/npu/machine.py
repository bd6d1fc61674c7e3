"""The NPU as a machine: a program and tensors in, a `Result` out.

    result = Machine(load("npu-950pr")).run(program, {"a": codes_a, "b": codes_b})

Decoding happens once per program: `prepare` does it, and `run` takes what it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from emulator.host import host_threads
from emulator.npu import accounts, globals, prepare
from emulator.npu._engine import Engine
from emulator.npu.chip import NpuChip, Simt
from emulator.npu.hazards import HazardError, Writer
from emulator.npu.memory.numbers import numbers
from emulator.npu.models import CubeSums
from emulator.npu.prepare import Prepared
from emulator.npu.spans import Watch, spans
from emulator.numerics.accumulate import Model
from emulator.numerics.running import choose
from emulator.result import Result
from isa.npu import PIPES, SPACES
from isa.program import Program

MODES = ("full", "timing")
POLICIES = ("error", "warn")
MOST_WORK = 1 << 16  # pieces of work on values that wait, about 10 MB of them


class Machine:
    """One chip. A machine keeps nothing between runs but the last program it decoded."""

    def __init__(self, chip: NpuChip) -> None:
        if chip.vector.per_core > 2:
            raise ValueError(f"{chip.name}: vector.per_core: at most 2")
        self.chip = chip
        self._last: Prepared | None = None

    def prepare(self, program: Program) -> Prepared:
        """Decode `program`; `HazardError` for what is wrong whatever the inputs."""
        if self._last is not None and self._last.program is program:
            return self._last
        if program.isa != "npu":
            raise ValueError(f"a program for '{program.isa}' does not run on {self.chip.name}")
        prepared = prepare.prepare(program, self.chip)
        if prepared.faults:
            raise HazardError(prepared.faults, program)
        self._last = prepared
        return prepared

    def run(
        self,
        program: Program | Prepared,
        tensors: Mapping[str, NDArray[Any]] | None = None,
        *,
        mode: str = "full",
        hazards: str = "error",
        warm_l2: bool = False,
        threads: int | None = None,
        accumulate: str | Model | None = None,
        watch: Watch | None = None,
    ) -> Result:
        """Run a program on `tensors`: codes of every input, by name.

        `mode` "timing" computes no tensor values and needs no tensors, unless SIMT functions go
        where loaded data sends them; `hazards` "warn" goes on after races, reads of unwritten
        memory and flags raised twice. L2 is cold at first, or with
        `warm_l2` holds the inputs as if they had been read once in ascending order (of more than
        fits, the last). Values are computed on `threads` host threads, by default one for each CPU;
        no result depends on it. `accumulate` is a model that adds products in place of the chip's
        (`emulator.numerics.accumulate`). `watch` keeps what a core does in a range of cycles as the
        result's `spans`. Raises `HazardError` and `globals.LayoutError`.
        """
        if mode not in MODES:
            raise ValueError(f"no mode '{mode}'; modes: {', '.join(MODES)}")
        if hazards not in POLICIES:
            raise ValueError(f"hazards are {' or '.join(POLICIES)}, not '{hazards}'")
        prepared = program if isinstance(program, Prepared) else self.prepare(program)
        # Where what threads load decides where they go, cycles need the values.
        values = mode == "full" or prepared.data
        capacity = int(self.chip.hbm.capacity)
        placed = globals.place(prepared.program, capacity, tensors or {}, values)
        cube = self.chip.cube
        chosen = choose(accumulate, cube.accumulate, cube.accumulate_int)
        sums = CubeSums(chosen) if chosen and values else None
        engine = Engine(
            spec(self.chip), prepared.ops, list(prepared.functions), prepared.uops,
            prepared.sections, [p.row() for p in placed], prepared.blocks, prepared.kind, values,
            hazards == "error", warm_l2, threads or host_threads(), MOST_WORK, sums,
        )  # fmt: skip
        if watch is not None:
            subs = 1 + self.chip.vector.per_core
            first = watch.core * subs
            engine.watch(first, first + subs - 1, watch.start, watch.stop)
        engine.run()
        names = [(p.tensor.name, p.base, p.size) for p in placed]
        found = Writer(prepared, names).hazards(engine.faults())
        fatal = [h for h in found if hazards == "error" or not accounts.goes_on(h)]
        if fatal:
            raise HazardError(fatal, prepared.program)
        outputs = {
            p.tensor.name: globals.unpack(p.raw, p.tensor)
            for p in placed
            if p.raw is not None and p.tensor.role == "out" and mode == "full"
        }
        return accounts.result(
            prepared, engine.accounts(), engine.uses(), engine.totals(), found, mode=mode,
            outputs=outputs, simt=accounts.SimtUse(engine.simt(), engine.stalls()),
            spans=spans(prepared, engine.spans()),
        )  # fmt: skip


def spec(chip: NpuChip) -> dict[str, Any]:
    """The chip's numbers as the engine takes them."""
    cube, dma = chip.cube, chip.dma
    return {
        "numbers": {
            "cores": chip.cores, "vectors": chip.vector.per_core, "rows": cube.rows,
            "chunk": int(cube.chunk), "startup": cube.startup,
            "startup_hidden": cube.startup_hidden,
            "startup_hidden_from": cube.startup_hidden_from,
            "load_overhead": cube.load_overhead, "scale_overhead": cube.scale_overhead,
            "fix_overhead": cube.fix_overhead, "dma_overhead": dma.overhead,
            "flag": chip.latency["flag"], "cross_flag": chip.latency["cross_flag"],
            "unit": int(cube.unit), "l1_l0a": cube.l1_l0a, "l1_l0b": cube.l1_l0b,
            "l1_banks": cube.l1_banks, "l1_bank": cube.l1_bank,
            "l0c_gm": cube.l0c_gm, "l0c_l1": cube.l0c_l1, "l0c_ub": cube.l0c_ub or 0.0,
            "banks": chip.vector.bank_groups * chip.vector.banks_per_group,
            "interleave": int(chip.vector.interleave), "sub_bank": int(chip.vector.sub_bank),
            "arithmetic": chip.vector.arithmetic, "loads": chip.vector.loads,
            "stores": chip.vector.stores, "scalars": chip.vector.scalars,
            "special": chip.vector.special, "window": chip.vector.window,
            "gm_l1": dma.gm_l1, "gm_ub": dma.gm_ub, "ub_gm": dma.ub_gm, "ub_l1": dma.ub_l1 or 0.0,
        },
        "k0": prepare.k0_by_type(chip),
        "queue": {PIPES[pipe]: depth for pipe, depth in chip.queue.items()},
        "sizes": {SPACES[name]: size for name, size in chip.buffers().items()},
        "memory": numbers(chip.hbm, chip.l2, chip.clock, chip.cores),
        "simt": _simt(chip.simt) if chip.simt is not None else None,
        "ahead": chip.l2.latency,
    }  # fmt: skip


def _simt(simt: Simt) -> dict[str, Any]:
    return {
        "schedulers": simt.schedulers, "threads": simt.threads, "mshrs": simt.mshrs,
        "writes": simt.writes, "ways": simt.dcache_ways, "stack": simt.stack,
        "ub_lanes": simt.ub_lanes, "hit": simt.hit, "launch": simt.launch,
        "barrier": simt.barrier, "fill": simt.line / simt.return_rate,
        "dcache": (int(simt.dcache_least), int(simt.dcache_most)),
        "registers": sorted((int(most), count) for most, count in simt.registers.items()),
    }  # fmt: skip


__all__ = ["HazardError", "Machine"]
