"""Program files as jobs: assembly text or object files, with the user's arrays or seeded data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from isa.program import Program
from programs.kernel import Array, Arrays, Encoded
from tools.files import decode_text, read_bytes
from tools.jobs import Job, Request, read_accumulation
from tools.machines import load_chip
from tools.problem import WRONG_USAGE, Problem, ProgramFault, diagnostic, suggestion
from tools.tensors import decode, default_values, to_codes

ELF_MAGIC = b"\x7fELF"
# A file's parameters are the symbols that it defines only where nobody else has.
_PARAMETER = re.compile(r"^\s*\.ifndef\s+([A-Za-z_.$][\w.$]*)", re.MULTILINE)


def load_program(path: str, request: Request | None = None) -> Program:
    """The program of a ``.s`` or object file; every error of the text at once."""
    ask = request or Request(path)
    data = read_bytes(path)
    if data.startswith(ELF_MAGIC):
        _parameters(path, ask.settings, ())
        return _read_object(path, data)
    return _assemble(path, decode_text(path, data), ask)


def _read_object(path: str, data: bytes) -> Program:
    from isa.elf import ObjectFileError, read_elf

    try:
        return read_elf(data)
    except ObjectFileError as error:
        raise ProgramFault(diagnostic(path, "error", str(error))) from None


def _assemble(path: str, text: str, request: Request) -> Program:
    from isa.asm.assembler import assemble
    from isa.diagnostics import AssemblyError

    chosen = None if request.chip is None else request.load_chip("")
    try:
        return assemble(
            text,
            path,
            chip_info=chosen,
            load_chip=lambda name: load_chip(name, request.overrides),
            defines=_parameters(path, request.settings, _PARAMETER.findall(text)),
        )
    except AssemblyError as error:
        raise ProgramFault(error.report(), error.diagnostics) from None


def _parameters(
    path: str, settings: Mapping[str, Any], known: Sequence[str]
) -> dict[str, int | float]:
    """``--set`` as symbols of the text."""
    values: dict[str, int | float] = {}
    for name, value in settings.items():
        if name not in known:
            help = suggestion(name, dict.fromkeys(known), "parameters")
            raise Problem(f"--set {name}: {path} has no parameter '{name}'", help=help)
        try:
            values[name] = int(str(value), 0)
        except ValueError:
            try:
                values[name] = float(value)
            except ValueError:
                raise Problem(f"--set {name}: '{value}' is no number") from None
    return values


class FileJob(Job):
    """A program with inputs by tensor name."""

    scale = None

    def __init__(self, request: Request, program: Program, title: str) -> None:
        if request.settings and not isinstance(request.target, str):
            raise Problem(f"{title} is assembled already, it has no parameters")
        if request.dtype is not None:
            raise Problem(f"--dtype: the tensors of {title} have their formats in the file")
        if request.check:
            raise Problem(f"--check: {title} has no reference to check against", code=WRONG_USAGE)
        if request.scale is not None:
            raise Problem(f"--scale: the tensors of {title} are quantised as the file says")
        if request.accumulate is not None:
            read_accumulation(request.accumulate)
        self._program = program
        self._request = request
        self.title = str(program.meta.get("kernel", title)) if title == "program" else title
        self.chip = request.load_chip(program.chip)
        if self.chip.chip_class != program.isa:
            raise Problem(
                f"{title} is a program for the {program.isa}, {self.chip.name} is not one"
            )
        self._ins = [t for t in program.tensors if t.role == "in"]
        self._outs = [t for t in program.tensors if t.role == "out"]
        self.input_names = tuple(t.name for t in self._ins)
        self.output_names = tuple(t.name for t in self._outs)
        self.check_names(request)
        self.dtype = self._only_dtype()
        given = " ".join(request.inputs)
        self.data = f"{given} given" if given else f"seed {request.seed}"
        self.shape = {t.name: list(t.shape) for t in [*self._ins, *self._outs]}

    def _only_dtype(self) -> str | None:
        declared: Any = self._program.meta.get("dtype")
        if isinstance(declared, str):
            return declared
        kinds = {t.dtype for t in self._ins}
        return kinds.pop() if len(kinds) == 1 else None

    def needs_values(self, mode: str) -> bool:
        return True  # a gather's addresses may be an input, and then timing depends on it

    def program(self) -> Program:
        return self._program

    @cached_property
    def arrays(self) -> Arrays:
        given = self._request.inputs
        return {
            t.name: given[t.name] if t.name in given else default_values(t, self._request.seed, i)
            for i, t in enumerate(self._ins)
        }

    def encode(self) -> Encoded:
        tensors: dict[str, Array] = {}
        scales: dict[str, float] = {}
        for tensor, array in zip(self._ins, self.arrays.values(), strict=True):
            tensors[tensor.name], scale = to_codes(tensor, array)
            if scale is not None:
                scales[tensor.name] = scale
        return Encoded(tensors, scales)

    def decode(self, outputs: Arrays, encoded: Encoded) -> dict[str, Array]:
        return {t.name: decode(t.dtype, outputs[t.name]) for t in self._outs}

    def macs(self) -> None:
        return None

    def accuracy(self, values: Arrays, encoded: Encoded) -> None:
        return None
