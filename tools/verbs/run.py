"""``presil run``: values and cycles."""

from __future__ import annotations

from typing import Any

import click

from tools.options import target_options
from tools.problem import WRONG_PROGRAM

EXAMPLES = (
    "presil run attention --dtype e4m3",
    "presil run matmul --set m=64 --set n=64 --set k=640 --dtype int8 --out c=c.npy",
)


@click.command(short_help="Run a kernel or program: values, cycles, accuracy.")
@target_options
@click.option(
    "--check",
    is_flag=True,
    help="Compare with float64 whatever it costs; exit 1 if the error is too large.",
)
@click.pass_context
def run(ctx: click.Context, /, check: bool, **options: Any) -> None:
    """Run a kernel, or a program from assembly text or an object file, with real values.

    Prints cycles, what bounds them, where every cycle of every unit went, and the error against
    float64. Exit codes: 0 fine, 1 the program or the check is wrong, 2 wrong usage, 3 internal
    error, 130 interrupted.
    """
    from tools.verbs.common import line_of, usage

    if options["target"] is None:
        usage(ctx, EXAMPLES)
    line = line_of(options)
    report = line.execute("full", True if check else None)
    if line.to_stdout:
        click.echo(report.to_json())
    else:
        from tools.page import show
        from tools.report import run_page

        show(run_page(report))
    if check and report.accuracy is not None and report.accuracy.within is False:
        click.echo(failed_check(report), err=True)
        ctx.exit(WRONG_PROGRAM)


def failed_check(report: Any) -> str:
    """The diagnostic of a run whose values are too far off."""
    from tools.problem import diagnostic
    from tools.text import figures

    item = report.accuracy
    if item.exact is False:
        text = f"{item.output}: integers differ from the reference"
    elif item.nonfinite:
        text = f"{item.output}: {item.nonfinite:,} results are NaN or Inf"
    else:
        text = (
            f"{item.output}: max error {figures(item.max_abs)} is more than {item.limit:g} x"
            f" naive ({figures(item.naive_max_abs)})"
        )
    return diagnostic(report.kernel, "error", text, "check")
