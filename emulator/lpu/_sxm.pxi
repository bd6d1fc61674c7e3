# SXM: lanes move. Every operation works on whole byte planes.


cdef void do_setmap(State* s, int op, int issue) noexcept nogil:
    cdef const Op* o = &s.ops[op]
    cdef Map* m = &s.maps[o.queue - s.first_sxm]
    cdef uint64_t poison = 0
    cdef const uint8_t* low = take(s, op, issue, o.a, o.expect_a, 0, &poison)
    cdef const uint8_t* high = take(s, op, issue, o.a, o.expect_a, 1, &poison)
    # Landing ends the cycle before the map may be used.
    cdef int64_t ready = s.now + o.latency - o.skew
    cdef Pending* p
    cdef int i
    check_poison(s, op, o.a, poison)
    if m.ready < ready:
        m.ready, m.op = ready, op
    if ready <= s.now:
        ready = s.now + 1
    i = pending_new(s, LAND, ready - 1) if ready - 1 > s.now else -1
    if i < 0:
        join_2(m.lanes, low, high, s.lanes)
        return
    p = &s.pending[i]
    p.op, p.issue, p.target = op, issue, o.queue - s.first_sxm
    if s.values:
        p.buf = buffer_new(s)
        join_2(<uint16_t*> buffer_of(s, p.buf), low, high, s.lanes)


cdef void land_map(State* s, Pending* p) noexcept nogil:
    if s.values:
        memcpy(s.maps[p.target].lanes, buffer_of(s, p.buf), 2 * s.lanes)


cdef void do_permute(State* s, int op, uint8_t* out, const uint8_t* a) noexcept nogil:
    cdef Map* m = &s.maps[s.ops[op].queue - s.first_sxm]
    if s.values:
        gather_lanes(out, a, m.lanes, s.lanes)


cdef void check_map(State* s, int op) noexcept nogil:
    cdef Map* m = &s.maps[s.ops[op].queue - s.first_sxm]
    if m.ready == FAR_PAST:
        hazard(s, MAP_MISSING, op, -1, -1, s.ops[op].column, 0, 0)
    elif s.now < m.ready:
        hazard(s, MAP_EARLY, op, m.op, -1, s.ops[op].column, m.ready, 0)


cdef void do_transpose(State* s, int op, int issue) noexcept nogil:
    """16 streams in, 16 out, four at a time."""
    cdef const Op* o = &s.ops[op]
    cdef const uint8_t* data[16]
    cdef uint64_t poison = 0
    cdef Pending* p
    cdef uint8_t* out
    cdef int i, j, l, block
    for i in range(16):
        data[i] = take(s, op, issue, o.a, o.expect_a, i, &poison)
    check_poison(s, op, o.a, poison)
    for j in range(0, 16, 4):
        p = result_new(s, op, issue, s.now + o.latency - o.skew, 4, PLANES)
        p.target = j
        if not s.values:
            continue
        out = buffer_of(s, p.buf)
        for i in range(4):
            for block in range(s.superlanes):
                for l in range(16):
                    out[i * s.lanes + 16 * block + l] = data[l][16 * block + i + j]


cdef void do_sxm(State* s, int op, int issue, int64_t amount) noexcept nogil:
    cdef const Op* o = &s.ops[op]
    cdef const uint8_t* a
    cdef const uint8_t* b = s.zeros
    cdef const uint8_t* c = s.zeros
    cdef uint8_t* out
    cdef uint64_t poison = 0, mask = 0
    cdef Pending* p
    cdef int k
    if o.code == OP_TRANSPOSE:
        do_transpose(s, op, issue)
        return
    if o.code == OP_SETMAP:
        do_setmap(s, op, issue)
        return
    if o.code == OP_PERMUTE:
        check_map(s, op)
    p = result_new(s, op, issue, s.now + o.latency - o.skew, o.width, PLANES)
    if o.code == OP_CHOOSE:
        c = take(s, op, issue, o.c, o.expect_c, 0, &mask)
        check_poison(s, op, o.c, mask)
    for k in range(o.width):
        a = take(s, op, issue, o.a, o.expect_a, k, &poison)
        if o.code == OP_CHOOSE:
            b = take(s, op, issue, o.b, o.expect_b, k, &poison)
        if not s.values:
            continue
        out = buffer_of(s, p.buf) + k * s.lanes
        if o.code == OP_SHIFT:
            shift_lanes(out, a, <int> amount, o.wrap, s.lanes)
        elif o.code == OP_ROTATE:
            rotate_lanes(out, a, <int> amount, s.block, s.lanes)
        elif o.code == OP_BROADCAST:
            memset(out, a[amount], s.lanes)
        elif o.code == OP_CHOOSE:
            choose_lanes(out, c, a, b, s.lanes)
        elif o.code == OP_PERMUTE:
            do_permute(s, op, out, a)
        elif o.code == OP_DISTRIBUTE:
            distribute_lanes(out, a, s.entries + 16 * o.entries, s.block, s.lanes)
    if o.code == OP_BROADCAST:
        poison &= <uint64_t> 1 << (amount // s.block)
    check_poison(s, op, o.a, poison)
