"""The command ``presil``: a group of verbs, each in a module of its own that loads when used.

Whatever happens below, a user sees a result or a diagnostic and one of five exit codes (see
`tools.problem`), never a traceback; ``PRESIL_TRACEBACK=1`` shows it.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import click

from tools.problem import (
    INTERNAL,
    INTERRUPTED,
    OK,
    WRONG_PROGRAM,
    WRONG_USAGE,
    Problem,
    ProgramFault,
    diagnostic,
    suggestion,
)

# Verb -> (module, line in the help). Only verbs that work are listed; a new one is a row here and
# a module with a click command of the verb's name.
VERBS = {
    "run": ("tools.verbs.run", "Run a kernel or program: values, cycles, accuracy."),
    "cycles": ("tools.verbs.cycles", "Count cycles without values, in depth."),
    "accuracy": ("tools.verbs.accuracy", "Errors of a kernel by number format."),
    "compare": ("tools.verbs.compare", "Run the same work on several chips, side by side."),
    "validate": ("tools.verbs.validate", "Hold predictions against published measurements."),
    "asm": ("tools.verbs.asm", "Assemble a program into an object file."),
    "disasm": ("tools.verbs.disasm", "Show the instructions of a program or word."),
    "kernels": ("tools.verbs.kernels", "List the kernels and their parameters."),
    "chips": ("tools.verbs.chips", "List the chips, or every value of one."),
}
COLLECT_AFTER = 200_000  # new objects that Python's collector waits for, instead of 700
EXAMPLES = """\b
Examples:
  presil run attention
  presil cycles matmul --chip lpu-tsp1 --dtype int8 --set m=1280 --set n=1280 --set k=1280
"""


class Presil(click.Group):
    """A group that imports a verb only when it is used, and ends every way of failing well."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = getattr(importlib.import_module(VERBS[name][0]), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            raise Problem(f"no verb '{args[0]}'", help=suggestion(args[0], VERBS, "verbs"))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> Any:  # type: ignore[override]
        extra.update(prog_name="presil", standalone_mode=False)
        if args is not None:
            sys.exit(self._guarded(list(args), extra))
        # A process of its own: it makes very many objects that stay, and has no use for a last
        # look at all of them when it ends. Both looks cost a short run a tenth of its time.
        gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
        code = self._guarded(sys.argv[1:], extra)
        gc.freeze()
        sys.exit(code)

    def _guarded(self, words: list[str], extra: dict[str, Any]) -> int:
        try:
            code = super().main(words, **extra)
            sys.stdout.flush()
            return code if isinstance(code, int) else OK
        except (KeyboardInterrupt, click.Abort):
            return _fail("presil: interrupted", INTERRUPTED)
        except BrokenPipeError:
            # The reader has seen enough. Python would complain again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK
        except Exception as error:
            _show_traceback()
            text, code = explain(error)
            return _fail(text or _report_please(error, words), code)


def _fail(text: str, code: int) -> int:
    click.echo(text, err=True)
    return code


def _show_traceback() -> None:
    if os.environ.get("PRESIL_TRACEBACK", "0") not in ("", "0"):
        traceback.print_exc()


def explain(error: Exception) -> tuple[str, int]:
    """What to print for an expected error and its exit code; no text for an unexpected one."""
    if isinstance(error, Problem | ProgramFault):
        return str(error), error.code
    if isinstance(error, click.ClickException):
        return _usage_text(error), error.exit_code if error.exit_code > 1 else WRONG_USAGE
    if isinstance(error, MemoryError):
        return diagnostic("presil", "error", "this run needs more memory than there is"), 1
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
        return diagnostic("presil", "error", text), WRONG_USAGE
    for module, name, code in (
        ("emulator.chip", "ChipError", WRONG_USAGE),
        ("programs.kernel", "KernelError", WRONG_USAGE),
        ("emulator.layout", "LayoutError", WRONG_PROGRAM),
        ("isa.table", "DecodeError", WRONG_PROGRAM),
    ):
        loaded = sys.modules.get(module)  # what is not loaded cannot have raised
        if loaded is not None and isinstance(error, getattr(loaded, name)):
            return diagnostic("presil", "error", str(error)), code
    return "", INTERNAL


def _usage_text(error: click.ClickException) -> str:
    message = error.format_message().replace("\n", " ").strip()
    message = message[:1].lower() + message[1:].rstrip(".")
    help = ""
    if isinstance(error, click.NoSuchOption):
        message = f"no option '{error.option_name}'"
        help = suggestion(error.option_name, error.possibilities or (), "near options")
        help = help if error.possibilities else ""
    elif isinstance(error, click.UsageError) and error.ctx is not None:
        help = f"{error.ctx.command_path} --help"
    return diagnostic("presil", "error", message, help=help)


def _report_please(error: Exception, words: list[str]) -> str:
    kind = f"{type(error).__name__}: {error}".splitlines()[0]
    seed = next((b for a, b in pairwise(words) if a == "--seed"), "0")
    return "\n".join(
        [
            diagnostic("presil", "internal error", kind),
            f"please report this with the seed ({seed}) and the command: presil {' '.join(words)}",
            "help: PRESIL_TRACEBACK=1 shows where it happened",
        ]
    )


def version() -> str:
    """The version that is installed."""
    from importlib import metadata

    try:
        return metadata.version("presil")
    except metadata.PackageNotFoundError:
        return "not installed"


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"presil {version()}")
        ctx.exit()


@click.group(
    cls=Presil,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXAMPLES,
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version,
    help="Print the version.",
)  # fmt: skip
@click.pass_context
def main(ctx: click.Context) -> None:
    """Run kernels on AI inference chips that are not on your desk."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


if __name__ == "__main__":
    main()
