"""The JSON of a run, schema 1. The models are the schema; docs/json.md is made from them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from emulator.result import Hazard, Result
from isa.program import Program
from tools.accuracy import Accuracy
from tools.hazards import Place, place

SCHEMA = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Unit(_Record):
    """Where the cycles of one unit went: busy + sum(waits) + idle = cycles x count."""

    name: str = Field(description="the unit, as in every report")
    count: int = Field(description="how many there are; the cycles of all are added up")
    busy: int = Field(description="cycles in which it did its work")
    waits: dict[str, int] = Field(description="lost cycles by reason")
    idle: int = Field(description="cycles in which it had nothing more to do")


class Memory(_Record):
    """Traffic of one memory level."""

    read_bytes: int = Field(description="bytes read")
    write_bytes: int = Field(description="bytes written")
    peak_bytes_per_s: float = Field(description="what the level could move")
    achieved_bytes_per_s: float = Field(description="(read + written) / time")


class Host(_Record):
    """What the emulation cost on this computer; the only figures that differ from run to run."""

    wall_s: float = Field(description="seconds to build, encode, run and decode")
    peak_rss_bytes: int = Field(description="largest resident memory of the process")


class Where(_Record):
    """An instruction: its word and, where it came from text, its line."""

    section: str = Field(description="queue, core program or function")
    word: int = Field(description="index of the word in it")
    file: str | None = Field(description="source file")
    line: int | None = Field(description="source line")


class HazardRecord(_Record):
    """A fault or warning that the emulator found; equal ones are one with a count."""

    kind: str = Field(description="short fixed name")
    severity: str = Field(description="error or warning")
    message: str = Field(description="what happened")
    cycle: int = Field(description="cycle of the first one")
    column: int | None = Field(description="stream-register column")
    stream: str | None = Field(description="stream")
    where: Where | None = Field(description="the instruction")
    other: Where | None = Field(description="the second instruction involved")
    count: int = Field(description="how many")


class Run(_Record):
    """One run of one program on one chip."""

    schema_: Literal[1] = Field(alias="schema", description="version of this format")
    kernel: str = Field(description="kernel name, or the program file")
    chip: str = Field(description="chip name")
    dtype: str | None = Field(description="operand format; null where inputs have several")
    shape: dict[str, int | float | str | list[int]] = Field(
        description="kernel parameters; of a file its input and output tensors"
    )
    mode: Literal["full", "timing"] = Field(description="with values, or cycles only")
    cycles: int = Field(description="first instruction to the end of the last")
    clock_hz: float = Field(description="clock of the chip")
    time_s: float = Field(description="launch_s + cycles / clock_hz")
    launch_s: float = Field(description="task launch, not part of cycles; 0 on the LPU")
    bound: str = Field(description="what limits the run: a unit, a wait reason or a memory level")
    units: list[Unit] = Field(description="every cycle of every unit")
    memory: dict[str, Memory] = Field(description="traffic by memory level")
    accuracy: Accuracy | None = Field(description="null in timing mode and where not computed")
    host: Host = Field(description="cost of the emulation")
    program_sha256: str = Field(description="digest of words, tensors and chip name")
    speed_of_light: dict[str, float] = Field(description="share of each peak that was used, 0 to 1")
    phases: dict[str, int] = Field(description="named cycle counts such as fill and drain")
    chain_cycles: int | None = Field(
        description="ub_load with values: cycles of its chain by its own counter; else null"
    )
    scales: dict[str, float | list[float]] = Field(
        description="scale of each input that was quantised with one, or all of them"
    )
    instructions: int = Field(description="instructions issued")
    seed: int = Field(description="seed of the default inputs")
    accumulate: str | None = Field(
        description="the model of accumulation that was asked for; null: the chip's own way"
    )
    scale: str | None = Field(
        description="how float operands were scaled before they were rounded; null for files"
    )
    warm_l2: bool = Field(description="whether an NPU's L2 held the inputs at first")
    hazards: list[HazardRecord] = Field(description="warnings, and errors under --hazards=warn")


def _where(program: Program, where: tuple[str, int] | None) -> Where | None:
    if where is None:
        return None
    at: Place = place(program, where)
    return Where(section=at.section, word=at.word, file=at.file, line=at.line)


def _hazard(program: Program, hazard: Hazard) -> HazardRecord:
    return HazardRecord(
        kind=hazard.kind,
        severity=hazard.severity,
        message=hazard.message,
        cycle=hazard.cycle,
        column=hazard.column,
        stream=hazard.stream,
        where=_where(program, hazard.where),
        other=_where(program, hazard.other),
        count=hazard.count,
    )


def units(result: Result) -> list[Unit]:
    return [
        Unit(name=u.name, count=u.count, busy=u.busy, waits=dict(u.waits), idle=u.idle)
        for u in result.units
    ]


def memory(result: Result) -> dict[str, Memory]:
    return {
        level: Memory(
            read_bytes=use.read_bytes,
            write_bytes=use.write_bytes,
            peak_bytes_per_s=use.peak_bytes_per_s,
            achieved_bytes_per_s=use.achieved_bytes_per_s,
        )
        for level, use in result.memory.items()
    }


def hazards(program: Program, result: Result) -> list[HazardRecord]:
    return [_hazard(program, hazard) for hazard in result.hazards]
