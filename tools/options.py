"""The options that several verbs share, and how their texts are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from tools.problem import Problem

F = TypeVar("F", bound=Callable[..., Any])


def pairs(option: str, items: Iterable[str], form: str) -> dict[str, str]:
    """``name=value`` texts as a mapping.

    >>> pairs("--set", ["m=1", "n=2"], "name=value")
    {'m': '1', 'n': '2'}
    """
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise Problem(f"{option} {item}: write it as {option} {form}")
        if name.strip() in found:
            raise Problem(f"{option} {name.strip()}: given twice")
        found[name.strip()] = value.strip()
    return found


def names(option: str, text: str | None) -> list[str]:
    """``a,b,c`` as a list; commas inside parentheses do not part.

    >>> names("--accumulate", "exact, promote(128,fp32_seq)")
    ['exact', 'promote(128,fp32_seq)']
    """
    if text is None:
        return []
    found: list[str] = [""]
    depth = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    found = [name.strip() for name in found]
    if not all(found):
        raise Problem(f"{option} {text}: names with commas between them")
    for name in found:
        if found.count(name) > 1:
            raise Problem(f"{option} {text}: '{name}' twice")
    return found


def target_options(command: F) -> F:
    """The options of every verb that runs one thing."""
    return _apply(command, (_TARGET, *_OPTIONS.values()))


def compare_options(command: F) -> F:
    """Those of a verb that runs several: targets and chips repeat, nothing is written but JSON."""
    shared = {name: option for name, option in _OPTIONS.items() if name != "out"}
    return _apply(command, (_TARGETS, *(shared | {"chip": _CHIPS}).values()))


def accuracy_options(command: F) -> F:
    """Those of a table of errors: formats in a list, one kernel."""
    kept = ("chip", "set", "with", "in", "seed", "json")
    return _apply(command, (_KERNEL, _DTYPES, _MODELS, _SCALES, *(_OPTIONS[name] for name in kept)))


def _apply(command: F, options: Iterable[Callable[[F], F]]) -> F:
    for option in reversed(tuple(options)):
        command = option(command)
    return command


json_option = click.option(
    "--json", "json_to", metavar="FILE|-", help="Write the result as JSON; - is stdout."
)
IN_HELP = (
    "An input, floats or codes in the operand's code type, from a .npy, .npz or .safetensors file;"
    " FILE:KEY where it holds several arrays."
)
_TARGET = click.argument("target", metavar="KERNEL_OR_FILE", required=False)
_KERNEL = click.argument("target", metavar="KERNEL", required=False)
_DTYPES = click.option("--dtype", "dtypes", metavar="D,D,...",
                       help="Operand formats; all that the kernel takes.")  # fmt: skip
_MODELS = click.option("--accumulate", "models", metavar="MODEL,...",
                       help="Ways to add products, docs/numerics.md; the chip's own.")  # fmt: skip
_SCALES = click.option("--scale", "scales", metavar="S,...",
                       help="Ways to scale operands, see 'presil kernels NAME'.")  # fmt: skip
_TARGETS = click.argument("targets", metavar="KERNEL_OR_FILE...", nargs=-1)
_CHIPS = click.option("--chip", "chips", metavar="NAME", multiple=True,
                      help="A chip or chip file; give it once for each to compare.")  # fmt: skip
_OPTIONS = {
    "chip": click.option(
        "--chip", metavar="NAME", help="Chip or chip file; lpu-lp30, or the file's .chip line."),
    "dtype": click.option("--dtype", metavar="D", help="Operand format; the kernel's default."),
    "set": click.option("--set", "settings", metavar="NAME=VALUE", multiple=True,
                        help="A kernel parameter, see 'presil kernels'."),
    "with": click.option("--with", "overrides", metavar="KEY=VALUE", multiple=True,
                         help="A chip value, see 'presil chips NAME'."),
    "in": click.option("--in", "inputs", metavar="NAME=FILE", multiple=True, help=IN_HELP),
    "out": click.option("--out", "outs", metavar="NAME=FILE.npy", multiple=True,
                        help="Write an output: float32, or integers."),
    "accumulate": click.option(
        "--accumulate", metavar="MODEL",
        help="How products are added, docs/numerics.md; the chip's own way."),
    "scale": click.option(
        "--scale", metavar="S",
        help="How operands are scaled, see 'presil kernels NAME'; the format's default."),
    "warm_l2": click.option(
        "--warm-l2", is_flag=True,
        help="NPU: L2 holds the inputs at first, as if they had been read once; else it is cold."),
    "seed": click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, metavar="N",
                         help="Seed of the default inputs; 0."),
    "json": json_option,
    "hazards": click.option(
        "--hazards", type=click.Choice(["error", "warn"]), default="error",
        help="Stop at a hazard (default), or warn and do what hardware would."),
}  # fmt: skip
