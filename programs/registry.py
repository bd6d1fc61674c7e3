"""Finds the kernels: every module under ``programs/<machine class>/`` that has a ``KERNEL``."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from pathlib import Path

from programs.kernel import Kernel, KernelError

MACHINES = ("lpu", "npu")


@cache
def kernels(machine: str | None = None) -> dict[str, Kernel]:
    """Kernels by name, of one machine class or (None) of any; the LPU's win where both have one."""
    found: dict[str, Kernel] = {}
    for kind in MACHINES if machine is None else (machine,):
        try:
            package = importlib.import_module(f"programs.{kind}")
        except ModuleNotFoundError:
            continue
        for info in pkgutil.iter_modules(package.__path__):
            kernel = _kernel_of(f"programs.{kind}.{info.name}")
            if kernel is not None:
                found.setdefault(kernel.name, kernel)
    return dict(sorted(found.items()))


def _kernel_of(module: str) -> Kernel | None:
    kernel = getattr(importlib.import_module(module), "KERNEL", None)
    return kernel if isinstance(kernel, Kernel) else None


@cache
def _by_module(name: str, machine: str) -> Kernel | None:
    """The kernel in the module of its name: found so, it spares importing all the others."""
    path = Path(__file__).parent / machine / f"{name}.py"
    if not name.isidentifier() or not path.is_file():
        return None
    kernel = _kernel_of(f"programs.{machine}.{name}")
    return kernel if kernel is not None and kernel.name == name else None


def is_kernel(name: str) -> bool:
    """Whether any machine class has a kernel of that name."""
    return any(_by_module(name, machine) for machine in MACHINES) or name in kernels()


def find(name: str, machine: str) -> Kernel:
    """A kernel of a machine class; `KernelError` names those it has."""
    quick = _by_module(name, machine)
    if quick is not None:
        return quick
    have = kernels(machine)
    if name in have:
        return have[name]
    if name in kernels():
        raise KernelError(f"the {machine} has no kernel '{name}'; it has {', '.join(have)}")
    near = difflib.get_close_matches(name, have, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"kernels: {', '.join(have)}"
    raise KernelError(f"no kernel '{name}'; {hint}")
