# Race detection and bounds of local memories. Part of _engine.pyx.
#
# Happens-before by vector clocks: an instruction counts its pipe's entry up; a flag carries the
# setter's clock to the waiter; dispatch carries the scalar unit's clock along. Two accesses to the
# same bytes, one of them a write, of two pipes whose order no flag fixes are a race, whatever the
# times were in this run.

cdef inline void join(Clock* into, const Clock* other) noexcept nogil:
    cdef int i
    for i in range(SLOTS):
        into.at[i] = other.at[i] if other.at[i] > into.at[i] else into.at[i]


cdef bint touches(int64_t lo, int64_t hi, const Access* a) noexcept nogil:
    """Whether the bytes [lo, hi) hold one of the access's rows."""
    cdef int64_t first
    if hi <= a.lo or lo >= a.hi:
        return False
    if a.rows == 1 or a.pitch <= a.row:
        return True
    # The first row that ends behind lo.
    first = 0 if lo < a.lo + a.row else (lo - a.lo - a.row) // a.pitch + 1
    return first < a.rows and a.lo + first * a.pitch < hi


cdef bint overlap(const Access* a, const Access* b) noexcept nogil:
    cdef int64_t i
    if a.hi <= b.lo or b.hi <= a.lo:
        return False
    if a.rows > b.rows:
        a, b = b, a
    for i in range(a.rows):
        if touches(a.lo + i * a.pitch, a.lo + i * a.pitch + a.row, b):
            return True
    return False


cdef Access access(int64_t lo, int64_t row, int64_t rows, int64_t pitch) noexcept nogil:
    """The bytes of a tile; rows that touch become one."""
    cdef Access a
    if rows > 1 and pitch == row:
        row, rows = row * rows, 1
    a.lo, a.row, a.rows, a.pitch = lo, row, rows, pitch
    a.slot, a.epoch, a.op, a.write = 0, 0, -1, 0
    a.hi = lo + (rows - 1) * pitch + row if rows > 0 and row > 0 else lo
    return a
