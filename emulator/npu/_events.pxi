# The event queue: a binary heap ordered by (time, priority, sequence). Part of _engine.pyx.

cdef inline bint earlier(const Event* a, const Event* b) noexcept nogil:
    if a.time != b.time:
        return a.time < b.time
    if a.kind != b.kind:
        return a.kind < b.kind
    return a.seq < b.seq


cdef struct Heap:
    Event* items
    int64_t count
    int64_t capacity
    int64_t seq


cdef int heap_push(
    Heap* h, int64_t time, int kind, int sub, int pipe, int x, int y) noexcept nogil:
    """0, or -1 where memory is out."""
    cdef int64_t i = h.count, up
    cdef Event e
    cdef Event* grown
    if h.count == h.capacity:
        grown = <Event*> realloc(h.items, 2 * h.capacity * sizeof(Event))
        if grown == NULL:
            return -1
        h.items = grown
        h.capacity *= 2
    e.time, e.kind, e.sub, e.pipe, e.x, e.y = time, kind, sub, pipe, x, y
    e.seq = h.seq
    h.seq += 1
    h.count += 1
    while i > 0:
        up = (i - 1) >> 1
        if not earlier(&e, &h.items[up]):
            break
        h.items[i] = h.items[up]
        i = up
    h.items[i] = e
    return 0


cdef Event heap_pop(Heap* h) noexcept nogil:
    cdef Event top = h.items[0], last
    cdef int64_t i = 0, down
    h.count -= 1
    last = h.items[h.count]
    while True:
        down = 2 * i + 1
        if down >= h.count:
            break
        if down + 1 < h.count and earlier(&h.items[down + 1], &h.items[down]):
            down += 1
        if not earlier(&h.items[down], &last):
            break
        h.items[i] = h.items[down]
        i = down
    h.items[i] = last
    return top
