# When the instructions of a SIMD function issue, and which bytes of UB they touch. Part of _engine.pyx.

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


cdef bint ub_at(Machine* m, Sub* s, Simd* f, int64_t lo, int64_t size, bint write) noexcept nogil:
    """Bounds and order of an access; False after a fault."""
    if lo < 0 or lo + size > s.spaces[SPACE_UB].size:
        fault(m, FAULT_CAPACITY, s, f.op, -1, SPACE_UB, lo + size, s.spaces[SPACE_UB].size)
        return False
    if not write and touched_by(&f.unordered, lo, lo + size):
        fault(m, FAULT_RACE, s, f.op, f.op, SPACE_UB, lo, 1)
        if m.stop:
            return False
    touch(&f.written if write else &f.read, lo, lo + size)
    if write:
        touch(&f.unordered, lo, lo + size)
    return True


# ---- ports and banks -----------------------------------------------------------------------------

cdef inline Cycle* day(Times* t, int64_t at) noexcept nogil:
    cdef Cycle* c = &t.calendar[(at + t.base) & (HORIZON - 1)]
    if c.time != at + t.base:
        memset(c, 0, sizeof(Cycle))
        c.time = at + t.base
    return c


cdef int64_t reserve(Times* t, int64_t at, int port, int limit, int hold, const Reach* r) noexcept nogil:
    """The first cycle from `at` on with a free port (for `hold` cycles) and free banks."""
    cdef int i, most = max(hold, r.passes)
    cdef Cycle* c
    while True:
        for i in range(most):
            c = day(t, at + i)
            if (i < hold and c.used[port] >= limit) or (i < r.passes and c.banks & r.banks):
                break
        else:
            break
        at += 1
    for i in range(most):
        c = day(t, at + i)
        if i < hold:
            c.used[port] += 1
        if i < r.passes:
            c.banks |= r.banks
    return at


cdef inline int64_t issue(
    Machine* m, Times* t, int64_t ready, int port, const Reach* r) noexcept nogil:
    """When an instruction issues; whoever is a window of instructions behind waits for it."""
    cdef int64_t at = max(ready, t.window[t.place])
    cdef Cycle* c
    if r.passes > 1:
        at = reserve(t, at, port, m.spec.ports[port], r.passes, r)
    else:
        while True:
            c = day(t, at)
            if c.used[port] < m.spec.ports[port] and not c.banks & r.banks:
                break
            at += 1
        c.used[port] += 1
        c.banks |= r.banks
    t.window[t.place] = at
    t.place += 1
    if t.place == m.spec.window:
        t.place = 0
    return at


cdef inline void there(Times* t, int64_t* register, int64_t at) noexcept nogil:
    register[0] = at
    if at > t.last:
        t.last = at


# ---- one instruction -----------------------------------------------------------------------------

cdef void when_memory(Machine* m, Simd* f, Times* t, const Op* o, const Reach* given) noexcept nogil:
    """vld, vst, vgather, vscatter."""
    cdef Reach r = given[0]
    cdef int64_t ready = t.x[o.base], at
    cdef bint write = o.code == OP_VST or o.code == OP_VSCATTER
    cdef bint indexed = o.code == OP_VGATHER or o.code == OP_VSCATTER
    if t.ideal:
        r.passes, r.banks = 1, 0
    if indexed:
        ready = max(ready, t.v[o.index])
    if o.mask and (write or indexed):
        ready = max(ready, t.p[o.mask - 1])
    if write:
        ready = max(ready, t.v[o.src])
        if o.code == OP_VST and o.dist == STORE_ZIP:
            ready = max(ready, t.v[(o.src + 1) & 31])
    else:
        ready = max(ready, t.barrier)
    at = issue(m, t, ready, PORT_STORE if write else PORT_LOAD, &r)
    if write:
        t.last = max(t.last, at + o.latency + r.passes - 1)
    else:
        there(t, &t.v[o.dst], at + o.latency + r.passes - 1)
        if o.code == OP_VLD and o.dist == LOAD_SPLIT:
            t.v[(o.dst + 1) & 31] = t.v[o.dst]
    if not indexed and o.base and (o.post or o.post_kind == 0):
        if o.post_kind == 0:
            at = max(at, t.x[o.post])
        t.x[o.base] = max(t.x[o.base], at + 1)


cdef void when_vector(Machine* m, Simd* f, Times* t, const Op* o) noexcept nogil:
    """Arithmetic, lanes moved, masks."""
    cdef int code = o.code
    cdef int64_t ready = 0, at
    cdef Reach none
    none.passes, none.banks = 0, 0
    if o.mask:
        ready = t.p[o.mask - 1]
    if OP_PCOUNT <= code <= OP_PNOT:
        if code == OP_PCOUNT:
            ready = t.x[o.a] if o.a_kind == 0 else 0
        else:
            ready = max(t.p[o.a], t.p[o.b] if code != OP_PNOT else 0)
        there(t, &t.p[o.dst], issue(m, t, ready, PORT_ARITHMETIC, &none) + o.latency)
        return
    if code == OP_VDUP or code == OP_VINDEX:
        if o.a_kind == 0:
            ready = max(ready, t.x[o.a])
        elif o.a_kind == 1:
            ready = max(ready, t.v[o.a])
    else:
        ready = max(ready, t.v[o.a])
    if (o.merge or code == OP_VMADD or code == OP_VMULADD) and code != OP_VCMP:
        ready = max(ready, t.v[o.dst])
    if OP_VADD <= code <= OP_VSHR or code in (OP_VCMP, OP_VSEL, OP_VMULADD):
        if o.b_kind == 0:
            ready = max(ready, t.v[o.b])
        elif o.b_kind == 1:
            ready = max(ready, t.x[o.b])
    if code == OP_VSEL:
        ready = max(ready, t.p[o.c])
    elif code == OP_VZIP or code == OP_VUNZIP:
        ready = max(ready, t.v[o.b])
    elif code == OP_VPERM:
        ready = max(ready, t.v[o.index])
    elif code == OP_VLANE and o.lane_kind == 0:
        ready = max(ready, t.x[o.lane])
    if o.interval > 1:
        ready = reserve(t, max(ready, t.window[t.place]), PORT_SPECIAL, m.spec.ports[PORT_SPECIAL],
                        o.interval, &none)
    at = issue(m, t, ready, PORT_ARITHMETIC, &none) + o.latency
    if code == OP_VCMP:
        there(t, &t.p[o.dst], at)
    elif code == OP_VLANE:
        there(t, &t.x[o.dst], at)
        t.x[0] = 0
    else:
        there(t, &t.v[o.dst], at)
        if code == OP_VZIP or code == OP_VUNZIP:
            t.v[(o.dst + 1) & 31] = t.v[o.dst]


cdef void when_scalar(Machine* m, Times* t, const Op* o) noexcept nogil:
    """Scalar words of a function; what follows a branch waits for its outcome."""
    cdef int64_t ready = 0, at
    cdef int i
    cdef Reach none
    none.passes, none.banks = 0, 0
    if o.code == OP_JUMP:
        return
    if o.code != OP_MOV:
        ready = max(t.x[o.a], t.x[o.b] if o.b_kind == 0 else 0)
    elif o.a_kind == 0:
        ready = t.x[o.a]
    at = issue(m, t, ready, PORT_SCALAR, &none) + o.latency
    if o.code == OP_BR:
        for i in range(m.spec.window):
            t.window[i] = max(t.window[i], at)
    elif o.dst:
        t.x[o.dst] = at


cdef void begin_times(Times* t, bint ideal) noexcept nogil:
    t.base += t.last + HORIZON
    memset(t, 0, sizeof(Times) - sizeof(t.calendar) - sizeof(int64_t))
    t.ideal = ideal
