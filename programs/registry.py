"""Finds the kernels: every module under ``programs/<machine class>/`` that has a ``KERNEL``."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache

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
            module = importlib.import_module(f"programs.{kind}.{info.name}")
            kernel = getattr(module, "KERNEL", None)
            if isinstance(kernel, Kernel):
                found.setdefault(kernel.name, kernel)
    return dict(sorted(found.items()))


def find(name: str, machine: str) -> Kernel:
    """A kernel of a machine class; `KernelError` names those it has."""
    have = kernels(machine)
    if name in have:
        return have[name]
    if name in kernels():
        raise KernelError(f"the {machine} has no kernel '{name}'; it has {', '.join(have)}")
    near = difflib.get_close_matches(name, have, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"kernels: {', '.join(have)}"
    raise KernelError(f"no kernel '{name}'; {hint}")
