# When every burst issues: queues are walked one after another, not cycle by cycle.

# Where the walk of a queue stands.
cdef struct Walker:
    int op, end
    int64_t now          # the queue is free from here on
    int64_t woken        # cycle of the last resumption, -1 once an issue has seen it
    int64_t parked       # cycle of a sync without a notify, -1 = not in sync

# An op at its first cycle.
cdef struct Start:
    int64_t cycle, woken
    int op, pad


cdef void log_groups(State* s, const Op* o, int op, int64_t t) noexcept nogil:
    """The rows of a timeline: one for each group of repetitions."""
    cdef int64_t j
    cdef BurstRow* row
    for j in range(o.n2 + 1):
        row = <BurstRow*> vector_add(&s.bursts)
        if row == NULL:
            give_up(s, "memory")
            return
        row.cycle, row.count, row.interval, row.op, row.hold = t + j * o.d2, o.n + 1, o.d, op, o.hold


cdef int walk_queue(State* s, Walker* w, Vector* notifies) noexcept nogil:
    """Walk until the queue ends or parks."""
    cdef const Op* o
    cdef Start* start
    cdef SyncIssue* sync
    cdef int64_t* notify
    cdef int64_t t
    while w.op < w.end:
        o = &s.ops[w.op]
        t = w.now + o.wait
        if o.code == OP_SYNC:
            sync = <SyncIssue*> vector_add(&s.syncs)
            if sync == NULL:
                return give_up(s, "memory")
            sync.cycle, sync.op, sync.pad = t, w.op, 0
            s.last = max(s.last, t)
            w.parked = t
            w.op += 1
            return 1
        if o.code == OP_NOTIFY:
            notify = <int64_t*> vector_add(notifies)
            if notify == NULL:
                return give_up(s, "memory")
            notify[0] = t
        start = <Start*> vector_add(&s.starts)
        if start == NULL:
            return give_up(s, "memory")
        start.cycle, start.woken, start.op, start.pad = t, w.woken, w.op, 0
        w.woken = -1
        log_groups(s, o, w.op, t)
        w.now = t + o.n2 * o.d2 + o.n * o.d + o.hold
        s.last = max(s.last, w.now - 1)
        w.op += 1
    return 1


cdef int walk(State* s, Walker* queue) noexcept nogil:
    """All queues. A parked one goes on when the earliest notify at or after its cycle is known."""
    cdef Vector notifies
    cdef int64_t i, notify, found
    cdef int q, parked = 1
    vector_init(&notifies, 8)
    for q in range(s.queues):
        walk_queue(s, &queue[q], &notifies)
    notify = -1
    while parked and s.why == NULL:
        found = -1
        for i in range(notifies.count):  # the next cycle of a notify
            if ints(&notifies)[i] > notify and (found < 0 or ints(&notifies)[i] < found):
                found = ints(&notifies)[i]
        parked = 0
        for q in range(s.queues):
            parked |= queue[q].parked >= 0
        if found < 0 or not parked:
            break
        notify = found
        for q in range(s.queues):
            if 0 <= queue[q].parked <= notify:
                queue[q].now = queue[q].woken = notify + s.sync_latency
                queue[q].parked = -1
                walk_queue(s, &queue[q], &notifies)
    free(notifies.data)
    if parked:
        return give_up(s, "a queue waits for ever")
    return 1


cdef int add_seg(State* s, int op, int64_t t0, int64_t n, int64_t d, int64_t value, int64_t stride,
                 int64_t woken, int* prev) noexcept nogil:
    cdef Seg* g = <Seg*> vector_add(&s.segs)
    if g == NULL or s.segs.count > 0x7ffffff0:
        return give_up(s, "memory")
    memset(g, 0, sizeof(Seg))
    g.t0, g.n, g.d, g.value, g.stride, g.woken = t0, n, d if n > 1 else 1, value, stride, woken
    g.op, g.queue, g.prev = op, s.ops[op].queue, prev[0]
    g.stream_seg = g.blockers = g.bank_seg[0] = g.bank_seg[1] = g.unit_seg[0] = g.unit_seg[1] = -1
    g.bank_first[0] = g.bank_first[1] = -1
    g.install_seg = g.load = g.load_scales = -1
    g.xs = -1
    prev[0] = <int> (s.segs.count - 1)
    return 1


cdef int add_split(State* s, int op, int64_t t0, int64_t n, int64_t d, int64_t value, int64_t stride,
                   int64_t woken, int* prev, const int64_t* cut, int64_t cuts) noexcept nogil:
    """A segment, ended at every cycle of `cut` (ascending): issues at that cycle belong before."""
    cdef int64_t low = 0, high = cuts, middle, part
    while low < high:  # the first cut at or after t0
        middle = (low + high) >> 1
        if cut[middle] < t0:
            low = middle + 1
        else:
            high = middle
    while low < cuts and cut[low] < t0 + (n - 1) * d:
        part = (cut[low] - t0) // d + 1
        add_seg(s, op, t0, part, d, value, stride, woken, prev)
        t0, n, value, woken = t0 + part * d, n - part, value + part * stride, -1
        while low < cuts and cut[low] < t0:
            low += 1
    return add_seg(s, op, t0, n, d, value, stride, woken, prev)


cdef int expand(State* s, Start* start, int* prev, const int64_t* cut, int64_t cuts) noexcept nogil:
    """The segments of one op: a segment for all groups where they continue each other."""
    cdef const Op* o = &s.ops[start.op]
    cdef int64_t n = o.n + 1, groups = o.n2 + 1, d = o.d, d2 = o.d2, stride = o.stride
    cdef int64_t stride2 = o.stride2, i, j, woken = start.woken
    if n == 1:
        n, d, stride, groups = groups, d2, stride2, 1
    elif groups > 1 and d2 == n * d and stride2 == n * stride:
        n, groups = n * groups, 1
    for j in range(groups):
        if o.code == OP_LW or o.code == OP_LWS or o.code == OP_IW:
            for i in range(n):
                add_seg(s, start.op, start.cycle + j * d2 + i * d, 1, 1, 0, 0, woken, prev)
                woken = -1
            continue
        add_split(s, start.op, start.cycle + j * d2, n, d, o.value + j * stride2, stride, woken,
                  prev, cut, cuts)
        woken = -1
    return s.why == NULL


cdef int expand_all(State* s, int* prev) noexcept nogil:
    """Segments of all queues; products end where their plane's weights change.

    Queues of one plane stand together in `starts` only by chance, so installs come first.
    """
    cdef Start* start
    cdef const Op* o
    cdef int64_t i, k, n, d
    cdef int plane, p
    cdef Vector* cuts = <Vector*> calloc(s.planes, sizeof(Vector))
    if cuts == NULL:
        return give_up(s, "memory")
    for p in range(s.planes):
        vector_init(&cuts[p], 8)
    for i in range(s.starts.count):
        start = <Start*> s.starts.data + i
        o = &s.ops[start.op]
        if o.code != OP_IW:
            continue
        plane = (o.queue - s.first_mxm) >> 1
        for k in range((o.n + 1) * (o.n2 + 1)):
            d = start.cycle + k % (o.n + 1) * o.d + k // (o.n + 1) * o.d2
            for p in range(plane // s.group * s.group, plane // s.group * s.group + s.group):
                add_ints(&cuts[p], 1, d)
    if s.group > 1:
        for p in range(s.planes):
            sort_ints(ints(&cuts[p]), cuts[p].count)
    for i in range(s.starts.count):
        start = <Start*> s.starts.data + i
        o = &s.ops[start.op]
        if o.code == OP_MM:
            plane = (o.queue - s.first_mxm) >> 1
            expand(s, start, &prev[o.queue], ints(&cuts[plane]), cuts[plane].count)
        else:
            expand(s, start, &prev[o.queue], NULL, 0)
    for p in range(s.planes):
        free(cuts[p].data)
    free(cuts)
    return s.why == NULL


cdef void sort_ints(int64_t* x, int64_t n) noexcept nogil:
    """Two ascending runs interleaved, nearly sorted: insertion from the right."""
    cdef int64_t i, j, v
    for i in range(1, n):
        v = x[i]
        j = i
        while j > 0 and x[j - 1] > v:
            x[j] = x[j - 1]
            j -= 1
        x[j] = v
