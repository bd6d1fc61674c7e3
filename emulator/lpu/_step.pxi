# One cycle: operands are taken and instructions issue, then results reach streams, then words land.


cdef void execute(State* s, int op, int issue, int step, int64_t value, int64_t by) noexcept nogil:
    """Take operands now. `value`: the strided operand of this repetition, `by` its advance."""
    cdef int code = s.ops[op].code
    if s.now > s.last:
        s.last = s.now
    if code == OP_WRITE:
        do_write(s, op, issue, value)
    elif OP_ADD <= code <= OP_RUNSUM:
        do_vxm(s, op, issue, by)
    elif code == OP_MM:
        do_mm(s, op, issue, value)
    elif code == OP_LW:
        do_lw(s, op, issue, step)
    elif code == OP_LWS:
        do_lws(s, op, issue)
    elif code == OP_GATHER:
        do_gather(s, op, issue, value)
    elif code == OP_SCATTER:
        do_scatter(s, op, issue, value)
    else:
        do_sxm(s, op, issue, value)


cdef void issue_op(State* s, int q, int op, int64_t by) noexcept nogil:
    """An instruction of queue q issues, `by` added to its strided operand."""
    cdef const Op* o = &s.ops[op]
    cdef int issue = log_issue(s, op, 0), i
    cdef int64_t value = o.value + by
    if s.failed:
        return
    if s.now + o.hold - 1 > s.last:
        s.last = s.now + o.hold - 1
    if o.code == OP_READ:
        do_read(s, op, issue, value)
        return
    if o.code == OP_WRITE:
        use_port(s, op, issue, bank_bits(s, value))
    elif o.code == OP_NOTIFY:
        s.notify = 1
        return
    elif o.code == OP_MM:
        claim(s, op, o.hold, 1)
        s.last_mm = s.now
        if s.first_mm < 0:
            s.first_mm = s.now
    elif o.code == OP_LW or o.code == OP_LWS or o.code == OP_IW:
        claim(s, op, o.hold, 0)
        if o.code == OP_LW:
            s.last_lw = s.now + o.hold - 1
            if s.first_lw < 0:
                s.first_lw = s.now
        elif o.code == OP_IW:
            do_iw(s, op, issue)
            return
    if o.skew == 0:
        execute(s, op, issue, 0, value, by)
        return
    i = pending_new(s, EXECUTE, s.now + o.skew)
    s.pending[i].op, s.pending[i].issue, s.pending[i].step, s.pending[i].value = op, issue, 0, by


cdef void log_burst(State* s, int op) noexcept nogil:
    cdef BurstRow* row = <BurstRow*> vector_add(&s.log.bursts)
    if row == NULL:
        s.failed = 1
        return
    row.cycle, row.count, row.interval = s.now, s.ops[op].n + 1, s.ops[op].d
    row.op, row.hold = op, s.ops[op].hold


cdef void park(State* s, int q, int op) noexcept nogil:
    cdef SyncRow* row = <SyncRow*> vector_add(&s.log.syncs)
    log_issue(s, op, 0)
    if row == NULL:
        s.failed = 1
        return
    row.parked, row.resumed, row.queue, row.op = s.now, -1, q, op
    s.queue[q].parked = <int> s.log.syncs.count
    if s.now > s.last:
        s.last = s.now


cdef void step_queue(State* s, int q) noexcept nogil:
    """Issue what is due on queue q and find out when its next one is."""
    cdef Queue* u = &s.queue[q]
    cdef const Op* o = &s.ops[u.op]
    cdef int64_t following
    s.steps += 1
    if o.code == OP_SYNC:
        park(s, q, u.op)
        u.op += 1
        return
    if u.i == 0:
        if u.j == 0:
            u.start = s.now
        log_burst(s, u.op)
    issue_op(s, q, u.op, u.i * o.stride + u.j * o.stride2)
    if u.i < o.n:
        u.i += 1
        schedule_queue(s, q, s.now + o.d)
    elif u.j < o.n2:
        u.i = 0
        u.j += 1
        schedule_queue(s, q, u.start + u.j * o.d2)
    else:
        following = s.now + o.hold
        u.i = u.j = 0
        u.op += 1
        if u.op < u.end:
            schedule_queue(s, q, following + s.ops[u.op].wait)


cdef void release(State* s) noexcept nogil:
    """A notify: whoever is parked goes on a fixed latency later."""
    cdef int q
    cdef int64_t resumed = s.now + s.sync_latency
    cdef Queue* u
    s.notify = 0
    for q in range(s.queues):
        u = &s.queue[q]
        if not u.parked:
            continue
        (<SyncRow*> s.log.syncs.data)[u.parked - 1].resumed = resumed
        u.parked = 0
        if u.op < u.end:
            schedule_queue(s, q, resumed + s.ops[u.op].wait)


cdef void cycle(State* s) noexcept nogil:
    """Everything of cycle `now`."""
    cdef int slot = <int> (s.now & (s.ring - 1)), i, k, q
    cdef uint64_t bits
    cdef Pending row
    s.phase = <int> (s.now % s.columns)
    i = pending_take(s, EXECUTE)
    while i >= 0:
        row = s.pending[i]
        i = pending_done(s, i)
        execute(s, row.op, row.issue, row.step, s.ops[row.op].value + row.value, row.value)
    for k in range(s.queue_words):
        bits = s.due[slot * s.queue_words + k]
        s.due[slot * s.queue_words + k] = 0
        while bits:
            q = 64 * k + __builtin_ctzll(bits)
            bits &= bits - 1
            step_queue(s, q)
            if s.failed:
                return
    i = pending_take(s, DRIVE)
    while i >= 0:
        drive(s, &s.pending[i])
        s.last = max(s.last, s.now)
        i = pending_done(s, i)
    i = pending_take(s, LAND)
    while i >= 0:
        if s.ops[s.pending[i].op].code == OP_SETMAP:
            land_map(s, &s.pending[i])
        else:
            land(s, &s.pending[i])
            s.last = max(s.last, s.now)
        i = pending_done(s, i)
    if s.notify:
        release(s)
    s.busy[slot >> 6] &= ~(<uint64_t> 1 << (slot & 63))


cdef int run_some(State* s, int64_t steps) noexcept nogil:
    """Run about `steps` issues; 1 when the program has ended or must stop."""
    cdef int64_t until = s.steps + steps, at
    cdef int q
    while s.steps < until:
        at = next_cycle(s)
        if at < 0:
            for q in range(s.queues):
                if s.queue[q].parked:
                    hazard(s, DEADLOCK, s.queue[q].op - 1, -1, -1, -1, 0, 0)
            if not s.errors or s.warn:
                unread_at_end(s)
            return 1
        s.now = at
        cycle(s)
        s.now += 1
        if s.failed or (s.errors and not s.warn):
            return 1
    return 0
