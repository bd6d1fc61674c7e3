from libc.stdint cimport int64_t, uint64_t


cdef class Bits:
    cdef uint64_t low, high
    cdef int streams
    cdef bint immediate


cdef class Operand:
    cdef object place
    cdef str name
    cdef dict known
    cdef set names
    cdef uint64_t mask_low, mask_high
    cdef int bit, lo
    cdef bint flag, immediate, expression, integers, floats
    cdef int64_t least, most
    cdef uint64_t payload, tag_low, tag_high, float_low, float_high


cdef class Pattern:
    cdef object form
    cdef list positionals
    cdef dict named, times
    cdef Py_ssize_t least
    cdef uint64_t low, high
    cdef unsigned int required
    cdef int64_t hold, span
    cdef bint varying


cdef class Section:
    cdef readonly str name, kind
    cdef readonly dict patterns, labels
    cdef readonly bytearray words
    cdef readonly list origins, pending
    cdef public int64_t time, last, hold
    cdef public bint repeatable
    cdef int put(self, uint64_t low, uint64_t high, int64_t hold, int64_t span, origin) except -1


cdef class Label:
    cdef readonly Section section
    cdef readonly Py_ssize_t word
    cdef readonly int64_t time
    cdef readonly bint kept
    cdef readonly object file, line


cdef class Deferred:
    cdef readonly Section section
    cdef readonly Py_ssize_t word, at
    cdef readonly str text, raw, name
    cdef readonly object frame, line, operand


cdef inline void insert(Operand operand, int64_t value, uint64_t *low, uint64_t *high) noexcept:
    """The bits of an integer at its place."""
    cdef uint64_t raw = <uint64_t>value & operand.payload
    cdef int lo = operand.lo
    low[0] |= operand.tag_low
    high[0] |= operand.tag_high
    if lo >= 64:
        high[0] |= raw << (lo - 64)
    else:
        low[0] |= raw << lo
        if lo:
            high[0] |= raw >> (64 - lo)
