"""Expressions: C's operators and their precedence, over integers and floats.

Integers are exact up to 128 bits; ``/`` and ``%`` truncate toward zero as in C, ``/`` divides
exactly where one side is a float. Comparisons give 1 or 0. A name is a symbol, or a label met
before (its value is the cycle in which its instruction issues); ``.`` is the next free cycle of
the queue. ``min`` and ``max`` take numbers; chip facts such as ``latency(mem.read)`` take names.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import NoReturn

from isa.fields import FieldError, near

Number = int | float

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+
              |(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[A-Za-z_.$][A-Za-z0-9_.$]*)
    |(?P<op><<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!<>(),])
    |(?P<end>$))""",
    re.VERBOSE,
)
_LEVELS = (
    ("||",), ("&&",), ("|",), ("^",), ("&",), ("==", "!="), ("<", "<=", ">", ">="),
    ("<<", ">>"), ("+", "-"), ("*", "/", "%"),
)  # fmt: skip
_PRECEDENCE = {op: level for level, ops in enumerate(_LEVELS) for op in ops}
_DEEPEST = 30  # nested parentheses and signs
_LARGEST = 1 << 128
CONSTANTS = {"inf": math.inf, "nan": math.nan}


class ExpressionError(FieldError):
    """An expression without a value; `span` says which part of its text is at fault."""


def _divide(a: Number, b: Number) -> Number:
    if isinstance(a, float) or isinstance(b, float):
        return a / b
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: int, b: int) -> int:
    return a - b * int(_divide(a, b))


def _shift(a: int, b: int, *, left: bool) -> int:
    if not 0 <= b < 128:
        raise ValueError(f"a shift by {b} bits; 0 to 127 are possible")
    return a << b if left else a >> b


_INTEGER: dict[str, Callable[[int, int], int]] = {
    "%": _remainder,
    "<<": lambda a, b: _shift(a, b, left=True),
    ">>": lambda a, b: _shift(a, b, left=False),
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
_ANY: dict[str, Callable[[Number, Number], Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    "<=": lambda a, b: int(a <= b),
    ">": lambda a, b: int(a > b),
    ">=": lambda a, b: int(a >= b),
    "&&": lambda a, b: int(bool(a) and bool(b)),
    "||": lambda a, b: int(bool(a) or bool(b)),
}


class Scope:
    """The names that expressions may use.

    `symbols` are numbers; `lookup` finds what else a name may mean (labels, ``.``); `facts` are the
    chip's functions, which take names and raise `ValueError`. `used` is set when a value depended
    on anything but literals.
    """

    def __init__(
        self,
        symbols: dict[str, Number],
        lookup: Callable[[str], Number | None] = lambda name: None,
        facts: Mapping[str, Callable[..., Number]] | None = None,
    ) -> None:
        self.symbols = symbols
        self.lookup = lookup
        self.facts: Mapping[str, Callable[..., Number]] = facts or {}
        self.used = False

    def evaluate(self, text: str) -> Number:
        """The value of an expression, or `ExpressionError`."""
        if text.isascii() and text.isdigit() and (text[0] != "0" or text == "0"):
            return int(text) if len(text) < 40 else _Parser(text, self).run()
        return _Parser(text, self).run()

    def value(self, name: str) -> Number:
        """The value of a name, or `KeyError`."""
        if name in CONSTANTS:
            return CONSTANTS[name]
        self.used = True
        if name in self.symbols:
            return self.symbols[name]
        found = self.lookup(name)
        if found is None:
            raise KeyError(name)
        return found


def expression_end(text: str, position: int) -> int:
    """Where the expression that begins at `position` ends: before a word it cannot go on with.

    >>> text = "T + max(1, 2) read s0.e"
    >>> text[: expression_end(text, 0)]
    'T + max(1, 2)'
    """
    operand = False  # the last token was one, so that an operator may follow
    depth = 0
    end = position
    while match := _TOKEN.match(text, end):
        token = match[match.lastgroup or 0]
        if match.lastgroup == "end":
            break
        if match.lastgroup != "op":
            if operand:
                break
            operand = True
        elif token == "(":
            if operand and match.start("op") != end:  # a call's bracket follows its name at once
                break
            depth += 1
            operand = False
        elif token == ")":
            if not depth:
                break
            depth -= 1
            operand = True
        elif token == "," and not depth:
            break
        elif operand or token in "-+~!":
            operand = False
        else:
            break
        end = match.end()
    return end


class _Parser:
    """Precedence climbing over the tokens of one text."""

    def __init__(self, text: str, scope: Scope) -> None:
        self.text = text
        self.scope = scope
        self.depth = 0
        self.advance(0)

    def fail(
        self, message: str, start: int, end: int, code: str = "A013", hint: str = ""
    ) -> NoReturn:
        raise ExpressionError(message, code=code, hint=hint, span=(start, max(end, start + 1)))

    def advance(self, position: int) -> None:
        """Read the token at `position` into `kind`, `token`, `start` and `end`."""
        match = _TOKEN.match(self.text, position)
        if match is None or match.lastgroup is None:
            start = position + len(self.text[position:]) - len(self.text[position:].lstrip())
            self.fail(f"'{self.text[start]}' does not belong in an expression", start, start + 1)
        self.kind = match.lastgroup
        self.token = match[match.lastgroup]
        self.start, self.end = match.span(match.lastgroup)

    def run(self) -> Number:
        if not self.text.strip():
            self.fail("a number is missing", 0, 1)
        value = self.binary(0)
        if self.kind != "end":
            self.fail(f"'{self.token}' is left over", self.start, self.end)
        return value

    def binary(self, level: int) -> Number:
        start = self.start
        value = self.unary()
        while self.kind == "op" and _PRECEDENCE.get(self.token, -1) >= level:
            op = self.token
            self.advance(self.end)
            right = self.binary(_PRECEDENCE[op] + 1)
            value = self.apply(op, value, right, start)
        return value

    def apply(self, op: str, left: Number, right: Number, start: int) -> Number:
        end = len(self.text[: self.start].rstrip())
        try:
            if op in _ANY:
                value = _ANY[op](left, right)
            elif isinstance(left, int) and isinstance(right, int):
                value = _INTEGER[op](left, right)
            else:
                self.fail(f"'{op}' takes integers", start, end)
        except ZeroDivisionError:
            self.fail("a division by zero", start, end)
        except (ValueError, OverflowError) as error:
            if isinstance(error, FieldError):
                raise
            self.fail(str(error), start, end)
        if isinstance(value, int) and abs(value) >= _LARGEST:
            self.fail("the number has more than 128 bits", start, end)
        return value

    def unary(self) -> Number:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"an expression nested more than {_DEEPEST} deep", self.start, self.end)
        try:
            if self.kind == "op" and self.token in "-+~!":
                return self.signed()
            return self.primary()
        finally:
            self.depth -= 1

    def signed(self) -> Number:
        op, start = self.token, self.start
        self.advance(self.end)
        value = self.unary()
        if op == "~":
            if not isinstance(value, int):
                self.fail("'~' takes an integer", start, self.start)
            return ~value
        return {"-": -value, "+": value, "!": int(not value)}[op]

    def primary(self) -> Number:
        kind, token, start, end = self.kind, self.token, self.start, self.end
        if kind == "number":
            value = self.number(token, start, end)
            self.advance(end)
            return value
        if kind == "name":
            self.advance(end)
            if self.kind == "op" and self.token == "(":
                return self.call(token, start, end)
            try:
                return self.scope.value(token)
            except KeyError:
                hint = near(token, self.scope.symbols) if len(self.scope.symbols) < 5000 else ""
                self.fail(f"the symbol '{token}' has no value", start, end, "A014", hint)
        if token == "(":
            self.advance(end)
            value = self.binary(0)
            self.close(start)
            return value
        before = f" before '{token}'" if token else ""
        return self.fail("a number is missing" + before, start, end)

    def number(self, token: str, start: int, end: int) -> Number:
        try:
            value: Number = int(token, 0) if len(token) < 150 else _LARGEST
        except ValueError:
            if token.lstrip("0_").isdigit():
                meant = int(token.replace("_", ""))
                self.fail(f"write {meant} in decimal or 0o{token} in octal", start, end)
            try:
                value = float(token)
            except ValueError:
                self.fail(f"'{token}' is not a number", start, end)
        if isinstance(value, int) and value >= _LARGEST:
            self.fail("the number has more than 128 bits", start, end)
        return value

    def close(self, opened: int) -> None:
        if not (self.kind == "op" and self.token == ")"):
            self.fail("this '(' is not closed", opened, opened + 1)
        self.advance(self.end)

    def call(self, name: str, start: int, end: int) -> Number:
        """``name(...)``: the chip's facts take names, min and max take expressions."""
        opened = self.start
        if name in self.scope.facts:
            return self.fact(name, start, opened)
        if name not in ("min", "max"):
            hint = near(name, ["min", "max", *self.scope.facts])
            self.fail(f"there is no function '{name}'", start, end, "A014", hint)
        self.advance(self.end)
        values = [self.binary(0)]
        while self.kind == "op" and self.token == ",":
            self.advance(self.end)
            values.append(self.binary(0))
        self.close(opened)
        return min(values) if name == "min" else max(values)

    def fact(self, name: str, start: int, opened: int) -> Number:
        closed = self.text.find(")", opened)
        if closed < 0:
            self.fail("this '(' is not closed", opened, opened + 1)
        names = [part.strip() for part in self.text[opened + 1 : closed].split(",")]
        self.scope.used = True
        try:
            value = self.scope.facts[name](*names)
        except (ValueError, TypeError) as error:
            hint = error.hint if isinstance(error, FieldError) else ""
            message = str(error) if isinstance(error, ValueError) else f"{name} takes other names"
            self.fail(message, start, closed + 1, "A014", hint)
        self.advance(closed + 1)
        return value
