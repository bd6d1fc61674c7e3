# An order in which producers come before consumers, and the accounts of _accounts.pyx on segments.
#
# x of an issue is the cycle at which it could have come: the latest of what it needed, which is at
# the x of another issue plus a constant, and of its queue's x before plus the hold. Along a segment
# whose producers advance by no more than the hold per issue, x advances by the hold: `x0`, `slope`.


cdef int64_t dependency(State* s, Seg* g, int i) noexcept nogil:
    """The i-th segment that must come before g; -1 = none there, -2 = no more."""
    cdef int64_t at
    if i == 0:
        return g.prev
    if i == 1:
        if g.stream_seg >= 0 and comes_before(seg_at(s, g.stream_seg), g.stream_elem, g.t0, g.queue):
            return g.stream_seg
        return -1
    if i < 4:
        return g.bank_seg[i - 2]
    if i < 6:
        return g.unit_seg[i - 4]
    if i == 6:
        return g.install_seg
    if i == 7:
        return g.load
    if i == 8:
        return g.load_scales
    i -= 9
    if i < g.links:
        return (<Link*> s.links.data)[g.first_link + i].producer
    i -= g.links
    if g.blockers < 0 or i >= g.n:
        return -2
    at = ints(&s.blocked_seg)[g.blockers + i]
    if at < 0 or g == seg_at(s, at) or not comes_before(
            seg_at(s, at), ints(&s.blocked_elem)[g.blockers + i], cycle_of(g, i), g.queue):
        return -1
    return at


cdef int sort_out(State* s, const int64_t* roots) noexcept nogil:
    """`order`: every segment after those that it depends on, else by time."""
    cdef int64_t i, at, found
    cdef int64_t* rank
    cdef Vector stack
    cdef Seg* g
    cdef Pair* pair
    vector_init(&stack, 8)
    for i in range(s.segs.count):
        if i + FORESIGHT < s.segs.count:
            foresee(s, roots[i + FORESIGHT])
        add_ints(&stack, 1, roots[i])
        while stack.count:
            at = ints(&stack)[stack.count - 1]
            g = seg_at(s, at)
            if g.state == 2:
                stack.count -= 1
                continue
            g.state = 1
            found = -1
            while found == -1 or (found >= 0 and seg_at(s, found).state == 2):
                found = dependency(s, g, g.follow)
                g.follow += 1
            if found == -2:
                g.state = 2
                stack.count -= 1
                add_ints(&s.order, 1, at)
            elif seg_at(s, found).state == 0:
                add_ints(&stack, 1, found)
            else:
                free(stack.data)
                return give_up(s, "a burst that depends on itself")
    free(stack.data)
    rank = <int64_t*> malloc((s.segs.count + 1) * 8)
    if rank == NULL:
        return give_up(s, "memory")
    for i in range(s.order.count):
        rank[ints(&s.order)[i]] = i
    for i in range(s.pairs.count):
        pair = <Pair*> s.pairs.data + i
        if rank[pair.first] > rank[pair.second]:
            give_up(s, "words written before they are read")
    free(rank)
    return s.why == NULL


# Sums of a run, and what is known of queues and planes along the way.
cdef struct Sums:
    int64_t* issued      # per op
    int64_t* busy
    int64_t* first
    int64_t* last
    int64_t* waits       # [ops][REASON_COUNT]
    int64_t* in_unit     # per unit
    int64_t* unit_waits
    int64_t* free_from   # per queue
    int64_t* earliest
    int64_t* plane_free  # per plane
    const int* unit_of_queue
    const int* unit_of_plane
    int64_t* ready       # scratch, one per issue of the longest segment


# The latest of the things that an issue needed, with its reason below it: of equals the first.
cdef inline int64_t because(int64_t cycle, int reason) noexcept nogil:
    return (cycle << 3) + (6 - reason)


cdef inline int reason_of(int64_t ready) noexcept nogil:
    return SCHEDULE if ready & 7 == 7 else 6 - (ready & 7)


cdef inline int64_t x_of(State* s, int seg, int64_t i) noexcept nogil:
    cdef Seg* g = seg_at(s, seg)
    return g.x0 + i * g.slope if g.xs < 0 else ints(&s.xs)[g.xs + i]


cdef int64_t blocked(State* s, Seg* g, int64_t i, int64_t at, int64_t by, int64_t elem) noexcept nogil:
    """When issue i could have had its streams: earlier if the blocker could have come earlier."""
    cdef Seg* p
    if by < 0:
        return NEVER
    p = seg_at(s, by)
    if not comes_before(p, elem, cycle_of(g, i), g.queue):
        return at
    return at - (cycle_of(p, elem) - x_of(s, <int> by, elem))


cdef int64_t loading(State* s, Seg* g, Link* l) noexcept nogil:
    """The operand of a load: all its cycles together, each as it is known when the load issues."""
    cdef Seg* p = seg_at(s, l.producer)
    cdef int64_t i, k, found = NEVER
    for i in range(l.n):
        k = l.k0 + (l.n - 1 - i) * l.ks
        if not comes_before(p, k, g.t0, g.queue):
            return g.t0
        found = max(found, g.t0 - (cycle_of(p, k) - x_of(s, l.producer, k)))
    return found


cdef inline int64_t operand(State* s, Seg* g, Link* l) noexcept nogil:
    """What to add to a producer's x: cycles from its issue to its use."""
    cdef Seg* p = seg_at(s, l.producer)
    if l.operand == MEMORY:
        return s.ops[p.op].latency + 1
    return cycle_of(g, l.i0) - cycle_of(p, l.k0)


cdef int64_t first_ready(State* s, Seg* g) noexcept nogil:
    """What the first issue waited for, operands aside."""
    cdef const Op* o = &s.ops[g.op]
    cdef int64_t r = 7
    cdef int b
    if g.blockers < 0 and g.stream_seg >= 0:
        r = max(r, because(blocked(s, g, 0, g.stream_at, g.stream_seg, g.stream_elem), STREAM))
    for b in range(2):
        if g.bank_seg[b] >= 0 and g.bank_first[b] == 0:
            r = max(r, because(x_of(s, g.bank_seg[b], g.bank_elem[b]) + 1, BANK))
    for b in range(GROUP):
        if g.unit_seg[b] >= 0:
            r = max(r, because(x_of(s, g.unit_seg[b], seg_at(s, g.unit_seg[b]).n - 1)
                               + s.ops[seg_at(s, g.unit_seg[b]).op].hold, UNIT))
    if g.install_seg >= 0:
        if o.code == OP_MM:
            r = max(r, because(x_of(s, g.install_seg, 0) + s.iw_latency, WEIGHTS))
        else:
            b = seg_at(s, g.install_seg).op
            r = max(r, because(x_of(s, g.install_seg, 0) + s.ops[b].hold + s.ops[b].latency, WEIGHTS))
    if g.woken >= 0:
        r = max(r, because(g.woken, SYNC))
    return r


cdef int advances_evenly(State* s, Seg* g, int64_t x0, int hold) noexcept nogil:
    """Whether x of later issues is x0 + i * hold, because nothing holds them up for longer."""
    cdef Link* l
    cdef Seg* p
    cdef int k
    if g.n == 1:
        return 1
    if g.blockers >= 0:
        return 0
    for k in range(g.links):
        l = <Link*> s.links.data + g.first_link + k
        p = seg_at(s, l.producer)
        if p.xs >= 0 or p.slope * l.ks > hold and l.n > 1:
            return 0
        if l.i0 > 0 and x_of(s, l.producer, l.k0) + operand(s, g, l) > x0 + l.i0 * hold:
            return 0
    for k in range(2):
        if g.bank_seg[k] >= 0 and g.bank_first[k] > 0 and (
                x_of(s, g.bank_seg[k], g.bank_elem[k]) + 1 > x0 + g.bank_first[k] * hold):
            return 0
    return 1


cdef void fill_ready(State* s, Seg* g, int64_t first, int64_t* ready) noexcept nogil:
    """What each issue waited for."""
    cdef Link* l
    cdef Seg* p
    cdef int k
    cdef int64_t i, by, more
    ready[0] = first
    for i in range(1, g.n):
        ready[i] = 7
    for k in range(g.links):
        l = <Link*> s.links.data + g.first_link + k
        p = seg_at(s, l.producer)
        by = operand(s, g, l)
        for i in range(l.n):
            ready[l.i0 + i] = max(ready[l.i0 + i],
                                  because(x_of(s, l.producer, l.k0 + i * l.ks) + by, OPERAND))
    for k in range(2):
        if g.bank_seg[k] >= 0 and g.bank_first[k] > 0:
            i = g.bank_first[k]
            ready[i] = max(ready[i], because(x_of(s, g.bank_seg[k], g.bank_elem[k]) + 1, BANK))
    if g.blockers < 0:
        return
    for i in range(g.n):
        more = ints(&s.blocked_seg)[g.blockers + i]
        if more >= 0 and g != seg_at(s, more):
            more = blocked(s, g, i, ints(&s.blocked_at)[g.blockers + i], more,
                           ints(&s.blocked_elem)[g.blockers + i])
            ready[i] = max(ready[i], because(more, STREAM))


cdef inline void add_gap(int64_t* waits, int64_t start, int64_t t, int64_t ready) noexcept nogil:
    """The gap start..t: to the reason up to where it became ready, then schedule."""
    cdef int64_t gap = max(min(ready >> 3, t), start) - start
    waits[reason_of(ready)] += gap
    waits[SCHEDULE] += t - start - gap


cdef void issue_one(State* s, Sums* sums, Seg* g, int64_t t, int64_t ready) noexcept nogil:
    """Waits and busy cycles of one issue."""
    cdef const Op* o = &s.ops[g.op]
    cdef int q = g.queue, unit = sums.unit_of_queue[q], k, plane
    cdef int64_t end = t + o.hold
    add_gap(sums.waits + REASON_COUNT * g.op, sums.free_from[q], t, ready)
    if o.code == OP_MM:
        plane = (q - s.first_mxm) >> 1
        for k in range(plane, plane + o.planes):
            unit = sums.unit_of_plane[k]
            if t > sums.plane_free[k]:
                add_gap(sums.unit_waits + REASON_COUNT * unit, sums.plane_free[k], t, ready)
                sums.plane_free[k] = t
            if end > sums.plane_free[k]:
                sums.in_unit[unit] += end - sums.plane_free[k]
                sums.plane_free[k] = end
    elif unit >= 0 and not s.first_mxm <= q < s.first_mxm + 2 * s.planes:
        sums.in_unit[unit] += o.hold
        add_gap(sums.unit_waits + REASON_COUNT * unit, sums.free_from[q], t, ready)
    sums.free_from[q] = end


cdef void issue_rest(State* s, Sums* sums, Seg* g) noexcept nogil:
    """Issues after the first of a segment without gaps: busy, nothing else."""
    cdef const Op* o = &s.ops[g.op]
    cdef int64_t busy = (g.n - 1) * o.hold
    cdef int q = g.queue, unit = sums.unit_of_queue[q], k, plane
    if o.code == OP_MM:
        plane = (q - s.first_mxm) >> 1
        for k in range(plane, plane + o.planes):
            sums.in_unit[sums.unit_of_plane[k]] += busy
            sums.plane_free[k] += busy
    elif unit >= 0 and not s.first_mxm <= q < s.first_mxm + 2 * s.planes:
        sums.in_unit[unit] += busy
    sums.free_from[q] += busy


cdef int charge(State* s, Sums* sums, int seg) noexcept nogil:
    cdef Seg* g = seg_at(s, seg)
    cdef const Op* o = &s.ops[g.op]
    cdef Link* l
    cdef int k, even
    cdef int64_t i, t, x, ready, first = first_ready(s, g), before = sums.earliest[g.queue]
    sums.issued[g.op] += g.n
    sums.busy[g.op] += g.n * o.hold
    if sums.first[g.op] < 0 or g.t0 < sums.first[g.op]:
        sums.first[g.op] = g.t0
    sums.last[g.op] = max(sums.last[g.op], end_of(g))
    for k in range(g.links):
        l = <Link*> s.links.data + g.first_link + k
        if o.code == OP_LW:
            first = max(first, because(loading(s, g, l), OPERAND))
        elif l.i0 == 0:
            first = max(first, because(x_of(s, l.producer, l.k0) + operand(s, g, l), OPERAND))
    if g.blockers >= 0 and ints(&s.blocked_seg)[g.blockers] >= 0:
        first = max(first, because(blocked(
            s, g, 0, ints(&s.blocked_at)[g.blockers], ints(&s.blocked_seg)[g.blockers],
            ints(&s.blocked_elem)[g.blockers]), STREAM))
    g.x0, g.slope = max(min(first >> 3, g.t0), before), o.hold
    even = advances_evenly(s, g, g.x0, o.hold)
    if even and (g.n == 1 or g.d == o.hold):
        sums.earliest[g.queue] = g.x0 + g.n * o.hold
        issue_one(s, sums, g, g.t0, first)
        issue_rest(s, sums, g)
        return 1
    fill_ready(s, g, first, sums.ready)
    if not even:
        i = add_ints(&s.xs, g.n, 0)
        if i < 0:
            return give_up(s, "memory")
        g.xs = i
    x = before
    for i in range(g.n):
        t = cycle_of(g, i)
        ready = sums.ready[i]
        x = max(min(ready >> 3, t), x)
        if not even:
            ints(&s.xs)[g.xs + i] = x
        x += o.hold
        if i == 0 or g.d > o.hold:
            issue_one(s, sums, g, t, ready)
    if g.d == o.hold:
        issue_rest(s, sums, g)
    sums.earliest[g.queue] = x
    return 1
