# Which bytes of UB a function touched, and when its instructions issue. Part of _engine.pyx.

cdef void touch(Ranges* r, int64_t lo, int64_t hi) noexcept nogil:
    """Add bytes; where there are too many pieces the nearest one grows."""
    cdef int i, best = -1
    cdef int64_t gap, least = 0
    for i in range(r.count):
        gap = max(lo - r.items[i].hi, r.items[i].lo - hi)
        if best < 0 or gap < least:
            best, least = i, gap
        if gap <= 0:
            break
    if best >= 0 and (least <= 0 or r.count == RANGES):
        r.items[best].lo = min(r.items[best].lo, lo)
        r.items[best].hi = max(r.items[best].hi, hi)
        return
    r.items[r.count].lo, r.items[r.count].hi = lo, hi
    r.count += 1


cdef inline bint touched_by(const Ranges* r, int64_t lo, int64_t hi) noexcept nogil:
    cdef int i
    for i in range(r.count):
        if r.items[i].lo < hi and lo < r.items[i].hi:
            return True
    return False


cdef inline Cycle* day(Simd* f, int64_t t) noexcept nogil:
    cdef Cycle* c = &f.calendar[(t + f.base) % HORIZON]
    if c.time != t + f.base:
        memset(c, 0, sizeof(Cycle))
        c.time = t + f.base
    return c


cdef int64_t issue(
    Machine* m, Simd* f, int64_t ready, int port, int hold, uint32_t banks, int passes) noexcept nogil:
    """The first cycle from `ready` on with a free port (for `hold` cycles) and free banks."""
    cdef int64_t t = max(ready, f.window[f.instructions & 63])
    cdef int limit = m.spec.ports[port], i
    cdef bint free
    cdef Cycle* c
    f.instructions += 1
    while True:
        free = True
        for i in range(max(hold, passes)):
            c = day(f, t + i)
            if (i < hold and c.used[port] >= limit) or (i < passes and c.banks & banks):
                f.conflicts += c.used[port] < limit
                free = False
                break
        if free:
            break
        t += 1
    for i in range(max(hold, passes)):
        c = day(f, t + i)
        if i < hold:
            c.used[port] += 1
        if i < passes:
            c.banks |= banks
    # Whoever is 64 instructions behind waits for this one.
    f.window[(f.instructions - 1) & 63] = t
    return t


cdef void done(Simd* f, int64_t* ready, int64_t at) noexcept nogil:
    ready[0] = at
    if at > f.last:
        f.last = at
