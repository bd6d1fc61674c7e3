# What the pipes of some sub-cores did in a range of cycles, for pictures. Part of _engine.pyx.

cdef struct Span:
    int64_t start
    int64_t end
    int32_t place       # sub-core * PIPES + pipe
    int32_t row         # of the program, -1 where there is none
    int32_t reason

cdef struct Watch:
    int64_t start
    int64_t stop
    int64_t count
    int64_t capacity
    Span* items
    int32_t failed      # out of memory


cdef void witness(
    Watch* w, int64_t start, int64_t end, int place, int row, int reason) noexcept nogil:
    """Keep the part of it that lies in the range."""
    cdef int64_t capacity = max(2 * w.capacity, 256)
    cdef Span* grown
    start, end = max(start, w.start), min(end, w.stop)
    if end <= start or w.failed:
        return
    if w.count == w.capacity:
        grown = <Span*> realloc(w.items, capacity * sizeof(Span))
        if grown == NULL:
            w.failed = 1
            return
        w.items, w.capacity = grown, capacity
    w.items[w.count].start, w.items[w.count].end = start, end
    w.items[w.count].place, w.items[w.count].row, w.items[w.count].reason = place, row, reason
    w.count += 1
