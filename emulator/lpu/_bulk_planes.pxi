# Weights in time: which load a product uses, and whether every step of it is legal. The rules are
# those of _mxm.pxi; here they hold for whole segments.

cdef int64_t FAR = 1152921504606846976   # 2^60, no cycle of any run

cdef struct Buffer:
    int type, planes, follower, rows, lanes, fresh, scaled
    int load, scales     # segments
    int64_t complete

cdef struct PlaneState:
    Buffer buffers[2]
    int active
    int64_t installed, weights_end, mm_start, mm_end
    int8_t* acc_type     # per accumulator row: 0 never started, 1 fp32, 2 int32
    # for accounts, by what the plane's own queues did
    int install_seg, before_seg, loaded_seg
    int used_seg[2]
    int used_queue[2]


cdef inline Buffer* shadow(PlaneState* p) noexcept nogil:
    return &p.buffers[1 - p.active]


cdef int claim(State* s, PlaneState* p, Seg* g, int seg, int planes, int products) noexcept nogil:
    """The plane's queue is in use, the partner's too where they are a pair."""
    cdef const Op* o = &s.ops[g.op]
    cdef int k
    cdef int64_t end = end_of(g) + o.hold
    for k in range(planes):
        if products:
            if p[k].mm_end > g.t0:
                return give_up(s, "a plane in use by its partner")
            p[k].mm_start, p[k].mm_end = g.t0, end
        else:
            if p[k].weights_end > g.t0:
                return give_up(s, "a plane in use by its partner")
            p[k].weights_end = end
    for k in range(o.planes):
        if p[k].used_queue[products] >= 0 and p[k].used_queue[products] != g.queue:
            g.unit_seg[k] = p[k].used_seg[products]
        p[k].used_queue[products], p[k].used_seg[products] = g.queue, seg
    return 1


cdef void load(State* s, PlaneState* p, Seg* g, int seg) noexcept nogil:
    cdef const Op* o = &s.ops[g.op]
    cdef Buffer* w = shadow(p)
    cdef Buffer* other
    if w.follower:
        shadow(p - 1).fresh = 0
        shadow(p - 1).complete = FAR
    if w.planes == 2 and not w.follower and o.planes == 1:
        shadow(p + 1).follower = 0
        shadow(p + 1).fresh = 0
    w.type, w.planes, w.follower = o.type, o.planes, 0
    w.rows, w.lanes, w.fresh, w.scaled, w.load, w.scales = o.rows, o.lanes, 1, 0, seg, -1
    w.complete = g.t0 + o.hold + o.latency
    if o.planes == 2:
        other = shadow(p + 1)
        other.type, other.planes, other.follower, other.fresh = o.type, 2, 1, 1


cdef int install(State* s, PlaneState* p, Seg* g) noexcept nogil:
    cdef Buffer* w = shadow(p)
    cdef int pair = w.planes == 2 and not w.follower
    if w.follower or not w.fresh or w.complete > g.t0 or (is_scaled(w.type) and not w.scaled):
        return give_up(s, "weights that are not complete")
    if pair and not (shadow(p + 1).follower and shadow(p + 1).fresh):
        return give_up(s, "weights that are not complete")
    if p.mm_start <= g.t0 < p.mm_end - 1:
        return give_up(s, "weights in use")
    w.fresh = 0
    p.active = 1 - p.active
    p.installed = g.t0
    if pair:
        shadow(p + 1).fresh = 0
        p[1].active = 1 - p[1].active
        p[1].installed = g.t0
    return 1


cdef int multiply(State* s, PlaneState* p, Seg* g) noexcept nogil:
    cdef const Op* o = &s.ops[g.op]
    cdef int now = p.installed == g.t0, form = 2 if o.type == TYPE_INT8 else 1
    cdef Buffer* w = &p.buffers[1 - p.active if now else p.active]
    cdef Buffer* second
    cdef int64_t i
    cdef int8_t* row
    if p.installed < g.t0 < p.installed + s.iw_latency:
        return give_up(s, "weights too early")
    if w.type != o.type or w.follower:
        return give_up(s, "other weights")
    if o.planes == 2:
        second = &p[1].buffers[1 - p[1].active if now else p[1].active]
        if not second.follower or second.type != o.type:
            return give_up(s, "other weights")
    g.load, g.load_scales = w.load, w.scales
    for i in range(g.n if g.stride else 1):
        row = &p.acc_type[g.value + i * g.stride]
        if not o.start and row[0] != form:
            return give_up(s, "an accumulator that was not started")
        row[0] = form
    return 1


cdef int plane_event(State* s, PlaneState* planes, int seg) noexcept nogil:
    cdef Seg* g = seg_at(s, seg)
    cdef const Op* o = &s.ops[g.op]
    cdef PlaneState* p = &planes[(o.queue - s.first_mxm) >> 1]
    cdef int both = o.planes
    if o.code == OP_MM:
        if not claim(s, p, g, seg, both, 1):
            return 0
        g.install_seg = p.install_seg
        if p.install_seg >= 0 and seg_at(s, p.install_seg).t0 == g.t0:
            g.install_seg = p.before_seg
        return multiply(s, p, g)
    if o.code == OP_IW:
        if shadow(p).planes == 2 and not shadow(p).follower:
            both = 2
        g.install_seg = p.loaded_seg
        p.before_seg, p.install_seg = p.install_seg, seg
        return claim(s, p, g, seg, both, 0) and install(s, p, g)
    if not claim(s, p, g, seg, both, 0):
        return 0
    p.loaded_seg = seg
    if o.code == OP_LW:
        load(s, p, g, seg)
        return 1
    if not shadow(p).fresh or shadow(p).complete > g.t0 or shadow(p).type != o.type:
        return give_up(s, "scales without weights")
    shadow(p).scaled, shadow(p).scales = 1, seg
    return 1


cdef int matrix(State* s, const int64_t* order, int64_t n) noexcept nogil:
    """All planes; `order` has the segments of their queues by time, then queue."""
    cdef PlaneState* planes = <PlaneState*> calloc(s.planes + 1, sizeof(PlaneState))
    cdef int8_t* acc = <int8_t*> calloc(s.planes, s.acc_rows)
    cdef int64_t i
    cdef int p, k, code
    if planes == NULL or acc == NULL:
        free(planes)
        free(acc)
        return give_up(s, "memory")
    for p in range(s.planes):
        planes[p].acc_type = acc + p * <int64_t> s.acc_rows
        planes[p].installed = planes[p].weights_end = NEVER
        planes[p].mm_start = planes[p].mm_end = NEVER
        planes[p].install_seg = planes[p].before_seg = planes[p].loaded_seg = -1
        for k in range(2):
            planes[p].used_queue[k] = -1
            planes[p].buffers[k].type = planes[p].buffers[k].load = planes[p].buffers[k].scales = -1
            planes[p].buffers[k].complete = FAR
    for i in range(n):
        code = s.ops[seg_at(s, order[i]).op].code
        if (code == OP_MM or code == OP_LW or code == OP_LWS or code == OP_IW) and (
                not plane_event(s, planes, <int> order[i])):
            break
    free(planes)
    free(acc)
    return s.why == NULL
