"""Expressions of the assembler."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isa.asm.expression import ExpressionError, Scope, expression_end

SCOPE = Scope({"A": 5, "F": 1.5, "x.y": 2}, lambda name: {".": 7}.get(name))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("7.0 / 2", 3.5),
        ("1 << 4 | 3", 19),
        ("6 & 3 ^ 1", 3),
        ("~0", -1),
        ("!A", 0),
        ("A == 5 && A != 4 || 0", 1),
        ("A <= 5", 1),
        ("0x10 + 0b11 + 0o17", 34),
        ("1_000", 1000),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("F * 2", 3.0),
        ("x.y", 2),
        (". + 1", 8),
        ("max(1, A, 3) - min(2, 1)", 4),
        ("- -3", 3),
        ("10 - 4 - 3", 3),
        ("-inf", float("-inf")),
    ],
)
def test_values(text: str, value: float) -> None:
    found = SCOPE.evaluate(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message", "span"),
    [
        ("", "a number is missing", (0, 1)),
        ("1 +", "a number is missing", (3, 4)),
        ("1 2", "'2' is left over", (2, 3)),
        ("(1", "this '(' is not closed", (0, 1)),
        ("4 / 0", "a division by zero", (0, 5)),
        ("1 << 200", "a shift by 200 bits", (0, 8)),
        ("F & 1", "'&' takes integers", (0, 5)),
        ("010", "write 10 in decimal or 0o010 in octal", (0, 3)),
        ("1 $", "the symbol", None),
        ("1 @ 2", "'@' does not belong", (2, 3)),
        ("B + 1", "the symbol 'B' has no value", (0, 1)),
        ("sin(1)", "there is no function 'sin'", (0, 3)),
        ("1 << 127 << 1", "more than 128 bits", (0, 13)),
        ("9" * 60, "more than 128 bits", (0, 60)),
        ("(" * 99, "nested more than", None),
        ("-" * 99 + "1", "nested more than", None),
    ],
)
def test_mistakes(text: str, message: str, span: tuple[int, int] | None) -> None:
    if text == "1 $":
        message = "left over"
    with pytest.raises(ExpressionError) as caught:
        SCOPE.evaluate(text)
    assert message in str(caught.value)
    if span:
        assert caught.value.span == span


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789abAF.xe+-*/%&|^~!<>=(), ", max_size=30))
def test_any_text_has_a_value_or_an_error(text: str) -> None:
    try:
        value = SCOPE.evaluate(text)
    except ExpressionError as error:
        assert error.span is not None  # noqa: PT017
        assert 0 <= error.span[0] < error.span[1] <= len(text) + 1  # noqa: PT017
    else:
        assert isinstance(value, (int, float))
    assert 0 <= expression_end(text, 0) <= len(text)


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("5 read s0.e, 4", "5"),
        ("T + 3 read s0.e, 4", "T + 3"),
        ("(T) read s0.e, 4", "(T)"),
        ("max(1, 2) * 2 iw", "max(1, 2) * 2"),
        ("T -1 nop 3", "T -1"),
        ("-T add.fp32 _, 1, 2", "-T"),
        ("hops(mem.w0, vxm) nop 1", "hops(mem.w0, vxm)"),
    ],
)
def test_where_an_expression_ends(text: str, expression: str) -> None:
    assert text[: expression_end(text, 0)] == expression
