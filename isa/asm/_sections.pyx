"""Sections in the making, and what the reader of plain lines knows of instructions; compiled."""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from isa.asm._expression cimport Scope

from isa.asm.target import AGAIN as _AGAIN, RESTART as _RESTART

cdef int AGAIN = _AGAIN, RESTART = _RESTART
cdef uint64_t ALL = 0xFFFFFFFFFFFFFFFF


# ---- what is kept of instructions ----------------------------------------------------------------


@cython.final
cdef class Bits:
    """What an operand's text gives: bits of the word, and how many streams it reads."""

    def __cinit__(self, object bits, int streams, bint immediate):
        self.low = bits & ALL
        self.high = bits >> 64
        self.streams = streams
        self.immediate = immediate


@cython.final
cdef class Operand:
    """An `isa.forms.Place`, and the texts that were met there.

    `known` holds those that mean the same wherever they stand; `names` those that are expressions
    although they look like a name.
    """

    def __cinit__(self, object place, int bit):
        mask = place.field.mask
        self.place, self.name, self.bit = place, place.name, bit
        self.known, self.names = {}, set()
        self.mask_low, self.mask_high = mask & ALL, mask >> 64
        self.flag, self.immediate = place.flag, place.immediate
        self.expression, self.lo = place.expression, place.lo
        self.integers = place.integers is not None and place.integers.width <= 64
        if self.integers:
            self.least = max(place.integers.least, -(1 << 63))
            self.most = min(place.integers.most, (1 << 63) - 1)
            self.payload = ALL >> (64 - place.integers.width)
            self.tag_low = place.integers.tag & ALL
            self.tag_high = place.integers.tag >> 64
        self.floats = place.floats is not None
        if self.floats:
            self.float_low = place.floats[0] & ALL
            self.float_high = place.floats[0] >> 64


@cython.final
cdef class Pattern:
    """An `isa.forms.Form` as it is read: which operands there are, and what the word costs in time.

    `low` and `high` are the word as it is when every operand is left out. Where the time depends
    on operands, `times` holds the (hold, span) of each word.
    """

    def __cinit__(self, object form, int64_t hold, int64_t span, bint varying):
        operands = [Operand(place, i) for i, place in enumerate(form.places)]
        word = form.code
        for place in form.places:
            word |= place.default
        self.form = form
        self.low, self.high = word & ALL, word >> 64
        self.positionals = [o for o in operands if (<Operand>o).name not in form.named]
        self.named = {(<Operand>o).name: o for o in operands if (<Operand>o).name in form.named}
        self.least = form.least
        self.required = 0
        for name in form.named:
            if not form.named[name].field.optional:
                self.required |= 1u << (<Operand>self.named[name]).bit
        self.hold, self.span, self.varying, self.times = hold, span, varying, {}


# ---- sections ------------------------------------------------------------------------------------


@cython.final
cdef class Label:
    def __cinit__(self, Section section, Py_ssize_t word, int64_t time, bint kept, file, line):
        self.section, self.word, self.time = section, word, time
        self.kept, self.file, self.line = kept, file, line


@cython.final
cdef class Section:
    def __cinit__(self, str name, str kind, dict patterns, dict labels):
        self.name, self.kind = name, kind
        self.patterns, self.labels = patterns, labels
        self.words = bytearray()
        self.origins = []
        self.pending = []

    def append(self, bytes word, int64_t hold, int64_t span, origin):
        """One more word; whatever labels waited for it now have their place."""
        cdef const uint64_t *halves = <const uint64_t *><const char *>word
        self.put(halves[0], halves[1], hold, span, origin)

    cdef int put(self, uint64_t low, uint64_t high, int64_t hold, int64_t span, origin) except -1:
        cdef Py_ssize_t size = PyByteArray_GET_SIZE(self.words)
        cdef char *end
        if self.pending:
            self.bind_labels(hold == AGAIN)
        PyByteArray_Resize(self.words, size + 16)
        end = PyByteArray_AS_STRING(self.words) + size
        memcpy(end, &low, 8)
        memcpy(end + 8, &high, 8)
        self.origins.append(origin)
        if hold >= 0:
            self.last = self.time
            self.hold = hold
            self.time += hold
            self.repeatable = True
        elif hold == AGAIN:
            self.last += span
            self.time = self.last + self.hold
            self.repeatable = False
        elif hold == RESTART:
            self.time = 0
            self.repeatable = False
        return 0

    def skip(self, bytes words, int64_t cycles, origin):
        """Words that do nothing for so many cycles; labels that wait go on waiting."""
        self.words += words
        self.origins += [origin] * (len(words) // 16)
        self.time += cycles
        self.repeatable = False

    def bind_labels(self, bint repeat=False):
        """Give the waiting labels the next word; on a repeat they are worth the latest issue."""
        cdef Label label
        for name in self.pending:
            label = self.labels[name]
            label.word = len(self.origins)
            label.time = self.last if repeat else self.time
        self.pending.clear()

    def learn(self, str mnemonic, form, int64_t hold, int64_t span, bint varying):
        """Instructions that begin with this mnemonic are plain from now on."""
        if len(form.places) <= 32 and mnemonic not in self.patterns:
            self.patterns[mnemonic] = Pattern(form, hold, span, varying)


@cython.final
cdef class Deferred:
    def __cinit__(self, Section section, Py_ssize_t word, str text, Py_ssize_t at, frame, line,
                  str raw, operand=None, str name=None):
        self.section, self.word, self.text, self.at = section, word, text, at
        self.frame, self.line, self.raw = frame, line, raw
        self.operand, self.name = operand, name

    def fill(self, Scope scope):
        """Put the value of the name into the word; False where that is not all there is to it."""
        cdef Operand operand = self.operand
        cdef uint64_t low = 0, high = 0
        cdef char *at
        cdef uint64_t[2] word
        if operand is None:
            return False
        value = scope.find(self.name)
        if not isinstance(value, int) or not operand.least <= value <= operand.most:
            return False
        insert(operand, value, &low, &high)
        at = PyByteArray_AS_STRING(self.section.words) + 16 * self.word
        memcpy(word, at, 16)
        word[0] = word[0] & ~operand.mask_low | low
        word[1] = word[1] & ~operand.mask_high | high
        memcpy(at, word, 16)
        return True
