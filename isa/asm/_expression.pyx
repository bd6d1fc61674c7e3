"""Expressions, compiled: one pass over the characters, no list of tokens. See `isa.asm.expression`."""

import math
import operator

cimport cython

from isa.fields import FieldError, near

CONSTANTS = {"inf": math.inf, "nan": math.nan}

cdef enum:
    NUMBER = 1
    NAME
    OP
    END

# Two characters of an operator as one number; the second is 0 where there is none.
cdef enum:
    SHL = 0x3c3c    # <<
    SHR = 0x3e3e    # >>
    LE = 0x3c3d     # <=
    GE = 0x3e3d     # >=
    EQ = 0x3d3d     # ==
    NE = 0x213d     # !=
    AND = 0x2626    # &&
    OR = 0x7c7c     # ||
    PLUS = 0x2b00   # +
    MINUS = 0x2d00  # -
    TIMES = 0x2a00  # *
    OVER = 0x2f00   # /
    REST = 0x2500   # %
    LT = 0x3c00     # <
    GT = 0x3e00     # >
    BIT_AND = 0x2600# &
    BIT_XOR = 0x5e00# ^
    BIT_OR = 0x7c00 # |
    BIT_NOT = 0x7e00# ~
    NOT = 0x2100    # !
    OPEN = 0x2800   # (
    CLOSE = 0x2900  # )
    COMMA = 0x2c00  # ,

cdef int DEEPEST = 30  # nested parentheses and signs
cdef object LARGEST = 1 << 128
cdef dict OPERATORS = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}


class ExpressionError(FieldError):
    """An expression without a value; `span` says which part of its text is at fault."""


cdef inline int level_of(int op) noexcept nogil:
    """How strongly an operator binds, -1 for what stands between no two numbers."""
    if op == PLUS or op == MINUS:
        return 8
    if op == TIMES or op == OVER or op == REST:
        return 9
    if op == SHL or op == SHR:
        return 7
    if op == LT or op == LE or op == GT or op == GE:
        return 6
    if op == EQ or op == NE:
        return 5
    if op == BIT_AND:
        return 4
    if op == BIT_XOR:
        return 3
    if op == BIT_OR:
        return 2
    if op == AND:
        return 1
    if op == OR:
        return 0
    return -1


cdef inline bint is_digit(int c) noexcept nogil:
    return c"0" <= c <= c"9"


cdef inline bint begins_name(Py_UCS4 c) noexcept nogil:
    return (c"a" <= c <= c"z" or c"A" <= c <= c"Z" or c == c"_" or c == c"." or c == c"$")


cdef inline bint in_number(int c, int base) noexcept nogil:
    """Whether a character may stand in a number that begins with 0x, 0b or 0o."""
    if c == c"_":
        return True
    if base == c"x":
        return is_digit(c) or c"a" <= (c | 32) <= c"f"
    return c"0" <= c <= (c"1" if base == c"b" else c"7")


cdef object divide(object a, object b):
    if isinstance(a, float) or isinstance(b, float):
        return a / b
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


cdef object shift(object a, object b, bint left):
    if not 0 <= b < 128:
        raise ValueError(f"a shift by {b} bits; 0 to 127 are possible")
    return a << b if left else a >> b


cdef object integers_only(int op, object a, object b):
    """What takes integers: ``% << >> & | ^``."""
    if op == REST:
        return a - b * int(divide(a, b))
    if op == SHL or op == SHR:
        return shift(a, b, op == SHL)
    if op == BIT_AND:
        return a & b
    return a | b if op == BIT_OR else a ^ b


cdef object any_numbers(int op, str token, object a, object b):
    """What takes integers and floats; None for the other operators."""
    if op == PLUS:
        return a + b
    if op == MINUS:
        return a - b
    if op == TIMES:
        return a * b
    if op == OVER:
        return divide(a, b)
    if op == EQ:
        return int(a == b)
    if op == NE:
        return int(a != b)
    if op == AND:
        return int(bool(a) and bool(b))
    if op == OR:
        return int(bool(a) or bool(b))
    if token in OPERATORS:
        return int(OPERATORS[token](a, b))
    return None


@cython.final
cdef class Scope:
    def __init__(self, dict symbols, lookup=None, facts=None):
        self.symbols = symbols
        self.lookup = lookup
        self.facts = facts or {}
        self.used = False

    cpdef object evaluate(self, str text):
        if len(text) < 40 and text.isdigit() and text.isascii() and (text[0] != "0" or text == "0"):
            return int(text)  # whoever asked says it better where that is too large
        return _Parser(text, self).run()

    cdef object find(self, str name):
        """The value of a name, None where it has none."""
        value = CONSTANTS.get(name)
        if value is not None:
            return value
        self.used = True
        value = self.symbols.get(name)
        if value is None and self.lookup is not None:
            value = self.lookup(name)
        return value

    def value(self, str name):
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found


@cython.final
cdef class _Tokens:
    """The token at hand of a text: its kind, and the offsets between which it stands."""

    cdef str text
    cdef Py_ssize_t start, end, length
    cdef int kind, op

    def __cinit__(self, str text, *_):
        self.text = text
        self.length = len(text)

    cdef str token(self):
        return self.text[self.start : self.end]

    cdef bint read(self, Py_ssize_t position):
        """Go on to the token at `position`; False where there is none."""
        cdef Py_ssize_t at = position
        cdef Py_UCS4 c, after
        while at < self.length and self.text[at].isspace():
            at += 1
        self.start = self.end = at
        if at == self.length:
            self.kind = END
            return True
        c = self.text[at]
        after = self.text[at + 1] if at + 1 < self.length else 0
        if is_digit(c) or (c == c"." and is_digit(after)):
            self.kind = NUMBER
            self.end = self.number_end(at, c, after)
        elif begins_name(c):
            self.kind = NAME
            at += 1
            while at < self.length and (begins_name(self.text[at]) or is_digit(self.text[at])):
                at += 1
            self.end = at
        else:
            return self.read_operator(c, after)
        return True

    cdef bint read_operator(self, Py_UCS4 c, Py_UCS4 after):
        cdef int pair
        if c > 127:
            return False
        pair = <int>c << 8 | (<int>after if after < 128 else 0)
        if pair in (SHL, SHR, LE, GE, EQ, NE, AND, OR):
            self.op = pair
            self.end = self.start + 2
        elif <char>c in b"-+*/%&|^~!<>(),":
            self.op = <int>c << 8
            self.end = self.start + 1
        else:
            return False
        self.kind = OP
        return True

    cdef Py_ssize_t number_end(self, Py_ssize_t at, Py_UCS4 c, Py_UCS4 after):
        cdef Py_ssize_t mark
        cdef int base = <int>after | 32
        if c == c"0" and base in (c"x", c"b", c"o"):
            mark = at + 2
            while mark < self.length and in_number(self.text[mark], base):
                mark += 1
            if mark > at + 2:
                return mark
        while at < self.length and (is_digit(self.text[at]) or self.text[at] == c"_"):
            at += 1
        if at < self.length and self.text[at] == c".":
            at += 1
        while at < self.length and is_digit(self.text[at]):
            at += 1
        if at < self.length and self.text[at] in (c"e", c"E"):
            mark = at + 1
            if mark < self.length and self.text[mark] in (c"+", c"-"):
                mark += 1
            if mark < self.length and is_digit(self.text[mark]):
                at = mark
                while at < self.length and is_digit(self.text[at]):
                    at += 1
        return at


def expression_end(str text, Py_ssize_t position):
    cdef _Tokens tokens = _Tokens(text)
    cdef bint operand = False  # the last token was one, so that an operator may follow
    cdef int depth = 0
    cdef Py_ssize_t end = position
    while tokens.read(end) and tokens.kind != END:
        if tokens.kind != OP:
            if operand:
                break
            operand = True
        elif tokens.op == OPEN:
            if operand and tokens.start != end:  # a call's bracket follows its name at once
                break
            depth += 1
            operand = False
        elif tokens.op == CLOSE:
            if not depth:
                break
            depth -= 1
            operand = True
        elif tokens.op == COMMA and not depth:
            break
        elif operand or tokens.op in (MINUS, PLUS, BIT_NOT, NOT):
            operand = False
        else:
            break
        end = tokens.end
    return end


@cython.final
cdef class _Parser:
    """Precedence climbing over the tokens of one text."""

    cdef str text
    cdef Scope scope
    cdef _Tokens now
    cdef int depth

    def __cinit__(self, str text, Scope scope):
        self.text = text
        self.scope = scope
        self.now = _Tokens(text)

    cdef object fail(self, str message, Py_ssize_t start, Py_ssize_t end, str code="A013",
                     str hint=""):
        raise ExpressionError(message, code=code, hint=hint, span=(start, max(end, start + 1)))

    cdef int advance(self, Py_ssize_t position) except -1:
        if not self.now.read(position):
            start = self.now.start
            self.fail(f"'{self.text[start]}' does not belong in an expression", start, start + 1)
        return 0

    cdef bint at_op(self, int op):
        return self.now.kind == OP and self.now.op == op

    cdef object run(self):
        self.advance(0)
        if self.now.kind == END:
            self.fail("a number is missing", 0, 1)
        value = self.binary(0)
        if self.now.kind != END:
            self.fail(f"'{self.now.token()}' is left over", self.now.start, self.now.end)
        return value

    cdef object binary(self, int level):
        cdef Py_ssize_t start = self.now.start
        cdef int op, strength
        value = self.unary()
        while self.now.kind == OP:
            op = self.now.op
            strength = level_of(op)
            if strength < level or strength < 0:
                break
            token = self.now.token()
            self.advance(self.now.end)
            value = self.apply(op, token, value, self.binary(strength + 1), start)
        return value

    cdef object apply(self, int op, str token, object left, object right, Py_ssize_t start):
        try:
            value = any_numbers(op, token, left, right)
            if value is None and isinstance(left, int) and isinstance(right, int):
                value = integers_only(op, left, right)
        except ZeroDivisionError:
            self.fail("a division by zero", start, self.before())
        except (ValueError, OverflowError) as error:
            self.fail(str(error), start, self.before())
        if value is None:
            self.fail(f"'{token}' takes integers", start, self.before())
        if isinstance(value, int) and abs(value) >= LARGEST:
            self.fail("the number has more than 128 bits", start, self.before())
        return value

    cdef Py_ssize_t before(self):
        """Where what stands before the token at hand ends."""
        return len(self.text[: self.now.start].rstrip())

    cdef object unary(self):
        self.depth += 1
        if self.depth > DEEPEST:
            message = f"an expression nested more than {DEEPEST} deep"
            self.fail(message, self.now.start, self.now.end)
        if self.at_op(MINUS) or self.at_op(PLUS) or self.at_op(BIT_NOT) or self.at_op(NOT):
            value = self.signed()
        else:
            value = self.primary()
        self.depth -= 1
        return value

    cdef object signed(self):
        cdef int op = self.now.op
        cdef Py_ssize_t start = self.now.start
        self.advance(self.now.end)
        value = self.unary()
        if op == BIT_NOT:
            if not isinstance(value, int):
                self.fail("'~' takes an integer", start, self.now.start)
            return ~value
        if op == MINUS:
            return -value
        return value if op == PLUS else int(not value)

    cdef object primary(self):
        cdef int kind = self.now.kind
        cdef Py_ssize_t start = self.now.start, end = self.now.end
        if kind == NUMBER:
            value = self.number(start, end)
            self.advance(end)
            return value
        token = self.now.token()
        if kind == NAME:
            self.advance(end)
            if self.at_op(OPEN):
                return self.call(token, start, end)
            value = self.scope.find(token)
            if value is None:
                symbols = self.scope.symbols
                hint = near(token, symbols) if len(symbols) < 5000 else ""
                self.fail(f"the symbol '{token}' has no value", start, end, "A014", hint)
            return value
        if self.at_op(OPEN):
            self.advance(end)
            value = self.binary(0)
            self.close(start)
            return value
        before = f" before '{token}'" if token else ""
        return self.fail("a number is missing" + before, start, end)

    cdef object number(self, Py_ssize_t start, Py_ssize_t end):
        cdef long long plain = 0
        cdef Py_ssize_t i
        if end - start <= 18 and (self.text[start] != c"0" or end == start + 1):
            for i in range(start, end):
                if not is_digit(self.text[i]):
                    break
                plain = 10 * plain + <int>self.text[i] - 48
            else:
                return plain
        return self.other_number(self.text[start:end], start, end)

    cdef object other_number(self, str token, Py_ssize_t start, Py_ssize_t end):
        try:
            value = int(token, 0) if len(token) < 150 else LARGEST
        except ValueError:
            if token.lstrip("0_").isdigit():
                meant = int(token.replace("_", ""))
                self.fail(f"write {meant} in decimal or 0o{token} in octal", start, end)
            try:
                value = float(token)
            except ValueError:
                self.fail(f"'{token}' is not a number", start, end)
        if isinstance(value, int) and value >= LARGEST:
            self.fail("the number has more than 128 bits", start, end)
        return value

    cdef int close(self, Py_ssize_t opened) except -1:
        if not self.at_op(CLOSE):
            self.fail("this '(' is not closed", opened, opened + 1)
        return self.advance(self.now.end)

    cdef object call(self, str name, Py_ssize_t start, Py_ssize_t end):
        """``name(...)``: the chip's facts take names, min and max take expressions."""
        cdef Py_ssize_t opened = self.now.start
        if name in self.scope.facts:
            return self.fact(name, start, opened)
        if name not in ("min", "max"):
            hint = near(name, ["min", "max", *self.scope.facts])
            self.fail(f"there is no function '{name}'", start, end, "A014", hint)
        self.advance(self.now.end)
        values = [self.binary(0)]
        while self.at_op(COMMA):
            self.advance(self.now.end)
            values.append(self.binary(0))
        self.close(opened)
        return min(values) if name == "min" else max(values)

    cdef object fact(self, str name, Py_ssize_t start, Py_ssize_t opened):
        cdef Py_ssize_t closed = self.text.find(")", opened)
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
