# Flags, counted flags and barriers. Part of _engine.pyx.

cdef void raise_signal(Machine* m, Sub* s, Pipe* p, const Signal* g) noexcept nogil:
    """The flag is up, a moment before its effect reaches the other side."""
    cdef int from_ = <int> (p - s.pipes)
    if g.counted:
        send(m, m.now + m.spec.cross_flag, EV_COUNT, s, p, g.to, g.id)
    else:
        s.flag_time[from_][g.to][g.id] = m.now
        send(m, m.now + m.spec.flag, EV_SET, s, p, g.to, g.id)


cdef bint signal(Machine* m, Sub* s, Pipe* p, int op, bint counted, int to, int id) noexcept nogil:
    """Raise a flag once everything the pipe has issued is complete; False: later, ask again."""
    cdef int from_ = <int> (p - s.pipes)
    cdef Signal g
    g.need, g.counted, g.to, g.id = p.asked, counted, to, id
    if p.signal_count == SIGNALS:
        return False
    if not counted:
        if s.flag[from_][to][id] != F_LOW:
            fault(m, FAULT_FLAG_SET, s, op, -1, from_, to, id)
            if m.stop:
                return True
        s.flag[from_][to][id] = F_COMING
        s.flag_clock[from_][to][id] = p.clock
    if p.arrived >= p.asked and p.signal_count == 0:
        raise_signal(m, s, p, &g)
    else:
        p.signals[(p.signal_head + p.signal_count) & (SIGNALS - 1)] = g
        p.signal_count += 1
    return True


cdef void flag_set(Machine* m, Sub* s, int from_, int to, int id) noexcept nogil:
    """A flag's effect arrives: wake who waits for it."""
    cdef Pipe* p = &s.pipes[to]
    s.flag[from_][to][id] = F_HIGH
    if to == PIPE_SCALAR:
        if s.state == S_FLAG and s.wait_pipe == from_ and s.wait_id == id:
            wake_scalar(m, s, &s.pipes[from_], s.flag_time[from_][to][id])
    elif p.state == P_FLAG and p.from_pipe == from_ and p.flag_id == id:
        charge(p, s.flag_time[from_][to][id], &s.pipes[from_])
        account(p, m.now, R_FLAG)
        p.state = P_FREE
        pump(m, s, p)


cdef void lower(Sub* s, int from_, int to, int id, Clock* clock) noexcept nogil:
    s.flag[from_][to][id] = F_LOW
    join(clock, &s.flag_clock[from_][to][id])
    if to == PIPE_SCALAR:
        s.learned += 1


cdef Sub* sibling(Machine* m, Sub* s, int scope) noexcept nogil:
    """The sub-core of the same block that a scope names, or NULL."""
    cdef Sub* cube = s - (1 + s.number if s.vector else 0)
    if scope == SCOPE_CUBE:
        return cube if m.kind != 2 else NULL
    scope -= SCOPE_VECTOR0
    if m.kind == 1 or scope >= m.per_core - 1 or (m.kind == 2 and scope != s.number):
        return NULL
    return cube + 1 + scope


cdef void count_up(Machine* m, Sub* target, int id, Sub* by, Pipe* pipe) noexcept nogil:
    cdef Pipe* p
    cdef int i
    target.counter[id] = min(target.counter[id] + 1, <int32_t> COUNT_MOST)
    target.counter_from[id] = <int32_t> (by - m.subs) * PIPES + <int32_t> (pipe - by.pipes)
    target.counter_time[id] = m.now - m.spec.cross_flag
    if by.core == target.core:
        join(&target.counter_clock[id], &pipe.clock)
    if target.state == S_COUNTED and target.wait_id == id:
        target.counter[id] -= 1
        join(&target.pipes[PIPE_SCALAR].clock, &target.counter_clock[id])
        target.learned += 1
        wake_scalar(m, target, pipe, target.counter_time[id])
        return
    for i in range(1, PIPES):
        p = &target.pipes[i]
        if p.state == P_COUNTED and p.flag_id == id:
            charge(p, target.counter_time[id], pipe)
            account(p, m.now, R_FLAG)
            p.state = P_FREE
            pump(m, target, p)
            return


cdef void counted(Machine* m, Sub* s, Pipe* p, int scope, int id) noexcept nogil:
    """A counted flag's effect arrives at its scope."""
    cdef int i
    cdef Sub* t
    if scope == SCOPE_GRID:
        m.meeting[s.vector][id] += 1
        if m.meeting[s.vector][id] < m.blocks * members(m, s.vector):
            return
        m.meeting[s.vector][id] = 0
        for i in range(m.sub_count):
            t = &m.subs[i]
            if t.vector == s.vector and t.state != S_IDLE and t.state != S_DONE:
                t.epoch += 1
                count_up(m, t, id, s, p)
        return
    for i in range(SCOPE_CUBE, SCOPE_VECTORS):
        if scope == i or (scope == SCOPE_VECTORS and i != SCOPE_CUBE):
            t = sibling(m, s, i)
            if t != NULL:
                count_up(m, t, id, s, p)


cdef int members(Machine* m, int vector) noexcept nogil:
    """Sub-cores of a kind that a block has."""
    if m.kind == 0:
        return m.per_core - 1 if vector else 1
    return 1
