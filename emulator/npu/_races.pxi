# Race detection and bounds of local memories. Part of _engine.pyx.
#
# Happens-before by vector clocks: an instruction counts its pipe's entry up; a flag carries the
# setter's clock to the waiter; dispatch carries the scalar unit's clock along. Two accesses to the
# same bytes, one of them a write, of two pipes whose order no flag fixes are a race, whatever the
# times were in this run.

cdef extern from *:
    """
#ifdef __SSE2__
#include <emmintrin.h>
#endif
/* Bit i: [lo[i], hi[i]) and [from, to) overlap; for i below 8. */
static inline uint32_t presil_near(const int32_t *lo, const int32_t *hi, int32_t from, int32_t to) {
    uint32_t found = 0;
#ifdef __SSE2__
    __m128i begin = _mm_set1_epi32(from), end = _mm_set1_epi32(to);
    for (int i = 0; i < 8; i += 4) {
        __m128i l = _mm_loadu_si128((const __m128i *) (lo + i));
        __m128i h = _mm_loadu_si128((const __m128i *) (hi + i));
        __m128i both = _mm_and_si128(_mm_cmpgt_epi32(end, l), _mm_cmpgt_epi32(h, begin));
        found |= (uint32_t) _mm_movemask_ps(_mm_castsi128_ps(both)) << i;
    }
#else
    for (int i = 0; i < 8; i++) found |= (uint32_t) (lo[i] < to && from < hi[i]) << i;
#endif
    return found;
}
    """
    uint32_t presil_near(const int32_t* lo, const int32_t* hi, int32_t from_, int32_t to) noexcept nogil


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
    cdef int64_t i, apart
    if a.hi <= b.lo or b.hi <= a.lo:
        return False
    if a.rows > b.rows:
        a, b = b, a
    if a.pitch == b.pitch and a.rows > 1 and a.row <= a.pitch and b.row <= b.pitch:
        # Rows of b begin `apart` behind some of a's, for the nearest one not before it and the last
        # one before it; between them the two come as close as they ever do.
        apart = b.lo - a.lo
        i = apart // a.pitch
        apart -= i * a.pitch
        if apart < 0:
            i, apart = i - 1, apart + a.pitch
        # Row j of b lies `apart` behind row i + j of a, and before row i + j + 1.
        return ((apart < a.row and -b.rows < i < a.rows)
                or (a.pitch - apart < b.row and -b.rows < i + 1 < a.rows))
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


# ---- local memories ------------------------------------------------------------------------------

cdef inline bint known_before(const Access* r, const Access* a, const Clock* clock) noexcept nogil:
    """Whether `r` is known to lie before `a`, which knows what `clock` says."""
    return r.slot == a.slot or clock.at[r.slot] >= r.epoch


cdef inline bint unordered(const Access* r, const Access* a, const Clock* clock) noexcept nogil:
    return (a.write or r.write) and not known_before(r, a, clock) and overlap(a, r)


cdef inline bint replaced(const Access* r, const Access* a) noexcept nogil:
    """Whether `r`, which lies before `a`, may be forgotten: whoever collides with it, collides with
    `a`, or `a` is the same again."""
    return ((a.rows == 1 and a.lo <= r.lo and r.hi <= a.hi
             and (a.write or (not r.write and r.slot == a.slot)))
            or (r.slot == a.slot and r.write == a.write and r.lo == a.lo and r.row == a.row
                and r.rows == a.rows and r.pitch == a.pitch))


cdef void report_races(
    Machine* m, Sub* s, int space, const Access* a, int op, const Clock* clock) noexcept nogil:
    """A fault for each access that is not ordered, the oldest first."""
    cdef const Accesses* list = &s.accesses[space]
    cdef int64_t after = -1
    cdef int i, oldest
    while True:
        oldest = -1
        for i in range(list.count):
            if (list.number[i] > after and unordered(&list.items[i], a, clock)
                    and (oldest < 0 or list.number[i] < list.number[oldest])):
                oldest = i
        if oldest < 0:
            return
        after = list.number[oldest]
        fault(m, FAULT_RACE, s, op, list.items[oldest].op, space,
              max(a.lo, list.items[oldest].lo), 0)


cdef bint accesses_grow(Accesses* list) noexcept nogil:
    """Twice the room, at least for 32; False where memory is out."""
    cdef int capacity = max(2 * list.capacity, 32)
    cdef Access* items = <Access*> realloc(list.items, capacity * sizeof(Access))
    cdef int32_t* lo
    cdef int32_t* hi
    cdef int64_t* number
    if items == NULL:
        return False
    list.items = items
    lo = <int32_t*> realloc(list.lo, capacity * sizeof(int32_t))
    if lo == NULL:
        return False
    list.lo = lo
    hi = <int32_t*> realloc(list.hi, capacity * sizeof(int32_t))
    if hi == NULL:
        return False
    list.hi = hi
    number = <int64_t*> realloc(list.number, capacity * sizeof(int64_t))
    if number == NULL:
        return False
    list.number = number
    while list.capacity < capacity:
        vacate(list, list.capacity)
        list.capacity += 1
    return True


cdef inline void vacate(Accesses* list, int i) noexcept nogil:
    """Nothing overlaps place i."""
    list.lo[i], list.hi[i], list.number[i] = 0x7fffffff, 0, -1


cdef void forget_accesses(Accesses* list) noexcept nogil:
    cdef int i
    for i in range(list.count):
        vacate(list, i)
    list.count = 0


cdef void note_access(
    Machine* m, Sub* s, int space, const Access* a, int op, const Clock* clock) noexcept nogil:
    """Compare an access with those that are not known to lie before it, and remember it."""
    cdef Accesses* list = &s.accesses[space]
    cdef const Access* r
    cdef int32_t lo = <int32_t> (a.lo // GRAIN), hi = <int32_t> ((a.hi + GRAIN - 1) // GRAIN)
    cdef int i, first, place = -1
    cdef uint32_t near
    cdef bint races = False
    if a.hi <= a.lo:
        return
    for first in range(0, list.count, 8):
        near = presil_near(list.lo + first, list.hi + first, lo, hi)
        while near:
            i = first + __builtin_ctzll(near)
            near &= near - 1
            r = &list.items[i]
            if r.lo >= a.hi or a.lo >= r.hi:
                continue
            if not known_before(r, a, clock):
                races = races or unordered(r, a, clock)
            elif replaced(r, a):
                vacate(list, i)
                place = i
    if races:
        report_races(m, s, space, a, op, clock)
    if place < 0:
        place = vacancy(list)
    if place < 0:
        fault(m, FAULT_MEMORY, s, op, -1, 0, 0, 0)
        return
    list.items[place] = a[0]
    list.lo[place], list.hi[place], list.number[place] = lo, hi, list.numbers
    list.numbers += 1


cdef int vacancy(Accesses* list) noexcept nogil:
    """A place for another access, -1: memory is out."""
    cdef int i, kept = 0
    if list.count == list.capacity:     # close the gaps, if they are many
        for i in range(list.count):
            if list.number[i] >= 0:
                if kept < i:
                    list.items[kept], list.number[kept] = list.items[i], list.number[i]
                    list.lo[kept], list.hi[kept] = list.lo[i], list.hi[i]
                    vacate(list, i)
                kept += 1
        list.count = kept
        if 4 * kept > 3 * list.capacity and not accesses_grow(list):
            return -1
    list.count += 1
    return list.count - 1
