"""What a kernel is: a builder, a float64 reference, and its legal ranges.

A module under ``programs/<machine class>/`` that holds a `Kernel` instance named ``KERNEL`` is
found by `programs.registry`; nothing else needs to know of it. The steps of one use:

    params = kernel.resolve(given, arrays)          # defaults, checked
    arrays = kernel.inputs(params, seed)            # or the user's own
    program = kernel.build(chip, dtype, params)     # independent of values
    encoded = kernel.encode(dtype, params, arrays)  # codes of every input tensor, scales
    result = Machine(chip).run(program, encoded.tensors)
    values = kernel.decode(dtype, params, result.outputs, encoded)
    error against kernel.reference(params, arrays) and kernel.naive(dtype, params, arrays)
"""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from numpy.typing import NDArray

from isa.program import Program

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Params = Mapping[str, Any]
Scale = float | Array  # of a tensor; or finer ones, an array that broadcasts against it


class KernelError(ValueError):
    """A request that the kernel cannot serve; the message says what would be right."""


@dataclass(frozen=True)
class Param:
    """One ``--set`` parameter, an integer; subclasses read other kinds of values.

    `default` None: follows from another one, as `doc` says.
    """

    name: str
    default: Any
    doc: str
    least: float = 1
    most: float | None = None

    def read(self, value: Any) -> Any:
        """The value of a text or a Python object; `KernelError` says what would be right."""
        try:
            number = self._number(value)
        except (TypeError, ValueError, OverflowError):
            raise KernelError(f"{self.name} is {self._kind()}, not '{value}'") from None
        if not number >= self.least or (self.most is not None and number > self.most):
            upper = "" if self.most is None else f" and at most {self.most:,}"
            raise KernelError(f"{self.name} is at least {self.least:,}{upper}, not {number}")
        return number

    def _number(self, value: Any) -> Any:
        number = int(value)
        if isinstance(value, float) and number != value:
            raise ValueError
        return number

    def _kind(self) -> str:
        return "an integer"


@dataclass(frozen=True)
class Real(Param):
    """A parameter that may be fractional."""

    def _number(self, value: Any) -> Any:
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
        return number

    def _kind(self) -> str:
        return "a number"


@dataclass(frozen=True, kw_only=True)
class Choice(Param):
    """One of a few words."""

    choices: tuple[str, ...]

    def read(self, value: Any) -> Any:
        word = str(value)
        if word not in self.choices:
            near = difflib.get_close_matches(word, self.choices, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise KernelError(f"{self.name} is {' or '.join(self.choices)}, not '{word}'{hint}")
        return word


@dataclass(frozen=True)
class Encoded:
    """Input tensors as codes, and the scales that were chosen (for reports and `decode`)."""

    tensors: Arrays
    scales: Mapping[str, Scale] = field(default_factory=dict)


class Kernel(ABC):
    """A kernel of one machine class. Subclasses are stateless."""

    name: ClassVar[str]
    machine: ClassVar[str]  # chip class: "lpu" or "npu"
    summary: ClassVar[str]  # one line
    params: ClassVar[tuple[Param, ...]]
    # Whether cycles depend on values (addresses or branches are data), so that timing needs them.
    timed_by_values: ClassVar[bool] = False
    inputs_doc: ClassVar[Mapping[str, str]]  # input name -> shape in parameter names
    outputs_doc: ClassVar[Mapping[str, str]]
    operand_axes: ClassVar[Mapping[str, int]] = {}  # inputs in the operand format -> block axis
    distributions: ClassVar[tuple[str, ...]] = ()  # outputs whose rows are probabilities
    choices: ClassVar[tuple[str, ...]] = ()  # parameters that the builder chooses if not given

    @abstractmethod
    def dtypes(self, chip: Any) -> tuple[str, ...]:
        """The operand formats that this kernel takes on that chip."""

    @abstractmethod
    def default_dtype(self, chip: Any) -> str:
        """The format without ``--dtype``."""

    def resolve(self, given: Mapping[str, Any], arrays: Arrays | None = None) -> dict[str, Any]:
        """All parameters: given ones checked, then shapes of arrays, then defaults."""
        known = {p.name: p for p in self.params}
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known)}"
                raise KernelError(f"{self.name} has no parameter '{name}'; {hint}")
        params = {name: known[name].read(value) for name, value in given.items()}
        for name, size in self.shape_params(arrays).items() if arrays else ():
            if params.setdefault(name, size) != size:
                raise KernelError(f"{name} is {size} by the arrays but {params[name]} by --set")
        return self.complete(params)

    def shape_params(self, arrays: Arrays) -> dict[str, int]:
        """Parameters that follow from the shapes of the user's arrays."""
        raise KernelError(f"{self.name} takes no arrays")

    def complete(self, params: dict[str, Any]) -> dict[str, Any]:
        """Fill in defaults; overridden where one parameter's default follows from another."""
        for p in self.params:
            if p.name not in params and p.default is not None:
                params[p.name] = p.default
        return params

    @abstractmethod
    def build(self, chip: Any, dtype: str, params: Params) -> Program:
        """The program; `KernelError` where shapes or format do not fit the chip."""

    @abstractmethod
    def inputs(self, params: Params, seed: int) -> dict[str, Array]:
        """Default inputs, float32, the same for the same seed."""

    def prepared(self, params: Params, arrays: Arrays) -> Arrays:
        """The arrays as they are just before they are quantised."""
        return arrays

    @abstractmethod
    def encode(self, dtype: str, params: Params, arrays: Arrays) -> Encoded:
        """Codes of every ``in`` tensor of the program; floats are quantised as in *naive*."""

    @abstractmethod
    def decode(
        self, dtype: str, params: Params, outputs: Arrays, encoded: Encoded
    ) -> dict[str, Array]:
        """Results by output name: float32, or int32 for integer sums."""

    def measured(self, outputs: Arrays) -> Mapping[str, int]:
        """What the kernel itself has measured, by field of the JSON, from decoded outputs."""
        return {}

    @abstractmethod
    def reference(self, params: Params, arrays: Arrays) -> dict[str, Array]:
        """float64 results on the unrounded inputs."""

    def naive(self, dtype: str, params: Params, arrays: Arrays) -> dict[str, Array] | None:
        """The yardstick of the error rule where the kernel has one: the same maths done simply."""
        return None

    def naive_of(
        self, dtype: str, params: Params, arrays: Arrays, encoded: Encoded
    ) -> dict[str, Array] | None:
        """The same where `encode` has rounded the arrays, with the format's default scale; a
        kernel whose naive run starts from the same codes spares itself rounding them again.
        """
        return self.naive(dtype, params, arrays)

    @abstractmethod
    def macs(self, params: Params) -> int:
        """Multiply-adds of the mathematics (0 where there are none)."""

    def scales(self, dtype: str) -> tuple[str, ...]:
        """What ``--scale`` may be for a format, the default first; `params["scale"]` is the choice.

        See `programs.encoding`. A kernel that takes more says so here.
        """
        from programs.encoding import scale_choices

        choices = scale_choices(dtype)
        return choices[:1] if choices[0] == "none" else choices

    def accuracy_scale(self, dtype: str, encoded: Encoded) -> Mapping[str, Scale]:
        """Factor per output that takes decoded results to the reference's scale (default 1)."""
        return {}
