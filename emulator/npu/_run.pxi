# The machine's loop: scalar units dispatch, pipes work off their queues, events wake them.
# Part of _engine.pyx.

cdef enum:
    MOST_STEPS = 2000000000   # scalar instructions of a run, so that an endless loop ends

cdef void send(
    Machine* m, int64_t time, int kind, Sub* s, Pipe* p, int x, int y) noexcept nogil:
    if agenda_push(&m.agenda, time, kind, s, p, x, y):
        fault(m, FAULT_MEMORY, s, -1, -1, 0, 0, 0)


cdef void wake_pipe(Machine* m, Sub* s, Pipe* p, int64_t time) noexcept nogil:
    if p.wake != time:
        p.wake = time
        send(m, time, EV_PIPE, s, p, 0, 0)


cdef void wake_scalar(Machine* m, Sub* s, const Pipe* cause, int64_t charged) noexcept nogil:
    """The scalar unit goes on: up to `charged` it waited for the cause, then for the flag's way."""
    charge(&s.pipes[PIPE_SCALAR], charged, cause)
    account(&s.pipes[PIPE_SCALAR], m.now, R_FLAG)
    s.state = S_RUN
    send(m, m.now, EV_SCALAR, s, &s.pipes[PIPE_SCALAR], 0, 0)


# ---- dispatch ------------------------------------------------------------------------------------

cdef void capture(Sub* s, const Op* o, Pending* q) noexcept nogil:
    """The operands of a pipe's instruction, as they are now."""
    cdef int i
    cdef int64_t* x = q.x
    cdef int64_t* r = s.x
    if o.code == OP_LOAD or o.code == OP_STORE:
        x[0], x[1], x[2], x[3] = r[o.dst], r[o.src], r[o.n], r[o.rows]
        x[4], x[5], x[6], x[7] = r[o.src_pitch], r[o.dst_pitch], r[o.planes], r[o.src_plane]
        x[8] = r[o.dst_plane]
        if o.code == OP_LOAD:
            x[9], x[10], x[11] = r[o.cols], r[o.high], r[o.pad]
    elif o.code == OP_LOAD0:
        x[0], x[1], x[2], x[3], x[4] = r[o.dst], r[o.src], r[o.rows], r[o.cols], r[o.pitch]
    elif o.code == OP_MMAD:
        x[0], x[1], x[2], x[3], x[4], x[5] = r[o.dst], r[o.a], r[o.b], r[o.m], r[o.n], r[o.k]
        x[6] = r[o.bias - 1] if o.bias else -1
        x[7], x[8] = r[o.ascale], r[o.bscale]
    elif o.code == OP_FIX:
        x[0], x[1], x[2], x[3] = r[o.dst], r[o.src], r[o.m], r[o.n]
        x[4], x[5], x[7] = r[o.src_pitch], r[o.dst_pitch], r[o.sub]
        x[6] = 0 if o.scale else -1
        x[8] = r[o.scale - 1] if o.scale else 0
    elif o.code == OP_VCALL:
        for i in range(o.count):
            x[i] = r[(o.first + i) & 31]
        x[CAPTURED - 1] = value_of(r, o.threads, o.threads_kind)
    else:
        q.id = value_of(r, o.id, o.id_kind)


cdef bint id_fits(Machine* m, Sub* s, int op, const Op* o, int64_t id) noexcept nogil:
    if 0 <= id < (COUNTED if o.code == OP_XSET or o.code == OP_XWAIT else EVENTS):
        return True
    fault(m, FAULT_SCOPE, s, op, -1, id, 0, 0)
    return False


cdef bint at_rest(Sub* s, int64_t* latest, Pipe** last) noexcept nogil:
    """Whether no pipe has anything to do; when the last result is there and whose it is."""
    cdef int i
    cdef Pipe* p
    latest[0] = 0
    for i in range(1, PIPES):
        p = &s.pipes[i]
        if p.count or p.state != P_FREE or p.arrived < p.asked or p.signal_count:
            return False
        if p.done_at > latest[0]:
            latest[0] = p.done_at
            last[0] = p
    return True


cdef void settle(Machine* m, Sub* s) noexcept nogil:
    """A pipe ran empty: the scalar unit may wait for just that."""
    cdef int64_t latest
    cdef Pipe* last = &s.pipes[PIPE_SCALAR]
    cdef int i
    if s.state != S_ENDING and s.state != S_BARRIER:
        return
    if not at_rest(s, &latest, &last):
        return
    if latest > m.now:
        send(m, latest, EV_DONE, s, last, 0, 0)
        return
    for i in range(1, PIPES):
        join(&s.pipes[PIPE_SCALAR].clock, &s.pipes[i].clock)
    s.learned += 1
    if s.state == S_BARRIER:
        s.pc += 1
        wake_scalar(m, s, last, m.now)
    else:
        s.state = S_DONE
        s.ended = m.now
        block_part_done(m, s)


# ---- pipes ---------------------------------------------------------------------------------------

cdef bint control(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    """Flags and barriers at the head of a pipe; False: it has to wait."""
    cdef int me = <int> (p - s.pipes), id = <int> q.id
    if o.code == OP_WAIT_FLAG:
        if s.flag[o.src][me][id] != F_HIGH:
            p.state, p.from_pipe, p.flag_id = P_FLAG, o.src, id
            return False
        lower(s, o.src, me, id, &p.clock)
    elif o.code == OP_SET_FLAG:
        return signal(m, s, p, q.op, False, o.dst, id)
    elif o.code == OP_XSET:
        return signal(m, s, p, q.op, True, o.scope, id)
    elif o.code == OP_XWAIT:
        if not s.counter[id]:
            p.state, p.flag_id = P_COUNTED, id
            return False
        s.counter[id] -= 1
        join(&p.clock, &s.counter_clock[id])
    elif o.code == OP_BARRIER:
        if p.arrived < p.asked:
            return False
        if p.done_at > m.now:
            wake_pipe(m, s, p, p.done_at)
            return False
        account(p, m.now, p.tail)
    return True


cdef bint unit_ready(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    """The hand-over of L0C between M and FIX; False: wait for the other pipe to begin."""
    cdef Region* r
    if o.code == OP_MMAD and o.unit != UNIT_OFF:
        if units_waited_for(s, o, q):
            p.state = P_UNIT_TAKEN
            return False
        charge(p, m.now, &s.pipes[PIPE_FIX])
        join(&p.clock, &s.pipes[PIPE_FIX].clock)
    elif o.code == OP_FIX and o.unit:
        r = region_of(s, q.x[1], q.x[1] + 1)
        if r == NULL or r.state != 1:
            p.state = P_UNIT_SET
            return False
        charge(p, m.now, &s.pipes[PIPE_M])
        join(&p.clock, &s.pipes[PIPE_M].clock)
    return True


cdef void execute(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    cdef int64_t before = p.busy
    p.clock.at[p.slot] += 1
    p.issued += 1
    if o.code == OP_LOAD:
        run_load(m, s, p, o, q)
    elif o.code == OP_STORE:
        run_store(m, s, p, o, q)
    elif o.code == OP_LOAD0:
        run_load0(m, s, p, o, q)
    elif o.code == OP_MMAD:
        run_mmad(m, s, p, o, q)
        if o.unit == UNIT_SET:
            wake_pipe(m, s, &s.pipes[PIPE_FIX], m.now)
    elif o.code == OP_FIX:
        run_fix(m, s, p, o, q)
        if o.unit:
            wake_pipe(m, s, &s.pipes[PIPE_M], m.now)
    elif o.code == OP_VCALL:
        if m.functions[o.fn].simt:
            bring_up_all(m)
        else:
            bring_up(m, s)
        run_vcall(m, s, p, o, q)
    used(m, q.op, p.busy - before)


cdef inline void used(Machine* m, int op, int64_t busy) noexcept nogil:
    """An instruction issued; its first cycle, its last, what it took."""
    cdef Use* u = &m.uses[op]
    if not u.issued:
        u.first = m.now
    u.last = m.now
    u.issued += 1
    u.busy += busy


cdef void pump(Machine* m, Sub* s, Pipe* p) noexcept nogil:
    """Work off the pipe's queue as far as it goes now."""
    cdef Pending* q
    cdef const Op* o
    cdef Pipe* scalar = &s.pipes[PIPE_SCALAR]
    while p.count and not m.stop:
        if p.state == P_FLAG or p.state == P_COUNTED or p.state >= P_MEMORY:
            return
        if m.now < p.free_at:
            wake_pipe(m, s, p, p.free_at)
            return
        q = &p.ring[p.head]
        if q.at > m.now:
            wake_pipe(m, s, p, q.at)
            return
        o = &m.ops[q.op]
        p.current = q.op
        if p.accounted < q.at:
            charge(p, q.at, scalar)
        if q.news:
            join(&p.clock, &p.clocks[p.head])
        p.state = P_FREE
        if OP_SET_FLAG <= o.code <= OP_XWAIT:
            if not control(m, s, p, o, q):
                return
            used(m, q.op, 0)
        else:
            if p.asked - p.arrived >= REQUESTS - 1 or not unit_ready(m, s, p, o, q):
                return
            execute(m, s, p, o, q)
        p.head = p.head + 1 if p.head + 1 < p.capacity else 0
        p.count -= 1
        if s.state == S_QUEUE and s.wait_pipe == <int> (p - s.pipes):
            wake_scalar(m, s, p, m.now)
    if not p.count and not m.stop:
        settle(m, s)


# ---- scalar unit ---------------------------------------------------------------------------------

cdef bint may_dispatch(Sub* s, const Op* o) noexcept nogil:
    """Whether nothing but the scalar unit itself decides what becomes of an instruction that it will
    hand over later: there is room even now, and its flag exists."""
    cdef const Pipe* p = &s.pipes[o.pipe]
    cdef int64_t id
    if o.pipe == PIPE_SCALAR or p.count == p.capacity:
        return False
    if o.code == OP_BARRIER:
        return o.which != BARRIER_ALL
    if OP_SET_FLAG <= o.code <= OP_XWAIT:
        id = value_of(s.x, o.id, o.id_kind)
        return 0 <= id < (COUNTED if o.code == OP_XSET or o.code == OP_XWAIT else EVENTS)
    return True


cdef bint dispatch(Machine* m, Sub* s, int op, int64_t t) noexcept nogil:
    """Hand an instruction to its pipe at `t`, now or later; False: the queue is full."""
    cdef const Op* o = &m.ops[op]
    cdef Pipe* p = &s.pipes[o.pipe]
    cdef Pending* q
    cdef int place
    if p.count == p.capacity:
        s.state, s.wait_pipe, s.blocked = S_QUEUE, o.pipe, m.now
        return False
    place = p.head + p.count
    if place >= p.capacity:
        place -= p.capacity
    q = &p.ring[place]
    capture(s, o, q)
    if OP_SET_FLAG <= o.code <= OP_XWAIT and o.code != OP_BARRIER:
        if not id_fits(m, s, op, o, q.id):
            return False
    q.op, q.at, q.news = op, t, p.told != s.learned
    if q.news:
        p.clocks[place] = s.pipes[PIPE_SCALAR].clock
        p.told = s.learned
    p.count += 1
    if p.count == 1:
        wake_pipe(m, s, p, t)
    return True


cdef bint scalar_control(Machine* m, Sub* s, int op) noexcept nogil:
    """Flags of the scalar unit itself, barriers, memory, the end; False: it waits (or is done)."""
    cdef const Op* o = &m.ops[op]
    cdef Pipe* p = &s.pipes[PIPE_SCALAR]
    cdef int64_t id = value_of(s.x, o.id, o.id_kind), address
    cdef uint8_t* at
    cdef int size
    if o.code == OP_SET_FLAG or o.code == OP_XSET or o.code == OP_WAIT_FLAG or o.code == OP_XWAIT:
        if not id_fits(m, s, op, o, id):
            return False
    if o.code == OP_SET_FLAG:
        signal(m, s, p, op, False, o.dst, <int> id)
    elif o.code == OP_XSET:
        signal(m, s, p, op, True, o.scope, <int> id)
    elif o.code == OP_WAIT_FLAG:
        if s.flag[o.src][PIPE_SCALAR][id] != F_HIGH:
            s.state, s.wait_pipe, s.wait_id, s.blocked = S_FLAG, o.src, <int> id, m.now
            return False
        lower(s, o.src, PIPE_SCALAR, <int> id, &p.clock)
    elif o.code == OP_XWAIT:
        if not s.counter[id]:
            s.state, s.wait_id, s.blocked = S_COUNTED, <int> id, m.now
            s.pc += 1     # whoever counts up takes the count for us
            return False
        s.counter[id] -= 1
        join(&p.clock, &s.counter_clock[id])
        s.learned += 1
    elif o.code == OP_BARRIER:
        if o.which == BARRIER_ALL:
            s.state, s.blocked = S_BARRIER, m.now
            settle(m, s)
            return False
    elif o.code == OP_SR:
        if o.dst:
            s.x[o.dst] = special(m, s, o.which)
    elif o.code == OP_LD or o.code == OP_ST:
        address = s.x[o.base] + o.offset
        size = scalar_bytes(o.width) if o.code == OP_LD else 1 << (o.width - 1)
        p.clock.at[p.slot] += 1
        s.learned += 1
        if o.space == SPACE_GM:
            if not read_only(m, <uint64_t> address):
                bring_up_all(m)
            note_global(m, s, p, o.code == OP_ST, address, size, 1, 0, op)
            at = global_row(m, s, <uint64_t> address, size, o.code == OP_ST, op)
        else:
            bring_up(m, s)
            at = local(m, s, SPACE_UB, address, size, 1, 0, o.code == OP_ST, op, p.slot, &p.clock)
        if o.code == OP_LD:
            if o.dst:
                s.x[o.dst] = load_scalar(at, o.width)
        elif at != NULL:
            memcpy(at, &s.x[o.a], size)
    elif o.code == OP_END:
        s.state, s.blocked = S_ENDING, m.now
        settle(m, s)
        return False
    return not m.stop


cdef int compute(Machine* m, Sub* s, int64_t* t) noexcept nogil:
    """Steps of the scalar unit that nobody else sees, up to the first other word: its row, or -1 after
    a fault. A branch that is taken costs its latency, one that is not a cycle."""
    cdef const Step* steps = &m.scalars[s.first_row]
    cdef Use* uses = &m.uses[s.first_row]
    cdef int32_t pc = s.pc, next_, words = s.end_row - s.first_row
    cdef int64_t time = t[0], now = m.now, taken = m.steps
    cdef int64_t* x = s.x
    while True:
        if not 0 <= pc < words:
            fault(m, FAULT_TARGET, s, min(s.first_row + pc, s.end_row - 1), -1, pc, 0, 0)
            return -1
        taken += 1
        if taken > MOST_STEPS:
            fault(m, FAULT_STEPS, s, s.first_row + pc, -1, MOST_STEPS, 0, 0)
            return -1
        if not steps[pc].code:
            s.pc, t[0], m.steps = pc, time, taken
            return s.first_row + pc
        # What it takes is added up at the end.
        if not uses[pc].issued:
            uses[pc].first = now
        uses[pc].last = now
        uses[pc].issued += 1
        if steps[pc].code <= OP_CMP:
            alu(&steps[pc], x)
            time += steps[pc].latency
            pc += 1
        else:
            next_ = branch(&steps[pc], x, pc)
            time += 1 if next_ == pc + 1 else steps[pc].latency
            pc = next_


cdef void run_scalar(Machine* m, Sub* s) noexcept nogil:
    """Go on from the current word until something must wait for its time, or for others."""
    cdef Pipe* p = &s.pipes[PIPE_SCALAR]
    cdef int64_t t = m.now
    cdef int op
    cdef const Op* o
    while not m.stop:
        op = compute(m, s, &t)
        if op < 0:
            return
        o = &m.ops[op]
        p.current = op
        if t > m.now:
            account(p, t, R_BUSY)
            if may_dispatch(s, o):  # its pipe takes it at its time
                dispatch(m, s, op, t)
                t += 1
                s.pc += 1
                continue
            # What follows others can see, or they decide about it: it happens at its time.
            send(m, t, EV_SCALAR, s, p, 0, 0)
            return
        if o.pipe != PIPE_SCALAR and not (o.code == OP_BARRIER and o.which == BARRIER_ALL):
            if not dispatch(m, s, op, t):
                return
            t += 1
        else:
            used(m, op, 1)
            if not scalar_control(m, s, op):
                return
            t += o.latency if OP_SR <= o.code <= OP_ST else 1
        s.pc += 1


# ---- blocks --------------------------------------------------------------------------------------

cdef void start_part(Machine* m, Sub* s, int block) noexcept nogil:
    """A sub-core begins a block with everything forgotten."""
    cdef int i
    cdef bint fresh
    cdef Pipe* p
    fresh = s.block < 0     # and so are its memories: pages that nobody touches cost nothing
    s.block, s.pc, s.state = block, 0, S_RUN
    memset(s.x, 0, sizeof(s.x))
    memset(s.flag, 0, sizeof(s.flag))
    memset(s.counter, 0, sizeof(s.counter))
    memset(s.regions, 0, sizeof(s.regions))
    for i in range(SPACES):
        forget_accesses(&s.accesses[i])
        if s.spaces[i].valid != NULL and not fresh:
            memset(s.spaces[i].valid, 0, s.spaces[i].size)
        if s.spaces[i].whole != NULL and not fresh:
            memset(s.spaces[i].whole, 0, s.spaces[i].size // LINE + 1)
    for i in range(PIPES):
        p = &s.pipes[i]
        account(p, m.now, R_IDLE)
        p.free_at = p.done_at = m.now
        p.wake = -1
    send(m, m.now, EV_SCALAR, s, &s.pipes[PIPE_SCALAR], 0, 0)


cdef void start_block(Machine* m, int first_sub) noexcept nogil:
    """The next block, on the sub-core or on the whole core that begins at `first_sub`."""
    cdef int i, block = m.next_block
    if block == m.blocks:
        return
    m.next_block += 1
    for i in range(m.per_core if m.kind == 0 else 1):
        start_part(m, &m.subs[first_sub + i], block)


cdef void block_part_done(Machine* m, Sub* s) noexcept nogil:
    cdef int first = <int> (s - m.subs), i
    if m.kind == 0:
        first -= 1 + s.number if s.vector else 0
        for i in range(m.per_core):
            if m.subs[first + i].state != S_DONE:
                return
    m.finished += 1
    m.end = max(m.end, m.now)
    send(m, m.now, EV_BLOCK, &m.subs[first], &m.subs[first].pipes[PIPE_SCALAR], 0, 0)


cdef void deadlock(Machine* m) noexcept nogil:
    """Nobody can go on: name everyone who waits. a: pipe, b: kind of waiting, c: for which flag."""
    cdef int i, j
    cdef Sub* s
    cdef Pipe* p
    for i in range(m.sub_count):
        s = &m.subs[i]
        p = &s.pipes[PIPE_SCALAR]
        if s.state == S_FLAG:
            fault(m, FAULT_DEADLOCK, s, p.current, i * PIPES, PIPE_SCALAR, P_FLAG,
                  s.wait_pipe << 8 | s.wait_id)
        elif s.state == S_COUNTED:
            fault(m, FAULT_DEADLOCK, s, p.current, i * PIPES, PIPE_SCALAR, P_COUNTED, s.wait_id)
        for j in range(1, PIPES):
            p = &s.pipes[j]
            if p.count and p.state != P_FREE:
                fault(m, FAULT_DEADLOCK, s, p.current, i * PIPES + j, j, p.state,
                      p.from_pipe << 8 | p.flag_id)
    m.stop = 1
    if not m.fault_count:
        fault(m, FAULT_DEADLOCK, NULL, -1, -1, 0, P_FREE, 0)


cdef void run_machine(Machine* m) noexcept nogil:
    """From where it stands to the last block's end, to a fault, or until the tapes are full."""
    cdef Event e
    cdef Sub* s
    cdef Pipe* p
    cdef int i, j
    for i in range(0 if m.started else m.sub_count):
        s = &m.subs[i]
        if m.kind == 0 or m.kind == 1:
            if s.vector == 0:
                start_block(m, i)
        elif s.vector:
            start_block(m, i)
    m.started = 1
    while (m.agenda.count or m.calendar.count) and not m.stop and not m.pause:
        if m.calendar.count and not (
                m.agenda.count and next_cycle(&m.agenda) < m.calendar.first):
            serve_calendar(m)
            continue
        e = agenda_pop(&m.agenda)
        m.now = e.time
        s, p = e.sub, e.pipe
        if e.kind == EV_PIPE:
            if p.wake == e.time:
                p.wake = -1
            pump(m, s, p)
        elif e.kind == EV_SCALAR:
            if s.state == S_RUN:
                run_scalar(m, s)
        elif e.kind == EV_ISSUED:
            gm_issued(m, s, p, e.y)
        elif e.kind == EV_ARRIVED:
            gm_arrived(m, s, p, e.x, e.y)
        elif e.kind == EV_PIECE:
            gm_piece(m, s, p)
        elif e.kind == EV_SET:
            flag_set(m, s, <int> (p - s.pipes), e.x, e.y)
        elif e.kind == EV_COUNT:
            counted(m, s, p, e.x, e.y)
        elif e.kind == EV_DONE:
            settle(m, s)
        elif e.kind == EV_BLOCK:
            start_block(m, <int> (s - m.subs))
        elif e.kind == EV_SIMT:
            simt_window(m, s, p)
    if m.pause and not m.stop:
        return
    if m.finished < m.blocks and not m.stop:
        deadlock(m)
    if m.stop:
        return
    for i in range(m.sub_count):
        for j in range(PIPES):
            account(&m.subs[i].pipes[j], m.end, R_IDLE)
