"""From operand texts to field values: which text belongs to which field, and whose error it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isa.fields import Evaluate, Field, FieldError, FlagField, near

if TYPE_CHECKING:
    from isa.table import Row


class OperandError(ValueError):
    """A wrong operand.

    `index` is its position in the operand list, None for the mnemonic; `suffix` the position of
    the suffix at fault. `code`, `hint` and `span` are as in `FieldError`.
    """

    def __init__(
        self,
        message: str,
        index: int | None,
        *,
        suffix: int | None = None,
        cause: FieldError | None = None,
        code: str = "A010",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.index = index
        self.suffix = suffix
        self.code = cause.code if cause else code
        self.hint = cause.hint or hint if cause else hint
        self.span = cause.span if cause else None


def suffix_values(row: Row, name: str, suffixes: Sequence[str]) -> dict[str, Any]:
    values = {}
    for i, f in enumerate(row.suffixes):
        if i >= len(suffixes):
            choices = ", ".join(getattr(f, "choices", ()))
            wanted = name + "".join(s.syntax() for s in row.suffixes)
            message = f"write it as '{wanted}'; {f.name} is one of {choices}"
            raise OperandError(message, None, code="A011")
        try:
            values[f.name] = f.parse(suffixes[i])
        except FieldError as error:
            raise OperandError(str(error), None, suffix=i, cause=error) from None
    if len(suffixes) > len(row.suffixes):
        wanted = name + "".join(s.syntax() for s in row.suffixes)
        message = f"write it as '{wanted}', without '.{suffixes[len(row.suffixes)]}'"
        raise OperandError(message, None, suffix=len(row.suffixes), code="A011")
    return values


def bind_operands(
    row: Row, operands: Sequence[str], values: dict[str, Any], evaluate: Evaluate
) -> tuple[Field, ...]:
    """Parse the operands into `values`; returns the field that each belongs to."""
    waiting = list(row.positionals)
    flags = {f.name: f for f in row.fields if isinstance(f, FlagField)}
    keys = {f.name: f for f in row.fields if f.role == "key"}
    bound = []
    for i, text in enumerate(operands):
        f, body = _operand_field(row, text, i, waiting, flags, keys)
        if f.name in values:
            raise OperandError(f"{f.name} is given twice", i)
        try:
            values[f.name] = f.parse(body, evaluate)
        except FieldError as error:
            if error.span is not None:  # offsets count from the body; make it the operand's start
                before = text.index(body)
                error.span = (error.span[0] + before, error.span[1] + before)
            raise OperandError(str(error), i, cause=error, hint=near(text, flags)) from None
        bound.append(f)
    missing = [f.name for f in waiting if not f.optional]
    missing += [n for n, f in keys.items() if n not in values and not f.optional]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        message = f"{', '.join(missing)} {verb} missing; the form is '{row.syntax}'"
        raise OperandError(message, None, code="A011")
    return tuple(bound)


def _operand_field(
    row: Row,
    text: str,
    index: int,
    waiting: list[Field],
    flags: Mapping[str, Field],
    keys: Mapping[str, Field],
) -> tuple[Field, str]:
    """The field an operand text belongs to, and the text without its ``key=``."""
    key, equals, rest = text.partition("=")
    key = key.strip()
    if text in flags:
        return flags[text], text
    if equals and key in keys:
        return keys[key], rest.strip()
    if equals and key.isidentifier() and not rest.startswith("="):
        message = f"{row.name} has no operand '{key}'"
        raise OperandError(message, index, code="A011", hint=near(key, keys))
    if waiting:
        return waiting.pop(0), text
    message = f"too many operands; the form is '{row.syntax}'"
    raise OperandError(message, index, code="A011", hint=near(text, flags))


def blame(bound: Sequence[Field], values: Mapping[str, Any], error: FieldError) -> OperandError:
    """The error of encoding a whole instruction, put on the operand that caused it."""
    for i, f in enumerate(bound):
        if f.name == error.field:
            return OperandError(str(error), i, cause=error)
        try:
            f.encode(values[f.name])
        except FieldError:
            return OperandError(str(error), i, cause=error)
    return OperandError(str(error), None, cause=error)
