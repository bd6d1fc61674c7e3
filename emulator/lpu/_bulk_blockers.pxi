# Who had a register before: for each value the nearest earlier diagonal of its stream on which
# another value occupied part of its way, from the column after its producer's to its last reader's.
# Along a burst that is the burst's own value before, which its queue waits for anyway; so only the
# first matters, unless bursts of one stream interleave.

# The latest value that occupied a column.
cdef struct Taken:
    int64_t diag, elem
    int seg, pad


cdef inline int64_t last_place(State* s, Drive* p, int64_t i) noexcept nogil:
    """Where the last reader of value i sits: its own place when nobody reads it there."""
    cdef int64_t last = max(<int64_t> p.last, <int64_t> p.place)
    return max(last, ints(&s.seen)[p.seen + i] - 1) if p.seen >= 0 else last


cdef inline int column_of(State* s, int stream, int64_t place) noexcept nogil:
    return <int> (s.columns - 1 - place if stream & 32 else place)


cdef void nearest(State* s, Drive* p, int64_t to, Taken* taken, Taken* found) noexcept nogil:
    """The latest value on the columns beyond p's place, to `to`; of equals the westernmost."""
    cdef int a = column_of(s, p.stream, p.place + 1), b = column_of(s, p.stream, to), c
    found.diag, found.seg = NEVER, -1
    if to == p.place:
        return
    for c in range(min(a, b), max(a, b) + 1):
        if taken[c].diag > found.diag:
            found[0] = taken[c]


cdef void occupy(State* s, Drive* p, int64_t i, int64_t after, Taken* taken) noexcept nogil:
    """Value i holds the columns beyond the place `after`, to its last reader's."""
    cdef int a = column_of(s, p.stream, after + 1), c
    cdef int b = column_of(s, p.stream, last_place(s, p, i))
    if last_place(s, p, i) <= after:
        return
    for c in range(min(a, b), max(a, b) + 1):
        taken[c].diag, taken[c].seg, taken[c].elem = p.diag + i * p.d, p.seg, i


cdef int by_issue(State* s, Seg* g, int part) noexcept nogil:
    """Give every issue of a segment a blocker of its own: at first what the streams of lower number
    (those before `part`) say, which is the issue before."""
    cdef int64_t i
    if g.blockers >= 0:
        return 1
    g.blockers = <int> add_ints(&s.blocked_at, g.n, 0)
    add_ints(&s.blocked_seg, g.n, -1)
    add_ints(&s.blocked_elem, g.n, 0)
    if s.blocked_elem.count != s.blocked_at.count or s.blocked_at.count > 0x7ffffff0:
        return give_up(s, "memory")
    for i in range(g.n):
        if i == 0:
            ints(&s.blocked_at)[g.blockers] = g.stream_at
            ints(&s.blocked_seg)[g.blockers] = g.stream_seg
            ints(&s.blocked_elem)[g.blockers] = g.stream_elem
        if i == 0 or part == 0:
            continue
        ints(&s.blocked_at)[g.blockers + i] = cycle_of(g, i - 1) + 1
        ints(&s.blocked_seg)[g.blockers + i] = <int64_t> (g - <Seg*> s.segs.data)
        ints(&s.blocked_elem)[g.blockers + i] = i - 1
    return 1


cdef int plain_stream(State* s, Drive* drives, const int64_t* order, int64_t low, int64_t high,
                      Taken* taken) noexcept nogil:
    """The first value of every burst; 0 when bursts interleave."""
    cdef Drive* p
    cdef Seg* g
    cdef Taken found
    cdef int64_t i, k, at, reach, far
    for i in range(low, high):
        p = &drives[order[i]]
        g = seg_at(s, p.seg)
        far = last_place(s, p, 0)
        if p.seen >= 0:
            for k in range(1, p.n):
                far = max(far, last_place(s, p, k))
        nearest(s, p, far, taken, &found)
        if found.seg >= 0 and found.diag >= p.diag:
            return 0
        if far != last_place(s, p, 0):
            nearest(s, p, last_place(s, p, 0), taken, &found)
        at = g.t0 - (p.diag - found.diag) + 1
        if found.seg >= 0 and at > g.stream_at:
            g.stream_at, g.stream_seg, g.stream_elem = at, found.seg, found.elem
            if g.blockers >= 0 and at > ints(&s.blocked_at)[g.blockers]:
                ints(&s.blocked_at)[g.blockers] = at
                ints(&s.blocked_seg)[g.blockers] = found.seg
                ints(&s.blocked_elem)[g.blockers] = found.elem
        # Backwards, so that every column ends with the last value that reaches it.
        reach = p.place
        k = p.n - 1
        occupy(s, p, k, reach, taken)
        reach = last_place(s, p, k)
        while reach < far:
            k -= 1
            if last_place(s, p, k) > reach:
                occupy(s, p, k, reach, taken)
                reach = last_place(s, p, k)
    return 1


cdef int mixed_stream(State* s, Drive* drives, const int64_t* which, const int64_t* elems,
                      const int64_t* order, int64_t n, Taken* taken) noexcept nogil:
    """Value by value: `order` sorts (which, elems), drives and their values, by diagonal and place."""
    cdef int64_t i = 0, j, at, diag, e
    cdef Drive* p
    cdef Seg* g
    cdef Taken found
    while i < n:
        p = &drives[which[order[i]]]
        diag = p.diag + elems[order[i]] * p.d
        j = i
        while j < n:
            p, e = &drives[which[order[j]]], elems[order[j]]
            if p.diag + e * p.d != diag:
                break
            g = seg_at(s, p.seg)
            if not by_issue(s, g, p.part):
                return 0
            nearest(s, p, last_place(s, p, e), taken, &found)
            at = cycle_of(g, e) - (diag - found.diag) + 1
            if found.seg >= 0 and at > ints(&s.blocked_at)[g.blockers + e]:
                ints(&s.blocked_at)[g.blockers + e] = at
                ints(&s.blocked_seg)[g.blockers + e] = found.seg
                ints(&s.blocked_elem)[g.blockers + e] = found.elem
            j += 1
        while i < j:
            p, e = &drives[which[order[i]]], elems[order[i]]
            occupy(s, p, e, p.place, taken)
            i += 1
    return 1
