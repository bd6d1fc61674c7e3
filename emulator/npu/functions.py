"""What the times of a SIMD function depend on, found without running it.

Addresses, counts of loops, branches and the masks of stores decide when instructions issue; values
in lanes do not, unless they find their way into one of those. Arguments that decide nothing (a
factor, the place of a diagonal) need not be the same for two calls to take the same cycles.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from isa.npu import NPU

_ALU = tuple(r.name for r in NPU.rows if r.unit == "scalar" and r.timing.startswith("scalar.")
             and "dst" in r.by_name and "a" in r.by_name and r.name not in ("ret",))  # fmt: skip
_NAMES = {row.code: row.name for row in NPU.rows}
ARGUMENTS = 16


def timing(ops: NDArray[Any], first: int, end: int) -> tuple[int, int]:
    """(whether times depend on arguments alone, bit i: on argument i) of the rows [first, end).

    If not, they depend on values in memory too: a gather's lanes, an element taken out of a
    register, a store under a computed mask.
    """
    rows = [(_NAMES.get(int(op["code"]), ""), op) for op in ops[first:end]]
    scalars: set[int] = set()
    masks: set[int] = set()
    fixed = True
    for name, op in rows:
        if name in ("vgather", "vscatter"):
            fixed = False
        if name in ("vld", "vst"):
            scalars.add(int(op["base"]))
            _value(scalars, op, "post")
            if name == "vst" and op["mask"]:
                masks.add(int(op["mask"]) - 1)
        elif name == "loop":
            _value(scalars, op, "count")
        elif name == "br":
            scalars.add(int(op["a"]))
            _value(scalars, op, "b")
    size = -1
    while size != len(scalars) + len(masks):
        size = len(scalars) + len(masks)
        for name, op in rows:
            if name in _ALU and int(op["dst"]) in scalars:
                _value(scalars, op, "a") if name == "mov" else scalars.add(int(op["a"]))
                _value(scalars, op, "b")
            elif name == "pcount" and int(op["dst"]) in masks:
                _value(scalars, op, "a")
            elif name in ("pand", "por", "pxor", "pnot") and int(op["dst"]) in masks:
                masks.add(int(op["a"]))
                masks.add(int(op["b"]))
    for name, op in rows:
        if (name == "vlane" and int(op["dst"]) in scalars) or (
            name == "vcmp" and int(op["dst"]) in masks
        ):
            fixed = False
    return int(fixed), sum(1 << (x - 1) for x in scalars if 1 <= x <= ARGUMENTS)


def _value(into: set[int], op: Any, name: str) -> None:
    """The register of a value operand, if it is one."""
    if not op[f"{name}_kind"]:
        into.add(int(op[name]))
