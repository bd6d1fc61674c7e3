"""Something to run, a kernel with its parameters or a program file; `session` sees no difference.

Opening a job checks everything that can be wrong with a request before any work is done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from programs.kernel import Array, Arrays, Encoded, Kernel
from tools.machines import DEFAULT_CHIP, load_chip
from tools.problem import Problem, suggestion
from tools.yardsticks import Yardsticks

if TYPE_CHECKING:
    from emulator.numerics.accumulate import Model
    from isa.program import Program
    from tools.accuracy import Accuracy

MOST_SHOWN = 2000  # cycles of a timeline with a column for each
MOST_WATCHED = 100_000_000  # where a column stands for many


@dataclass(frozen=True)
class Request:
    """What a person asked for, on the command line or from Python.

    `target` is a kernel name, a path, or a `Program`; `chip` a name, a path or a loaded chip;
    `check` True or False forces or forbids the accuracy figures, None leaves it to the size.
    `accumulate` is a model of accumulation that adds products in place of the chip's, `scale` how
    float operands are scaled before they are rounded (`programs.encoding`). With
    `warm_l2` an NPU's L2 holds the inputs at first. `timeline` is a range of cycles, first and the
    one after the last, to keep what happens in it; of an NPU, in one core (`core`, or the first).
    """

    target: Any
    chip: Any = None
    dtype: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    inputs: Arrays = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    seed: int = 0
    mode: str = "full"
    hazards: str = "error"
    check: bool | None = None
    accumulate: str | None = None
    scale: str | None = None
    warm_l2: bool = False
    timeline: tuple[int, int] | None = None
    core: int | None = None

    def load_chip(self, name: str) -> Any:
        """The chip of the request, or the named one where it leaves that open."""
        if self.chip is not None and not isinstance(self.chip, str):
            if self.overrides:
                raise Problem("overrides go with a chip's name, not with a loaded chip")
            return self.chip
        return load_chip(self.chip or name, self.overrides)


class Job(ABC):
    """One request, opened: names are known, nothing is computed yet."""

    title: str
    chip: Any
    dtype: str | None
    shape: Mapping[str, Any]
    scale: str | None  # how float operands are scaled before they are rounded
    data: str  # where the inputs come from, for the head of the report
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]

    def check_names(self, request: Request) -> None:
        """Refuse names of inputs and outputs that the job does not have."""
        for option, what, names, known in (
            ("--in", "input", request.inputs, self.input_names),
            ("--out", "output", request.wanted, self.output_names),
        ):
            for name in names:
                if name not in known:
                    raise Problem(
                        f"{option} {name}: {self.title} has no {what} '{name}'",
                        help=suggestion(name, known, f"{what}s"),
                    )

    def needs_values(self, mode: str) -> bool:
        """Whether a run in that mode takes input values."""
        return mode == "full"

    @property
    @abstractmethod
    def arrays(self) -> Arrays:
        """The user's arrays, and default data for the inputs that were left out."""

    @abstractmethod
    def program(self) -> Program:
        """What the machine runs."""

    @abstractmethod
    def encode(self) -> Encoded:
        """Codes of every input tensor."""

    @abstractmethod
    def decode(self, outputs: Arrays, encoded: Encoded) -> dict[str, Array]:
        """Values of every output."""

    def measured(self, values: Arrays) -> Mapping[str, int]:
        """What the program itself has measured, by field of the JSON."""
        return {}

    @abstractmethod
    def macs(self) -> int | None:
        """Multiply-adds, to judge what a float64 reference costs; None where there is none."""

    @abstractmethod
    def accuracy(self, values: Arrays, encoded: Encoded) -> Accuracy | None:
        """Errors against float64."""


def read_accumulation(text: str) -> Model:
    """A model of accumulation by its name."""
    from emulator.numerics.accumulate import parse_model

    try:
        return parse_model(text)
    except ValueError as error:
        raise Problem(f"--accumulate: {error}") from None


def check_accumulation(text: str | None, job: KernelJob) -> None:
    """Refuse a model that would change nothing in this job."""
    from programs.encoding import accumulator

    if text is None:
        return
    model = read_accumulation(text)
    if not job.macs():
        raise Problem(f"--accumulate: {job.title} has no matrix products")
    if not adds(model, str(job.dtype)):
        kind = accumulator(str(job.dtype))
        raise Problem(
            f"--accumulate {text}: products of {job.dtype} add up in {kind}",
            help="int32 and int32_wrap do" if kind == "int32" else "int32 is for integers",
        )


def adds(model: Model, dtype: str) -> bool:
    """Whether a model adds products of that operand format."""
    from emulator.numerics.accumulate import Int32
    from programs.encoding import accumulator

    return isinstance(model, Int32) == (accumulator(dtype) == "int32")


def open_job(request: Request) -> Job:
    """The job of a request: a kernel's name wins over a file of that name."""
    job = _open_job(request)
    if request.warm_l2 and job.chip.chip_class != "npu":
        raise Problem(
            f"--warm-l2: {job.chip.name} has no L2, its inputs are in SRAM from the first cycle",
            help="it is for NPU chips, such as npu-950pr",
        )
    if request.timeline is not None:
        _check_timeline(job, request.timeline, request.core)
    return job


def _check_timeline(job: Job, timeline: tuple[int, int], core: int | None) -> None:
    npu = job.chip.chip_class == "npu"
    cycles, most = timeline[1] - timeline[0], MOST_WATCHED if npu else MOST_SHOWN
    if cycles > most:
        raise Problem(f"--timeline: at most {most:,} cycles, not {cycles:,}")
    if core is not None and not npu:
        raise Problem(f"--core: {job.chip.name} is one core", help="it is for NPU chips")
    if core is not None and not 0 <= core < job.chip.cores:
        raise Problem(f"--core {core}: {job.chip.name} has cores 0 to {job.chip.cores - 1}")


def _open_job(request: Request) -> Job:
    target = request.target
    # Only a name that could be a file's is looked for among all machines' kernels: that imports.
    if isinstance(target, str) and (not _looks_like_file(target) or _is_kernel(target)):
        return KernelJob(request)
    from tools.filejob import FileJob, load_program

    if not isinstance(target, str):
        return FileJob(request, target, "program")
    return FileJob(request, load_program(target, request), target)


def _is_kernel(target: str) -> bool:
    from programs.registry import is_kernel

    return is_kernel(target)


def _looks_like_file(target: str) -> bool:
    path = Path(target)
    return path.is_file() or bool(path.suffix) or len(path.parts) > 1


class KernelJob(Job):
    """A kernel with parameters, format and arrays."""

    def __init__(self, request: Request) -> None:
        from programs.registry import find

        self.chip = request.load_chip(DEFAULT_CHIP)
        self.kernel: Kernel = find(request.target, self.chip.chip_class)
        self.title = self.kernel.name
        self.dtype = self._dtype(request.dtype)
        self.input_names = tuple(self.kernel.inputs_doc)
        if self.dtype.startswith("mx"):
            self.input_names += tuple(f"{name}.scale" for name in self.kernel.inputs_doc)
        self.output_names = tuple(self.kernel.outputs_doc)
        self.check_names(request)
        self.params = self._resolve(request)
        self.scale = self._scale(request.scale)
        self.params["scale"] = self.scale
        self.shape = {p.name: self.params[p.name] for p in self.kernel.params}
        self._given = dict(request.inputs)
        self.data = self._data(request)
        self._seed = request.seed
        self._arrays: Arrays | None = None
        check_accumulation(request.accumulate, self)
        self.yardsticks = Yardsticks()  # jobs with the same arrays may share one

    def _data(self, request: Request) -> str:
        if self._given:
            missing = [name for name in self.kernel.inputs_doc if name not in self._given]
            rest = f", {' '.join(missing)} by seed {request.seed}" if missing else ""
            return f"{' '.join(self._given)} given{rest}"
        return "real tensors" if self.params.get("real") else f"seed {request.seed}"

    def _resolve(self, request: Request) -> dict[str, Any]:
        try:
            return self.kernel.resolve(request.settings, request.inputs or None)
        except KeyError as error:  # an array from which shapes follow was not given
            name = error.args[0] if error.args else None
            if not request.inputs or name not in self.kernel.inputs_doc:
                raise
            needed = ", ".join(self.kernel.inputs_doc)
            raise Problem(f"--in: '{name}' is missing; {self.title} takes {needed}") from None

    def _dtype(self, wanted: str | None) -> str:
        if wanted is None:
            return self.kernel.default_dtype(self.chip)
        granted = self.kernel.dtypes(self.chip)
        if wanted not in granted:
            raise Problem(
                f"{self.kernel.name} on {self.chip.name} does not take dtype '{wanted}'",
                help=suggestion(wanted, granted, "formats"),
            )
        return wanted

    def _scale(self, wanted: str | None) -> str:
        choices = self.kernel.scales(str(self.dtype))
        if wanted is None or wanted in choices:
            return wanted or choices[0]
        raise Problem(
            f"--scale {wanted}: {self.title} in {self.dtype} does not take it",
            help=suggestion(wanted, choices, "scales"),
        )

    @property
    def granted(self) -> tuple[str, ...]:
        """The formats that the kernel takes on the chip."""
        return self.kernel.dtypes(self.chip)

    @property
    def arrays(self) -> Arrays:
        """The user's arrays, and default data for the inputs that were left out."""
        if self._arrays is None:
            missing = [name for name in self.kernel.inputs_doc if name not in self._given]
            default = self.kernel.inputs(self.params, self._seed) if missing else {}
            self._arrays = {**default, **self._given}
        return self._arrays

    def needs_values(self, mode: str) -> bool:
        return mode == "full" or self.kernel.timed_by_values

    def program(self) -> Program:
        return self.kernel.build(self.chip, str(self.dtype), self.params)

    def encode(self) -> Encoded:
        return self.kernel.encode(str(self.dtype), self.params, self.arrays)

    def decode(self, outputs: Arrays, encoded: Encoded) -> dict[str, Array]:
        return self.kernel.decode(str(self.dtype), self.params, outputs, encoded)

    def measured(self, values: Arrays) -> Mapping[str, int]:
        return self.kernel.measured(values) if values else {}

    def macs(self) -> int:
        return self.kernel.macs(self.params)

    def accuracy(self, values: Arrays, encoded: Encoded) -> Accuracy | None:
        from concurrent.futures import ThreadPoolExecutor

        from tools.accuracy import measure
        from tools.tensors import clipped

        # Passes over the whole inputs, so side by side: they leave the interpreter to each other.
        with ThreadPoolExecutor(1) as pool:
            arrays = self.kernel.prepared(self.params, self.arrays)
            beyond = pool.submit(
                clipped, str(self.dtype), self.kernel.operand_axes, arrays, self.scale,
                encoded.tensors,
            )  # fmt: skip
            found = self.yardsticks.of(self, encoded)
        return measure(
            values,
            found.reference,
            found.naive,
            self.kernel.accuracy_scale(str(self.dtype), encoded),
            found.integers,
            beyond.result(),
            self.kernel.distributions,
        )
