"""Plain lines, compiled: what most of a large text consists of.

A plain line is blank, or has at most one label, at most one ``@CYCLE`` in digits, and an instruction
of a form that was met before (`isa.forms`); no quotes. Its word is put together from its operands:
an integer goes where its field says; any other text is looked up, and the first time its field
reads it; an expression is evaluated; a name without a value may wait for the end. Plain are also
assignments and lines of integers for a tensor. All that is known of instructions comes from the
table's rows, and whatever is not plain, or not right, is left to the assembler, which reads it from
the start and says what is wrong.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from libc.math cimport isinf, isnan
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from isa.asm._expression cimport Scope
from isa.asm._sections cimport Bits, Deferred, Label, Operand, Pattern, Section, insert

from isa.asm.source import Fault, Piece
from isa.asm.target import AGAIN as _AGAIN
from isa.asm.tensors import INTEGER_BYTES
from isa.fields import FieldError
from isa.forms import instruction_of

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    void *PyUnicode_DATA(object text)
    str PyUnicode_Substring(object text, Py_ssize_t start, Py_ssize_t end)

cdef int AGAIN = _AGAIN
cdef dict SIZES = {f".{directive}": size for directive, size in INTEGER_BYTES.items()}
cdef tuple EQUATES = (".equ", ".set")
cdef int64_t LONG_GAP = 1 << 16


cdef inline bint is_blank(unsigned char c) noexcept nogil:
    """What `str.isspace` says of an ASCII character."""
    return c == 32 or 9 <= c <= 13 or 28 <= c <= 31


cdef inline bint is_digit(unsigned char c) noexcept nogil:
    return 48 <= c <= 57


cdef inline bint begins_name(unsigned char c) noexcept nogil:
    return 97 <= (c | 32) <= 122 or c == c"_" or c == c"." or c == c"$"


cdef inline bint in_name(unsigned char c) noexcept nogil:
    return begins_name(c) or is_digit(c)


cdef bint number(const unsigned char *s, Py_ssize_t start, Py_ssize_t stop,
                 int64_t *value) noexcept nogil:
    """Read a decimal or hexadecimal integer without a sign; False where that is not all."""
    cdef int64_t found = 0
    cdef Py_ssize_t at
    cdef unsigned char c
    if start >= stop or stop - start > 18 or not is_digit(s[start]):
        return False
    if s[start] == c"0" and stop - start > 1:
        if s[start + 1] | 32 != c"x" or stop - start < 3 or stop - start > 17:
            return False
        for at in range(start + 2, stop):
            c = s[at]
            if is_digit(c):
                found = 16 * found + (c - 48)
            elif 97 <= (c | 32) <= 102:
                found = 16 * found + ((c | 32) - 87)
            else:
                return False
    else:
        for at in range(start, stop):
            if not is_digit(s[at]):
                return False
            found = 10 * found + (s[at] - 48)
    value[0] = found
    return True


# ---- lines ---------------------------------------------------------------------------------------


@cython.final
cdef class Reader:
    """Reads the plain lines of a text; see `isa.asm.reader` for what they are."""

    cdef object asm, frame, file, number
    cdef Scope scope
    cdef dict labels
    cdef list wants, deferred
    cdef dict idle
    cdef bint timed, forward
    # The instruction at hand.
    cdef str raw
    cdef const unsigned char *text
    cdef uint64_t low, high
    cdef int64_t hold, span
    cdef unsigned int given
    cdef bint immediate, depends
    cdef list expected
    cdef Operand waiting
    cdef str missing
    cdef Bits found

    def __cinit__(self, object asm):
        self.asm = asm
        self.scope = asm.scope
        self.labels, self.wants, self.deferred = asm.labels, asm.wants, asm.deferred
        self.idle = asm.idle
        self.set_target(asm.target)

    def set_target(self, target):
        self.timed, self.forward = target.timed, target.forward

    def read(self, cursor, frame):
        """Read on until a line is not plain, and return that; None at the end."""
        cdef Section section = self.asm.section
        self.frame, self.file = frame, frame.file
        for number, raw in cursor:
            self.number = number
            if not self.line(section, raw):
                self.asm.number = number
                return raw
        return None

    cdef bint line(self, Section section, str raw) except -1:
        """Read a line if it is plain; else nothing has happened."""
        cdef Py_ssize_t at = 0, start, end = len(raw), mark
        cdef const unsigned char *s
        cdef bint marked = False
        cdef int64_t cycle = -1
        cdef str name = None
        if not PyUnicode_IS_ASCII(raw):
            return False
        self.raw = raw
        self.text = s = <const unsigned char *>PyUnicode_DATA(raw)
        for mark in range(end):
            if s[mark] == c"#" or (s[mark] == c"/" and mark + 1 < end and s[mark + 1] == c"/"):
                end = mark
                break
            if s[mark] == c'"':
                return False
        while at < end and is_blank(s[at]):
            at += 1
        while end > at and is_blank(s[end - 1]):
            end -= 1
        if at == end:
            return True
        mark = at
        if begins_name(s[at]):
            while mark < end and in_name(s[mark]):
                mark += 1
            start = mark
            while mark < end and is_blank(s[mark]):
                mark += 1
            if mark < end and s[mark] == c":":
                name = PyUnicode_Substring(raw, at, start)
                if not self.may_label(section, name):
                    return False
                at = mark + 1
                while at < end and is_blank(s[at]):
                    at += 1
                if at == end:
                    self.label(section, name)
                    return True
            elif s[at] == c".":
                return self.directive(at, start, end)
            elif mark < end and s[mark] == c"=":
                return s[mark + 1] != c"=" and self.assign(at, start, mark + 1, end)
        if s[at] == c"@":
            if not self.timed:
                return False
            mark = at + 1
            cycle = 0
            while mark < end and is_digit(s[mark]) and mark < at + 16:
                cycle = 10 * cycle + (s[mark] - 48)
                mark += 1
            if mark == at + 1 or mark == end or not is_blank(s[mark]):
                return False
            at = mark
            while is_blank(s[at]):
                at += 1
        return self.instruction(section, at, end, cycle, name)

    cdef bint assign(self, Py_ssize_t at, Py_ssize_t stop, Py_ssize_t start,
                     Py_ssize_t end) except -1:
        """Give the name between two offsets the value of the expression between two others."""
        while start < end and is_blank(self.text[start]):
            start += 1
        try:
            value = self.scope.evaluate(PyUnicode_Substring(self.raw, start, end))
            self.asm.define(Piece(PyUnicode_Substring(self.raw, at, stop), at), value)
        except (FieldError, Fault):
            return False
        return True

    cdef bint directive(self, Py_ssize_t at, Py_ssize_t stop, Py_ssize_t end) except -1:
        """``.equ`` and ``.set``, and the integers of a tensor."""
        cdef const unsigned char *s = self.text
        cdef Py_ssize_t start = stop
        name = PyUnicode_Substring(self.raw, at, stop)
        if stop < end and not is_blank(s[stop]):
            return False
        while start < end and is_blank(s[start]):
            start += 1
        size = SIZES.get(name)
        if size is not None:
            draft = self.asm.data_target
            if draft is None or draft.data is None or draft.broken:
                return False
            return self.integers(draft.data, size, start, end)
        if name not in EQUATES or start == end or not begins_name(s[start]):
            return False
        stop = start
        while stop < end and in_name(s[stop]):
            stop += 1
        at = stop
        while at < end and is_blank(s[at]):
            at += 1
        return at < end and s[at] == c"," and self.assign(start, stop, at + 1, end)

    cdef bint integers(self, bytearray out, int size, Py_ssize_t at, Py_ssize_t end) except -1:
        """Add comma-separated integers of `size` bytes; decimal or hexadecimal, none negative."""
        cdef Py_ssize_t before = PyByteArray_GET_SIZE(out), start, stop, used = 0
        cdef int64_t value = 0
        cdef char *to
        PyByteArray_Resize(out, before + size * ((end - at) // 2 + 1))
        to = PyByteArray_AS_STRING(out) + before
        while True:
            while at < end and is_blank(self.text[at]):
                at += 1
            start = at
            while at < end and self.text[at] != c",":
                at += 1
            stop = at
            while stop > start and is_blank(self.text[stop - 1]):
                stop -= 1
            if not number(self.text, start, stop, &value) or value >> (8 * size):
                PyByteArray_Resize(out, before)
                return False
            memcpy(to + used, &value, size)
            used += size
            if at == end:
                break
            at += 1
        PyByteArray_Resize(out, before + used)
        return True

    cdef int skip(self, Section section, int64_t gap) except -1:
        """Do nothing for so many cycles."""
        words = self.idle.get(gap)
        if words is None:
            self.asm.number = self.number
            self.asm.skip(section, gap)
        else:
            section.skip(words, gap, (self.file, self.number))
        return 0

    cdef bint may_label(self, Section section, str name) except -1:
        if not section.name or name == ".":
            return False
        return name not in self.labels and name not in self.scope.symbols

    cdef int label(self, Section section, str name) except -1:
        """A label, which waits for the section's next word."""
        cdef bint kept = not name.startswith(".L")
        self.labels[name] = Label(section, -1, 0, kept, self.file, self.number)
        section.pending.append(name)
        return 0

    cdef bint instruction(self, Section section, Py_ssize_t at, Py_ssize_t end, int64_t cycle,
                          str name) except -1:
        """Read an instruction and put it where it belongs, if all is plain."""
        cdef int64_t gap = 0
        if not self.compose(section, at, end):
            return False
        if self.hold == AGAIN and (cycle >= 0 or not section.repeatable):
            return False
        if cycle >= 0:
            gap = cycle - section.time
            if not 0 <= gap < LONG_GAP:
                return False
            if gap:
                self.skip(section, gap)
        if name is not None:
            self.label(section, name)
        if self.expected is not None:
            for operand, count, text, place in self.expected:
                self.wants.append((section, len(section.origins), operand, count, text, place,
                                   self.frame, self.number, self.raw))
        if self.waiting is not None:
            text = PyUnicode_Substring(self.raw, at, end)
            self.deferred.append(
                Deferred(section, len(section.origins), text, at, self.frame, self.number,
                         self.raw, self.waiting, self.missing)
            )
        section.put(self.low, self.high, self.hold, self.span, (self.file, self.number))
        return True

    def compose_text(self, Section section, str raw, Py_ssize_t at, Py_ssize_t end):
        """The (word, hold, span, expectations) of the instruction in a part of a line, or None.

        Expectations are (operand's name, streams, text, offset); what would have to wait for a
        name is None too.
        """
        if not PyUnicode_IS_ASCII(raw) or '"' in raw:
            return None
        self.raw, self.text = raw, <const unsigned char *>PyUnicode_DATA(raw)
        if not self.compose(section, at, end) or self.waiting is not None:
            return None
        word = self.low | <object>self.high << 64
        return word.to_bytes(16, "little"), self.hold, self.span, self.expected or []

    cdef bint compose(self, Section section, Py_ssize_t at, Py_ssize_t end) except -1:
        """The word of the instruction between two offsets, if everything in it is known."""
        cdef Py_ssize_t mark = at, comma, sign, count = 0
        cdef int depth
        cdef unsigned char c
        cdef const unsigned char *s = self.text
        cdef PyObject *found
        cdef Pattern pattern
        while mark < end and not is_blank(s[mark]):
            mark += 1
        found = PyDict_GetItem(section.patterns, PyUnicode_Substring(self.raw, at, mark))
        if found is NULL:
            return False
        pattern = <Pattern>found
        self.low, self.high = pattern.low, pattern.high
        self.given, self.immediate, self.depends = 0, False, False
        self.expected, self.waiting = None, None
        while mark < end and is_blank(s[mark]):
            mark += 1
        while mark < end:
            comma, sign, depth = mark, -1, 0
            while comma < end:
                c = s[comma]
                if c == c",":
                    if depth <= 0:
                        break
                elif c == c"(" or c == c"[" or c == c"{":
                    depth += 1
                elif c == c")" or c == c"]" or c == c"}":
                    depth -= 1
                elif c == c"@" and sign < 0:
                    sign = comma
                comma += 1
            if not self.operand(pattern, &count, mark, comma, sign):
                return False
            mark = comma + 1
            if mark == end:
                return False  # nothing behind a comma
            while mark < end and is_blank(s[mark]):
                mark += 1
        if count < pattern.least or pattern.required & ~self.given:
            return False
        if self.waiting is not None and self.depends:
            return False
        self.hold, self.span = pattern.hold, pattern.span
        if pattern.varying:
            self.hold, self.span = self.time_of(pattern)
        return True

    cdef tuple time_of(self, Pattern pattern):
        key = (self.low, self.high)
        found = pattern.times.get(key)
        if found is None:
            word = self.low | <object>self.high << 64
            found = self.asm.target.timing(instruction_of(pattern.form.row, word))
            pattern.times[key] = found
        return found

    cdef bint operand(self, Pattern pattern, Py_ssize_t *count, Py_ssize_t start,
                      Py_ssize_t end, Py_ssize_t sign) except -1:
        """Add the operand between two offsets to the word; `sign` is where its @ stands."""
        cdef const unsigned char *s = self.text
        cdef Py_ssize_t stop = end if sign < 0 else sign, mark
        cdef Operand operand = None
        cdef Bits bits = None
        cdef PyObject *found
        cdef bint keyed = False
        cdef str text
        while stop > start and is_blank(s[stop - 1]):
            stop -= 1
        if start == stop:
            return False
        for mark in range(start, stop):
            if s[mark] == c"=":
                text = PyUnicode_Substring(self.raw, start, mark).rstrip()
                found = PyDict_GetItem(pattern.named, text)
                if found is NULL:
                    return False
                operand = <Operand>found
                if operand.flag:
                    return False
                keyed = True
                start = mark + 1
                while start < stop and is_blank(s[start]):
                    start += 1
                break
        if not keyed and count[0] < len(pattern.positionals):
            operand = <Operand>pattern.positionals[count[0]]
        if operand is not None and operand.integers and self.integer(operand, start, stop):
            pass
        else:
            text = PyUnicode_Substring(self.raw, start, stop)
            if operand is not None:
                found = PyDict_GetItem(operand.known, text)
                if found is not NULL:
                    bits = <Bits>found
            if bits is None and not keyed:
                found = PyDict_GetItem(pattern.named, text)
                if found is not NULL and (<Operand>found).flag:
                    operand = <Operand>found
                    keyed = True
            if operand is None:
                return False
            if bits is None:
                if not self.number_or_text(operand, text, start, stop):
                    return False
                bits = self.found
            if bits is not None:
                self.add(operand, bits.low, bits.high)
                if bits.immediate:
                    if self.immediate:
                        return False
                    self.immediate = True
        if self.given & (1u << operand.bit):
            return False
        self.given |= 1u << operand.bit
        if not keyed:
            count[0] += 1
        if sign < 0:
            return True
        if bits is None or not bits.streams:
            return False
        sign += 1
        while sign < end and is_blank(s[sign]):
            sign += 1
        while end > sign and is_blank(s[end - 1]):
            end -= 1
        if self.expected is None:
            self.expected = []
        self.expected.append((operand.name, bits.streams,
                              PyUnicode_Substring(self.raw, sign, end), sign))
        return True

    cdef inline void add(self, Operand operand, uint64_t low, uint64_t high) noexcept:
        self.low = self.low & ~operand.mask_low | low
        self.high = self.high & ~operand.mask_high | high

    cdef bint integer(self, Operand operand, Py_ssize_t start, Py_ssize_t stop) except -1:
        """Add a decimal or hexadecimal integer; False where the text is none, or out of range."""
        cdef bint negative = self.text[start] == c"-"
        cdef int64_t value = 0
        if not number(self.text, start + negative, stop, &value):
            return False
        return self.add_integer(operand, -value if negative else value)

    cdef bint add_integer(self, Operand operand, int64_t value) except -1:
        cdef uint64_t low = 0, high = 0
        if not operand.least <= value <= operand.most:
            return False
        if operand.immediate:
            if self.immediate:
                return False
            self.immediate = True
        insert(operand, value, &low, &high)
        self.add(operand, low, high)
        return True

    cdef bint add_float(self, Operand operand, double value) except -1:
        cdef float rounded = <float>value
        cdef uint32_t raw
        cdef int lo = operand.lo
        if isnan(value) or (isinf(rounded) and not isinf(value)):
            return False
        if operand.immediate:
            if self.immediate:
                return False
            self.immediate = True
        memcpy(&raw, &rounded, 4)
        if lo >= 64:
            self.add(operand, operand.float_low, operand.float_high | <uint64_t>raw << (lo - 64))
        else:
            self.add(operand, operand.float_low | <uint64_t>raw << lo,
                     operand.float_high | (<uint64_t>raw >> (64 - lo) if lo else 0))
        return True

    cdef bint number_or_text(self, Operand operand, str text, Py_ssize_t start,
                             Py_ssize_t stop) except -1:
        """Add an expression's value, or put what another text gives into `found`."""
        cdef bint simple = True, brackets = False
        cdef Py_ssize_t at
        cdef unsigned char c
        self.found = None
        for at in range(start, stop):
            c = self.text[at]
            simple = simple and in_name(c)
            brackets = brackets or c == c"[" or c == c"!"
        if (operand.integers or operand.floats) and not brackets:
            if operand.expression or not simple or is_digit(self.text[start]):
                return self.expression(operand, text, simple)
            if text in operand.names:
                return self.expression(operand, text, simple)
        return self.read_text(operand, text, simple)

    cdef bint read_text(self, Operand operand, str text, bint simple) except -1:
        """What the field reads in a text; kept if it would read the same elsewhere."""
        self.scope.used = False
        try:
            # The method as Python knows it: as a C function it would take one argument more.
            evaluate = (<object> self.scope).evaluate
            bits, streams, immediate = operand.place.read(text, evaluate)
        except FieldError:
            return False
        self.found = Bits(bits, streams, immediate)
        if not self.scope.used:
            operand.known[text] = self.found
            return True
        self.depends = True
        if simple and (operand.integers or operand.floats):
            operand.names.add(text)
        return True

    cdef bint expression(self, Operand operand, str text, bint simple) except -1:
        """Add the value of an expression; with `forward` a name alone may still be without one."""
        self.scope.used = False
        if simple and self.forward and operand.expression and not is_digit(text[0]):
            value = self.scope.find(text)
            if value is None:
                if self.waiting is not None:
                    return False
                self.waiting, self.missing = operand, text
                self.add(operand, 0, 0)
                return True
        else:
            try:
                value = self.scope.evaluate(text)
            except FieldError:
                return False
        self.depends = self.depends or self.scope.used
        if isinstance(value, int) and operand.integers:
            try:
                return self.add_integer(operand, value)
            except OverflowError:
                return False
        return operand.floats and self.add_float(operand, value)
