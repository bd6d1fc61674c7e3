"""Presil from Python: run kernels on AI inference chips that are not on your desk.

import presil
report = presil.run("matmul", chip="lpu-tsp1", dtype="int8", m=64, n=64, k=640)
report.cycles, report.outputs["c"]
print(report)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tools.runreport import RunReport

if TYPE_CHECKING:
    from emulator.lpu.chip import LpuChip
    from emulator.numerics import Quantized
    from isa.program import Program
    from programs.kernel import Kernel
    from tools.accuracytable import AccuracyTable
    from tools.formats import Formats

__all__ = [
    "RunReport",
    "__version__",
    "accuracy",
    "assemble",
    "chips",
    "formats",
    "kernels",
    "load_chip",
    "quantize",
    "run",
]


def run(
    target: str | Program,
    chip: str | LpuChip | None = None,
    dtype: str | None = None,
    *,
    seed: int = 0,
    mode: str = "full",
    hazards: str = "error",
    check: bool | None = None,
    accumulate: str | None = None,
    scale: str | None = None,
    warm_l2: bool = False,
    overrides: Mapping[str, str] | None = None,
    **arrays_or_params: Any,
) -> RunReport:
    """Run a kernel by name, a program file by path, or a `Program`.

    Arrays among the keywords are inputs, everything else is a kernel parameter; both have the
    defaults of the command line. `mode` is "full" (values and cycles) or "timing"; `overrides` are
    chip values as texts (``{"clock": "2 GHz"}``); `check` forces or forbids the accuracy figures;
    `accumulate` is a way to add products in place of the chip's, `scale` how float operands are
    scaled before they are rounded (docs/numerics.md); with `warm_l2` an NPU's L2 holds
    the inputs at first.

    >>> run("matmul", chip="lpu-tiny", dtype="int8", m=3, n=5, k=40).outputs["c"].shape
    (3, 5)
    """
    import numpy as np

    from tools.jobs import Request
    from tools.session import execute

    inputs = {k: v for k, v in arrays_or_params.items() if isinstance(v, np.ndarray)}
    return execute(
        Request(
            target=target,
            chip=chip,
            dtype=dtype,
            settings={k: v for k, v in arrays_or_params.items() if k not in inputs},
            overrides=overrides or {},
            inputs=inputs,
            seed=seed,
            mode=mode,
            hazards=hazards,
            check=check,
            accumulate=accumulate,
            scale=scale,
            warm_l2=warm_l2,
        )
    )


def accuracy(
    kernel: str,
    chip: str | LpuChip | None = None,
    dtypes: Sequence[str] | str = (),
    *,
    accumulate: Sequence[str] | str = (),
    scale: Sequence[str] | str = (),
    seed: int = 0,
    overrides: Mapping[str, str] | None = None,
    **arrays_or_params: Any,
) -> AccuracyTable:
    """Errors of a kernel against float64, a row for every format in `dtypes` (none: all it takes).

    With several ways to `accumulate` products or to `scale` operands a row for each combination.
    Arrays and parameters as in `run`. ``table.rows[i].accuracy`` holds the measures,
    ``table.plot("errors.svg")`` draws them.

    >>> table = accuracy("matmul", "lpu-tiny", ["int8", "fp16"], m=8, n=8, k=64)
    >>> [row.accuracy.within for row in table.rows]
    [True, True]
    """
    import numpy as np

    from tools.accuracytable import collect
    from tools.jobs import Request

    inputs = {k: v for k, v in arrays_or_params.items() if isinstance(v, np.ndarray)}
    request = Request(
        target=kernel,
        chip=chip,
        settings={k: v for k, v in arrays_or_params.items() if k not in inputs},
        overrides=overrides or {},
        inputs=inputs,
        seed=seed,
    )
    return collect(request, _listed(dtypes), _listed(accumulate), _listed(scale))


def _listed(names: Sequence[str] | str) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def quantize(
    array: Any,
    format: str,
    *,
    scale: str | None = None,
    axis: int = -1,
    rounding: str = "nearest-even",
    saturate: bool = True,
    seed: int = 0,
) -> Quantized:
    """Numbers as codes of a format, with the scales it has; `dequantize()` goes back.

    Everything about it: `emulator.numerics.quantize`, docs/numerics.md.

    >>> q = quantize([0.3, 500.0], "e4m3")
    >>> q.codes, q.dequantize()
    (array([ 42, 126], dtype=uint8), array([3.125e-01, 4.480e+02], dtype=float32))
    """
    from emulator import numerics

    return numerics.quantize(
        array, format, scale=scale, axis=axis, rounding=rounding, saturate=saturate, seed=seed
    )


def formats() -> Formats:
    """Every number format with its limits: a mapping by name that prints as a table.

    >>> formats()["e4m3"].max_finite
    448.0
    """
    from tools.formats import Formats

    return Formats()


def chips() -> list[str]:
    """Names of the chips that ship with Presil."""
    from tools.machines import runnable_chips

    return runnable_chips()


def kernels(machine: str | None = None) -> dict[str, Kernel]:
    """Kernels by name, of one machine class ("lpu") or of all."""
    from programs.registry import kernels as registered

    return dict(registered(machine))


def load_chip(name: str, overrides: Mapping[str, str] | None = None) -> Any:
    """A chip by name or by path of a chip file, validated; `overrides` change single values.

    >>> load_chip("lpu-tiny").lanes
    32
    """
    from tools.machines import load_chip as load

    return load(name, overrides)


def assemble(text: str, filename: str = "<text>") -> Program:
    """Assembly text as a program; `isa.diagnostics.AssemblyError` holds every error."""
    from isa.asm.assembler import assemble as translate
    from tools.machines import load_chip as load

    return translate(text, filename, load_chip=load)


def __getattr__(name: str) -> str:
    if name == "__version__":
        from tools.cli import version

        return version()
    raise AttributeError(f"module 'presil' has no attribute '{name}'")


if TYPE_CHECKING:
    __version__: str
