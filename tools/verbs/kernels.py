"""``presil kernels``: what can be run, with parameters and formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tools.options import json_option

if TYPE_CHECKING:
    from programs.kernel import Kernel


@click.command(short_help="List the kernels and their parameters.")
@click.argument("name", required=False)
@json_option
def kernels(name: str | None, json_to: str | None) -> None:
    """List the kernels, or everything about the kernel NAME."""
    from programs.registry import MACHINES
    from programs.registry import kernels as registered
    from tools.problem import Problem, suggestion

    found = [k for machine in MACHINES for k in registered(machine).values()]
    if name is not None:
        known = sorted({k.name for k in found})
        if name not in known:
            raise Problem(f"no kernel '{name}'", help=suggestion(name, known, "kernels"))
        found = [k for k in found if k.name == name]
    if json_to is not None:
        from tools.verbs.output import put_json

        put_json({"schema": 1, "kernels": [describe(k) for k in found]}, json_to)
        if json_to == "-":
            return
    from tools.page import sections, show

    show(_list(found) if name is None else sections(*(_one(k) for k in found)))


def formats(kernel: Kernel) -> dict[str, tuple[str, ...]]:
    """Chip name -> formats that the kernel takes there."""
    from tools.machines import load_chip, runnable_chips

    chips = [load_chip(name) for name in runnable_chips()]
    return {c.name: kernel.dtypes(c) for c in chips if c.chip_class == kernel.machine}


def scales(kernel: Kernel) -> dict[str, tuple[str, ...]]:
    """Format -> what --scale may be, the default first, where there is a choice."""
    names = dict.fromkeys(name for row in formats(kernel).values() for name in row)
    found = {name: kernel.scales(name) for name in names}
    return {name: choices for name, choices in found.items() if len(choices) > 1}


def describe(kernel: Kernel) -> dict[str, Any]:
    """A kernel as plain data."""
    return {
        "name": kernel.name,
        "machine": kernel.machine,
        "summary": kernel.summary,
        "params": [{"name": p.name, "default": p.default, "doc": p.doc} for p in kernel.params],
        "inputs": dict(kernel.inputs_doc),
        "outputs": dict(kernel.outputs_doc),
        "dtypes": {chip: list(names) for chip, names in formats(kernel).items()},
        "scales": {dtype: list(choices) for dtype, choices in scales(kernel).items()},
    }


def _list(found: list[Kernel]) -> list[Any]:
    from tools.page import indent, sections, table

    params = [
        [k.name, k.machine, " ".join(_with_default(p.name, p.default) for p in k.params)]
        for k in found
    ]
    granted = []
    for kernel in found:
        by_formats: dict[tuple[str, ...], list[str]] = {}
        for chip, names in formats(kernel).items():
            if names:
                by_formats.setdefault(names, []).append(chip)
        for i, (names, chips) in enumerate(by_formats.items()):
            granted.append(["" if i else kernel.name, " ".join(chips), " ".join(names)])
    return sections(
        [table(["Kernels", "machine", "parameters"], indent(params), left=(0, 1, 2))],
        [table(["Formats", "chips", ""], indent(granted), left=(0, 1, 2))],
        ["presil kernels NAME tells more of one."],
    )


def _with_default(name: str, default: Any) -> str:
    return name if default is None else f"{name}={default}"


def _one(kernel: Kernel) -> list[Any]:
    from tools.page import heading, indent, table

    page: list[Any] = [heading(f"{kernel.name}  ({kernel.machine})  {kernel.summary}")]
    rows = [[p.name, "" if p.default is None else str(p.default), p.doc] for p in kernel.params]
    page += ["", table(["--set", "default", ""], indent(rows), left=(0, 2))]
    for head, docs in (("--in", kernel.inputs_doc), ("--out", kernel.outputs_doc)):
        page += ["", table([head, ""], indent(list(item) for item in docs.items()), left=(0, 1))]
    rows = [[chip, " ".join(names)] for chip, names in formats(kernel).items()]
    page += ["", table(["--dtype", ""], indent(rows), left=(0, 1))]
    rows = [[dtype, " ".join(choices)] for dtype, choices in scales(kernel).items()]
    page += ["", table(["--scale", ""], indent(rows), left=(0, 1))] if rows else []
    return page
