"""Words to text, compiled: an operand's text is looked up by its bits; see `isa.forms`."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from isa.fields import FieldError, IntField
from isa.forms import form

cdef uint64_t ALL = 0xFFFFFFFFFFFFFFFF


cdef inline uint64_t cut(uint64_t low, uint64_t high, int lo, uint64_t mask) noexcept nogil:
    """Bits of a word from `lo` on, at most 64 of them."""
    if lo >= 64:
        return high >> (lo - 64) & mask
    if lo == 0:
        return low & mask
    return (low >> lo | high << (64 - lo)) & mask


@cython.final
cdef class _Place:
    """A place, with the text and whether that may be left out (`texts`) of the bits met there.

    Integers are printed as they are; `immediate` is where the bits with `tag` say that the word's
    immediate is meant.
    """

    cdef object place
    cdef str name, key
    cdef dict texts
    cdef int lo, width
    cdef uint64_t mask, tag
    cdef bint positional, optional, integer, signed, immediate
    cdef int64_t least, most, default

    def __cinit__(self, object place):
        f = place.field
        self.place, self.name = place, place.name
        self.key = f"{f.name}=" if f.role == "key" else ""
        self.texts = {}
        self.lo, self.width = f.lo, f.width
        self.mask = ALL >> (64 - min(f.width, 64))
        self.positional, self.optional = f.role == "positional", f.optional
        self.integer = isinstance(f, IntField) and f.width < 64
        if self.integer:
            self.signed = f.signed
            self.least, self.most = f.bounds
            self.default = f.default or 0
        self.immediate = place.immediate and place.form.immediate is not None
        self.tag = place.immediate_tag if self.immediate else 0

    cdef tuple integer_text(self, uint64_t raw):
        cdef int64_t number = <int64_t>raw
        if self.signed and raw >> (self.width - 1):
            number -= <int64_t>1 << self.width
        if not self.least <= number <= self.most:
            return None
        text = str(number)
        return self.key + text if self.key else text, self.optional and number == self.default

    cdef tuple text(self, object raw, uint64_t immediate):
        key = (raw, immediate) if immediate else raw
        found = self.texts.get(key)
        if found is None:
            try:
                found = self.place.show(raw, immediate)
            except FieldError:
                return None
            self.texts[key] = found
        return found


@cython.final
cdef class _Form:
    cdef str head
    cdef object row
    cdef list places
    cdef uint64_t reserved_low, reserved_high
    cdef int immediate  # its lowest bit, or 0

    def __cinit__(self, object form, str head):
        row = form.row
        self.head, self.row = head, row
        self.places = [_Place(place) for place in form.places]
        self.reserved_low = ~row.used_bits & ALL
        self.reserved_high = ~row.used_bits >> 64 & ALL
        self.immediate = 0 if form.immediate is None else form.immediate.lo


@cython.final
cdef class Printer:
    cdef object isa
    cdef dict forms, suffixes  # forms by their bits; per opcode the row and the mask of its suffixes

    def __cinit__(self, isa):
        self.isa = isa
        self.forms = {}
        self.suffixes = {row.code: (row, sum([f.mask for f in row.suffixes])) for row in isa.rows}

    cdef object form_of(self, uint64_t low, uint64_t high):
        """The form of a word, None where its opcode or suffixes are none."""
        row, suffixes = self.suffixes.get(low & 255, (None, 0))
        if row is None:
            return None
        key = (low & (suffixes & ALL | 255), high & suffixes >> 64)
        found = self.forms.get(key)
        if found is None:
            word = low | <object>high << 64
            try:
                head = ".".join([row.name, *[f.print(f.extract(word)) for f in row.suffixes]])
            except FieldError:
                return None
            found = self.forms[key] = _Form(form(self.isa, head), head)
        return found

    def parts(self, bytes words, Py_ssize_t index):
        cdef const uint64_t *halves = <const uint64_t *><const char *>words + 2 * index
        cdef _Form form = self.form_of(halves[0], halves[1])
        cdef list shown = [], found = []
        cdef Py_ssize_t i, last = -1
        cdef _Place place
        if form is None or not self.show(form, halves[0], halves[1], shown):
            return None
        for i in range(len(shown)):
            text, left_out = shown[i]
            if not left_out and (<_Place>form.places[i]).positional:
                last = i
        for i in range(len(shown)):
            place = <_Place>form.places[i]
            text, left_out = shown[i]
            # An optional operand may be left out only where no positional one follows.
            if not left_out or (place.positional and i < last):
                found.append((place.name, text))
        return form.head, found, form.row

    cdef bint show(self, _Form form, uint64_t low, uint64_t high, list shown) except -1:
        """Texts of all operands, and whether each may be left out; False for no instruction."""
        cdef uint64_t immediate = 0
        cdef bint used = False
        cdef _Place place
        if low & form.reserved_low or high & form.reserved_high:
            return False
        if form.immediate:
            immediate = cut(low, high, form.immediate, 0xFFFFFFFF)
        for place in form.places:
            raw = cut(low, high, place.lo, place.mask)
            if place.integer:
                text = place.integer_text(raw)
            elif place.width > 64:
                word = low | <object>high << 64
                text = place.text((word & place.place.field.mask) >> place.lo, 0)
            elif place.immediate and raw == place.tag:
                used = True
                text = place.text(raw, immediate)
            else:
                text = place.text(raw, 0)
            if text is None:
                return False
            shown.append(text)
        return used or not immediate
