# Who takes whose value. A value on a stream keeps its diagonal, so a burst of values is an interval
# of diagonals, and its reader the nearest drive upstream on them.

cdef int[16] TYPE_BYTES


cdef inline int width_of(const Op* o) noexcept nogil:
    """Bytes a lane of an instruction's result."""
    if OP_LT <= o.code <= OP_NE:
        return 1
    if o.code == OP_CAST:
        return TYPE_BYTES[o.to]
    if o.code == OP_RUNMAX or o.code == OP_RUNSUM or o.code == OP_MM:
        return 4
    if OP_ADD <= o.code <= OP_RUNSUM:
        return TYPE_BYTES[o.type]
    if OP_SHIFT <= o.code <= OP_TRANSPOSE:
        return o.width
    return 1


cdef inline int is_scaled(int type_) noexcept nogil:
    return type_ == TYPE_MXFP8 or type_ == TYPE_MXFP4


cdef inline int16_t place_of(State* s, int stream, int column) noexcept nogil:
    return <int16_t> (s.columns - 1 - column if stream & 32 else column)


cdef void take(State* s, int seg, int operand, int stream, int width, int64_t first, int64_t n) noexcept nogil:
    """Operand streams `stream` .. +width-1, n times from the cycle `first` on (n < 0: as issued)."""
    cdef Seg* g = seg_at(s, seg)
    cdef Take* t
    cdef int k
    for k in range(width):
        t = <Take*> vector_add(&s.takes)
        if t == NULL:
            give_up(s, "memory")
            return
        t.seg, t.op, t.operand, t.part, t.width = seg, g.op, operand, k, width
        t.stream = stream + k
        t.place = place_of(s, stream, s.ops[g.op].column)
        t.diag = first - t.place
        t.d = g.d if n < 0 else 1
        t.n = g.n if n < 0 else n
        s.stream_taken += t.n


cdef void take_operand(State* s, int seg, int operand, int raw, int width) noexcept nogil:
    """An operand of the VXM: a stream, a chained ALU or a number."""
    cdef Seg* g = seg_at(s, seg)
    cdef Take* t
    if raw >> 6 == KIND_IMM:
        return
    if raw >> 6 != KIND_ALU:
        take(s, seg, operand, raw & 63, width, g.t0, -1)
        return
    t = <Take*> vector_add(&s.takes)
    if t == NULL:
        give_up(s, "memory")
        return
    t.seg, t.op, t.operand, t.part, t.width = seg, g.op, operand, 0, width
    t.stream = STREAMS + (raw & 63)
    # A chain is a stream of one register: what is delivered in a cycle is taken in it.
    t.place, t.diag, t.d, t.n = 1, g.t0, g.d, g.n


cdef void drive(State* s, int seg, int stream, int width) noexcept nogil:
    cdef Seg* g = seg_at(s, seg)
    cdef const Op* o = &s.ops[g.op]
    cdef Drive* t
    cdef int k
    for k in range(width):
        t = <Drive*> vector_add(&s.drives)
        if t == NULL:
            give_up(s, "memory")
            return
        t.seg, t.op, t.part, t.stream, t.width = seg, g.op, k, stream + k, width_of(o)
        t.place = place_of(s, stream, o.column) if stream < STREAMS else 0
        t.diag, t.d, t.n = g.t0 + o.latency - t.place, g.d, g.n
        t.last, t.seen, t.chain = -1, -1, -1
        if stream < STREAMS:
            s.stream_driven += t.n


cdef void fed(State* s, int64_t before) noexcept nogil:
    s.fed += s.stream_taken - before


# What a queue's instructions leave behind for the next of them.
cdef struct Left:
    int lanes            # of the last lw, 0 = none
    int running          # type + 1 of an ALU's running value, 0 = none
    int mapped           # whether setmap ever loaded a map,
    int64_t ready        # which works from this cycle on


cdef int connect(State* s, int seg, Left* left) noexcept nogil:
    """What a segment takes and drives; `left` is of its queue."""
    cdef Seg* g = seg_at(s, seg)
    cdef const Op* o = &s.ops[g.op]
    cdef int code = o.code, j, n, bytes_ = TYPE_BYTES[o.type]
    cdef int64_t before = s.stream_taken
    s.last = max(s.last, end_of(g))
    if code == OP_READ:
        drive(s, seg, o.dst, 1)
        s.sram_read += g.n
    elif code == OP_WRITE:
        take(s, seg, 0, o.a, 1, g.t0, -1)
        s.sram_written += g.n
        s.last = max(s.last, end_of(g) + o.latency)
        return 1
    elif OP_ADD <= code <= OP_RUNSUM:
        if code == OP_SELECT:
            take_operand(s, seg, 2, o.c, 1)
        take_operand(s, seg, 0, o.a, bytes_)
        if OP_ADD <= code <= OP_MIN or OP_LT <= code <= OP_NE or code == OP_SELECT:
            take_operand(s, seg, 1, o.b, bytes_)
        if code == OP_RUNMAX or code == OP_RUNSUM:
            if not o.start and left.running != o.type + 1:
                return give_up(s, "a running value that was not started")
            left.running = o.type + 1
            if not o.emit:
                return 1
        drive(s, seg, STREAMS + o.queue - s.first_vxm, 1)
        if o.dst >> 6 != KIND_NONE:
            n = <int> s.drives.count
            drive(s, seg, o.dst & 63, width_of(o))
            for j in range(n, <int> s.drives.count):
                (<Drive*> s.drives.data + j).chain = n - 1
    elif code == OP_MM:
        take(s, seg, 0, o.a, bytes_ + is_scaled(o.type), g.t0, -1)
        fed(s, before)
        if s.first_mm < 0 or g.t0 < s.first_mm:
            s.first_mm = g.t0
        s.last_mm = max(s.last_mm, end_of(g))
        if not o.emit:
            return 1
        drive(s, seg, o.dst & 63, 4)
    elif code == OP_LW:
        for j in range(16):
            n = o.rows - j // bytes_
            if n > 0:
                take(s, seg, 0, o.a + j, 1, g.t0, (n + 16 // bytes_ - 1) // (16 // bytes_))
                (<Take*> s.takes.data + s.takes.count - 1).part = j
        fed(s, before)
        left.lanes = o.lanes
        if s.first_lw < 0 or g.t0 < s.first_lw:
            s.first_lw = g.t0
        s.last_lw = max(s.last_lw, g.t0 + o.hold - 1)
        return 1
    elif code == OP_LWS:
        if left.lanes == 0:
            return give_up(s, "lws without lw")
        take(s, seg, 0, o.a, min(10, (left.lanes + 31) // 32), g.t0, -1)
        fed(s, before)
        return 1
    elif code == OP_SETMAP:
        take(s, seg, 0, o.a, 2, g.t0, -1)
        left.mapped, left.ready = 1, end_of(g) + o.latency
        return 1
    elif code == OP_TRANSPOSE:
        take(s, seg, 0, o.a, 16, g.t0, -1)
        drive(s, seg, o.dst, 16)
    elif OP_SHIFT <= code <= OP_TRANSPOSE:
        if code == OP_PERMUTE and (not left.mapped or g.t0 < left.ready):
            return give_up(s, "a permutation that is not there")
        if code == OP_CHOOSE:
            take(s, seg, 2, o.c, 1, g.t0, -1)
            take(s, seg, 1, o.b, o.width, g.t0, -1)
        take(s, seg, 0, o.a, o.width, g.t0, -1)
        drive(s, seg, o.dst, o.width)
    else:
        return 1
    s.last = max(s.last, end_of(g) + o.latency)
    return 1


# ---- matching ------------------------------------------------------------------------------------


cdef inline int64_t end_diag(Drive* p) noexcept nogil:
    return p.diag + (p.n - 1) * p.d


cdef inline int64_t index_of(Drive* p, int64_t diag) noexcept nogil:
    """Which value of p has that diagonal; -1 when none."""
    cdef int64_t off = diag - p.diag
    if off < 0 or off > (p.n - 1) * p.d or off % p.d:
        return -1
    return off // p.d


cdef int collides(Drive* p, Drive* q) noexcept nogil:
    """Whether two drives at one place put two values in one register and cycle."""
    cdef int64_t i
    cdef Drive* few = p if p.n < q.n else q
    cdef Drive* many = q if p.n < q.n else p
    if p.place != q.place:
        return 0
    for i in range(few.n):
        if index_of(many, few.diag + i * few.d) >= 0:
            return 1
    return 0


cdef int link(State* s, Take* t, Drive* p, int64_t i0, int64_t n, int64_t k0, int64_t ks) noexcept nogil:
    """Values k0, k0 + ks, ... of p go to t's vectors i0 .. i0 + n - 1."""
    cdef const Op* o = &s.ops[t.op]
    cdef int expect, i
    cdef int64_t* seen
    cdef Link* l
    if t.stream < STREAMS:
        expect = o.expect_c if t.operand == 2 else o.expect_b if t.operand == 1 else o.expect_a
        if expect >= 0 and not expected(s, expect, t.part, p.op):
            return give_up(s, "another producer than meant")
    elif t.width != p.width:
        return give_up(s, "a chain of another width")
    l = <Link*> vector_add(&s.links)
    if l == NULL:
        return give_up(s, "memory")
    l.i0, l.n, l.k0, l.ks, l.seg, l.producer = i0, n, k0, ks, t.seg, p.seg
    l.operand, l.part, l.source, l.chained = t.operand, t.part, p.part, t.stream >= STREAMS
    if n == p.n:
        p.last = max(p.last, t.place)
        return 1
    if p.seen < 0:
        p.seen = add_ints(&s.seen, p.n, 0)
        if p.seen < 0:
            return give_up(s, "memory")
    seen = ints(&s.seen) + p.seen
    for i in range(n):
        seen[k0 + i * ks] = max(seen[k0 + i * ks], t.place + 1)
    return 1


cdef int64_t beyond(Drive* drives, const int64_t* order, int64_t low, int64_t high, int64_t end,
                    int64_t near) noexcept nogil:
    """The first of `order[low:high]` whose diagonals are beyond `end`; it is often near `near`."""
    cdef int64_t middle, step = 1
    if low <= near < high and drives[order[near]].diag <= end:
        low = near + 1
        while low + step < high and drives[order[low + step]].diag <= end:
            low += step + 1
            step *= 2
        high = min(high, low + step)
    elif near < high:
        high = max(near, low)
        while high - step > low and drives[order[high - step]].diag > end:
            high -= step
            step *= 2
        low = max(low, high - step)
    while low < high:
        middle = (low + high) >> 1
        if drives[order[middle]].diag <= end:
            low = middle + 1
        else:
            high = middle
    return low


cdef int match(State* s, Take* t, Drive* drives, const int64_t* order, int64_t low, int64_t high,
               const int64_t* reach, int64_t* near_) noexcept nogil:
    """Producers of one take among `order[low:high]`: drives of its stream by diagonal.

    `reach[i]` is the last diagonal of any drive up to the i-th; near_: where to look first, and
    then where that was.
    """
    cdef Drive* near[CANDIDATES]
    cdef int64_t[CANDIDATES] at
    cdef int64_t end = t.diag + (t.n - 1) * t.d, i, j, k, begun = 0, first = 0
    cdef int count = 0, c, best, before = -1
    cdef Drive* p
    near_[0] = beyond(drives, order, low, high, end, near_[0])
    j = near_[0] - 1
    best = -1
    while j >= low and reach[j] >= t.diag:
        p = &drives[order[j]]
        j -= 1
        if p.place >= t.place or end_diag(p) < t.diag:
            continue
        if count == CANDIDATES:
            return give_up(s, "too many producers on one stream")
        near[count] = p
        if best < 0 or p.place > near[best].place:
            best = count
        count += 1
    if best < 0:
        return give_up(s, "an operand that is not there")
    p = near[best]
    k = index_of(p, t.diag)
    if k >= 0 and (t.n == 1 or (t.d % p.d == 0 and k + (t.n - 1) * (t.d // p.d) < p.n)):
        return link(s, t, p, 0, t.n, k, t.d // p.d if t.n > 1 else 1)
    for i in range(t.n):  # one by one, in runs
        best = -1
        for c in range(count):
            at[c] = index_of(near[c], t.diag + i * t.d)
            if at[c] >= 0 and (best < 0 or near[c].place > near[best].place):
                best = c
        if best < 0:
            return give_up(s, "an operand that is not there")
        if best == before and i > begun and (
                i == begun + 1 or at[best] == first + (i - begun) * (t.d // near[best].d)):
            continue
        if before >= 0:
            link(s, t, near[before], begun, i - begun, first,
                 t.d // near[before].d if i - begun > 1 else 1)
        before, begun, first = best, i, at[best]
    return link(s, t, near[before], begun, t.n - begun, first,
                t.d // near[before].d if t.n - begun > 1 else 1)


cdef int all_seen(State* s, Drive* p, Drive* drives) noexcept nogil:
    """Whether somebody reads every value: one that nobody reads is a warning."""
    cdef int64_t i
    cdef Drive* chain = &drives[p.chain] if p.chain >= 0 else NULL
    if p.last >= 0 or (chain != NULL and chain.last >= 0):
        return 1
    for i in range(p.n):
        if (p.seen < 0 or ints(&s.seen)[p.seen + i] == 0) and (
                chain == NULL or chain.seen < 0 or ints(&s.seen)[chain.seen + i] == 0):
            return give_up(s, "a value that nobody reads")
    return 1


cdef int match_all(State* s, const int64_t* takes, const int64_t* drives, int64_t* reach) noexcept nogil:
    """All streams; `takes` and `drives` are numbers sorted by stream and diagonal."""
    cdef Take* t = <Take*> s.takes.data
    cdef Drive* p = <Drive*> s.drives.data
    cdef int64_t n = s.drives.count, i, j, low = 0, high = 0, at = 0, near
    cdef int stream
    for stream in range(PLACES):
        low = high
        while high < n and p[drives[high]].stream == stream:
            i = drives[high]
            reach[high] = end_diag(&p[i])
            if high > low:
                j = high - 1
                while j >= low and reach[j] >= p[i].diag:
                    if collides(&p[drives[j]], &p[i]):
                        return give_up(s, "two values in one register")
                    j -= 1
                reach[high] = max(reach[high], reach[high - 1])
            high += 1
        near = low
        while at < s.takes.count and t[takes[at]].stream == stream:
            if not match(s, &t[takes[at]], p, drives, low, high, reach, &near):
                return 0
            at += 1
        if s.why != NULL:
            return 0
    for i in range(n):
        # What an ALU delivers to a stream need not be taken by a chain too.
        if p[i].stream >= STREAMS and s.ops[p[i].op].dst >> 6 != KIND_NONE:
            continue
        if not all_seen(s, &p[i], p):
            return 0
    return 1


cdef int group_links(State* s) noexcept nogil:
    """Links by consumer, in a stable order; `first_link` and `links` of every segment."""
    cdef Link* old = <Link*> s.links.data
    cdef Link* new_ = <Link*> malloc((s.links.count + 1) * sizeof(Link))
    cdef int64_t i, at = 0
    cdef Seg* g
    if new_ == NULL:
        return give_up(s, "memory")
    for i in range(s.links.count):
        seg_at(s, old[i].seg).links += 1
    for i in range(s.segs.count):
        g = seg_at(s, i)
        g.first_link = <int> at
        at += g.links
        g.links = 0
    for i in range(s.links.count):
        g = seg_at(s, old[i].seg)
        new_[g.first_link + g.links] = old[i]
        g.links += 1
    free(s.links.data)
    s.links.data = <char*> new_
    s.links.capacity = s.links.count + 1
    return 1


def sorted_places(n, stream, diag):
    """Numbers 0 .. n-1 by stream, then diagonal."""
    return np.argsort((stream << 48) + diag + (1 << 40), kind="stable")
