"""``presil accuracy``: one table of errors, a row per format."""

from __future__ import annotations

from typing import Any

import click

from tools.options import accuracy_options

EXAMPLES = (
    "presil accuracy attention --dtype bf16,e4m3,mxfp8",
    "presil accuracy matmul --set k=4096 --dtype e4m3,int8 --plot errors.svg",
)


@click.command(short_help="Errors of a kernel by number format.")
@accuracy_options
@click.option("--plot", "plot_to", metavar="FILE.png|svg",
              help="Draw errors by format and their histogram.")  # fmt: skip
@click.pass_context
def accuracy(
    ctx: click.Context, /, target: str | None, dtypes: str | None, models: str | None,
    scales: str | None, json_to: str | None, plot_to: str | None, **options: Any,
) -> None:  # fmt: skip
    """Compare a kernel with float64 in several number formats: one table, a row per format.

    With several ways to add products or to scale operands, a row for each combination.
    Real tensors are used where the kernel has them, your own with --in. Two published rules judge
    each row by the same maths done simply in the same format (naive): FlashAttention's and
    CATLASS's.
    """
    from tools.verbs.common import usage

    if target is None:
        usage(ctx, EXAMPLES)
    from tools.accuracytable import collect, page
    from tools.arrayfiles import read_array
    from tools.files import check_writable
    from tools.jobs import Request
    from tools.options import names, pairs
    from tools.page import show
    from tools.progress import Progress

    if json_to not in (None, "-"):
        check_writable("--json", str(json_to))
    if plot_to is not None:
        from tools.plot import check_plot

        check_plot(plot_to)
    request = Request(
        target=target,
        chip=options["chip"],
        settings=pairs("--set", options["settings"], "name=value"),
        overrides=pairs("--with", options["overrides"], "key=value"),
        inputs={
            name: read_array(name, path)
            for name, path in pairs("--in", options["inputs"], "name=file").items()
        },
        seed=options["seed"],
    )
    with Progress(str(target)) as progress:
        found = collect(
            request,
            names("--dtype", dtypes),
            names("--accumulate", models),
            names("--scale", scales),
            progress,
        )
    if plot_to is not None:
        found.plot(plot_to)
    if json_to is not None:
        from tools.verbs.output import put_text

        put_text(found.to_json(), json_to)
    if json_to != "-":
        show(page(found))
