# When warps issue: readiness of their next words, choice by the schedulers, the account of why
# nothing issued. Part of _engine.pyx.
#
# Nothing is counted down. Each scoreboard entry holds the cycle in which it is ready; a warp's next
# word is ready with the last of those it needs, and is put into a ring of wake-up masks at that
# cycle. Cycles in which no scheduler can issue are skipped.


cdef void next_word(Machine* m, Simt* f, int warp) noexcept nogil:
    """When the warp's next word has what it needs, as far as that is known."""
    cdef Warp* w = &f.warp[warp]
    cdef const Uop* o = &f.uops[w.pc]
    cdef const Score* scores = f.score + warp * (QS + f.registers)
    cdef const Score* score
    cdef int64_t ready = w.base
    cdef int i, why = w.base_why, late = 0, pending = 0
    cdef uint64_t bit = <uint64_t> 1 << warp
    for i in range(o.sources):
        score = &scores[o.source[i]]
        pending |= score.pending
        if score.ready > ready:
            ready, why, late = score.ready, score.why, score.late
    if pending:
        w.state = WARP_AWAITS
        return
    w.state, w.next = WARP_READY, o
    w.ready, w.why, w.late = ready, why, late
    if not f.next_takes[o.takes] & bit:
        for i in range(TAKES):
            f.next_takes[i] &= ~bit
        f.next_takes[o.takes] |= bit
    if ready >= f.end:
        f.parked |= bit
        return
    if o.takes == TAKES_MEMORY:
        fetch_access(m, f, warp, o)
    wake_warp(f, warp)


cdef inline void wake_warp(Simt* f, int warp) noexcept nogil:
    """The warp becomes eligible at its time, which lies in the window."""
    cdef int at = <int> (f.warp[warp].ready & (RING - 1))
    f.wake[at] |= <uint64_t> 1 << warp
    f.wakes[at >> 6] |= <uint64_t> 1 << (at & 63)


cdef inline int64_t next_wake(const Simt* f, int64_t time) noexcept nogil:
    """The first cycle from `time` to the window's end in which a warp wakes."""
    cdef int at = <int> (time & (RING - 1)), word = at >> 6, i
    cdef uint64_t bits = f.wakes[word] >> (at & 63)
    if bits:
        return min(time + __builtin_ctzll(bits), f.end)
    for i in range(1, WAKE_WORDS + 1):
        bits = f.wakes[(word + i) & (WAKE_WORDS - 1)]
        if bits:
            return min(time + 64 * i - (at & 63) + __builtin_ctzll(bits), f.end)
    return f.end


cdef inline void blame(int64_t* whys, int why, int late, int64_t from_, int64_t until, int64_t ready) noexcept nogil:
    """Put the cycles [from_, until) of a wait that ended at `ready` on an account; its last `late`
    cycles are a bank conflict's."""
    cdef int64_t split = max(min(ready - late, until), from_)
    if until > from_:
        whys[why] += split - from_
        whys[W_CONFLICT] += until - split


cdef inline void account_issue(
    Machine* m, Simt* f, const Warp* w, const Uop* o, int scheduler, int64_t time) noexcept nogil:
    """A scheduler issues: why it did not before, and what the word waited for."""
    cdef int64_t from_ = f.issued[scheduler] + 1, ready
    cdef int unit = W_NOT_SELECTED
    cdef int64_t* stalls = m.stalls + o.row * WHYS
    if o.takes == TAKES_SPECIAL:
        unit = W_MATH
    elif o.takes != TAKES_NOTHING:
        unit = f.busy_why[o.takes]
    f.whys[W_SELECTED] += 1
    f.issued[scheduler] = time
    ready = max(w.ready, from_)
    if w.late:
        if time > from_:
            blame(f.whys, w.why, w.late, from_, ready, w.ready)
        blame(stalls, w.why, w.late, w.issued + 1, w.ready, w.ready)
    else:
        f.whys[w.why] += ready - from_
        stalls[w.why] += w.ready - w.issued - 1
    if time > from_:
        f.whys[unit] += time - ready
    stalls[unit] += time - w.ready


cdef inline void issue_warp(Machine* m, Sub* s, int warp, int scheduler, int64_t time) noexcept nogil:
    """One word of a warp: when, then what."""
    cdef Simt* f = s.simt
    cdef Warp* w = &f.warp[warp]
    cdef const Uop* o = w.next
    cdef uint32_t mask = w.active
    m.steps += 1
    if m.steps > MOST_STEPS:
        fault(m, FAULT_STEPS, s, o.row, -1, MOST_STEPS, 0, 0)
        return
    account_issue(m, f, w, o, scheduler, time)
    used(m, o.row, 1)
    w.issued = time
    if f.last <= time:
        f.last = time + 1
    if o.guard:
        mask &= w.q[o.guard_q] if o.guard == 1 else ~w.q[o.guard_q]
    if o.code == OP_TBRA and (not mask or mask == w.active):    # all of its threads go one way
        w.base, w.base_why = time + max(o.latency, 1), W_BRANCH
        w.pc = o.target if mask else w.pc + 1
    elif OP_TPUSH <= o.code <= OP_TBAR:
        control_word(m, s, warp, o, mask, time)
        if o.code == OP_TBAR or m.stop:
            return
    else:
        w.base, w.base_why = time + 1, W_FIXED
        w.pc += 1
        if mask and o.takes == TAKES_SPECIAL:
            f.special_until[scheduler] = time + o.interval
        if not mask:
            pass
        elif o.takes == TAKES_MEMORY or o.takes == TAKES_UB:
            memory_word(m, s, warp, o, mask, time)
        else:
            arithmetic_word(m, s, warp, o, mask, time)
    if not w.active or w.pc >= f.words:
        settle_warp(m, s, warp, time)
        if w.state != WARP_READY:
            return
    next_word(m, f, warp)


cdef inline int pick_warp(uint64_t eligible, int turn) noexcept nogil:
    """Round robin: the first eligible warp from `turn` on."""
    cdef uint64_t behind = eligible & (~<uint64_t> 0 << turn)
    return __builtin_ctzll(behind if behind else eligible)


cdef inline int64_t next_chance(Machine* m, Simt* f, int64_t time) noexcept nogil:
    """The first cycle from `time` on in which some warp may issue."""
    cdef int64_t soonest
    cdef int k
    cdef uint64_t c = f.eligible
    if not c:
        return next_wake(f, time)
    if c & f.next_takes[TAKES_NOTHING]:
        return time
    soonest = next_wake(f, time)
    if c & f.next_takes[TAKES_MEMORY]:
        soonest = min(soonest, max(time, f.busy_until[TAKES_MEMORY]))
    if c & f.next_takes[TAKES_UB]:
        soonest = min(soonest, max(time, f.busy_until[TAKES_UB]))
    if c & f.next_takes[TAKES_SPECIAL]:
        for k in range(m.simt_spec.schedulers):
            if c & f.next_takes[TAKES_SPECIAL] & f.mine[k]:
                soonest = min(soonest, max(time, f.special_until[k]))
    return soonest


cdef uint64_t with_free_unit(Machine* m, const Simt* f, uint64_t warps, int64_t time) noexcept nogil:
    """Those of the warps whose next word finds what it occupies free."""
    cdef uint64_t busy = 0
    cdef int k
    if f.busy_until[TAKES_MEMORY] > time:
        busy = f.next_takes[TAKES_MEMORY]
    if f.busy_until[TAKES_UB] > time:
        busy |= f.next_takes[TAKES_UB]
    if warps & f.next_takes[TAKES_SPECIAL]:
        for k in range(m.simt_spec.schedulers):
            if f.special_until[k] > time:
                busy |= f.next_takes[TAKES_SPECIAL] & f.mine[k]
    return warps & ~busy


cdef inline int first_scheduler(Machine* m, const Simt* f, uint64_t warps, int64_t time) noexcept nogil:
    """The scheduler that issues first among those that have one of the warps: the first choice
    goes round."""
    cdef int count = m.simt_spec.schedulers, k
    k = <int> (time & (count - 1)) if not count & (count - 1) else <int> (time % count)
    while True:
        k = k + 1 if k + 1 < count else 0
        if warps & f.mine[k]:
            return k


cdef void issue_window(Machine* m, Sub* s, int64_t start) noexcept nogil:
    """Issue from cycle `start` to the window's end. Each scheduler issues one word in a cycle, if
    it can; mostly there is only one warp that can issue."""
    cdef Simt* f = s.simt
    cdef int64_t time = next_chance(m, f, start)
    cdef int at, warp, k
    cdef uint64_t can
    while time < f.end:
        f.time = m.now = time
        at = <int> (time & (RING - 1))
        if f.wake[at]:
            f.wakes[at >> 6] &= ~(<uint64_t> 1 << (at & 63))
            f.eligible |= f.wake[at]
            f.wake[at] = 0
        can = f.eligible
        if can & ~f.next_takes[TAKES_NOTHING]:
            can = with_free_unit(m, f, can, time)
        while can:
            if can & (can - 1):
                k = first_scheduler(m, f, can, time)
                warp = pick_warp(can & f.mine[k], f.turn[k])
                can &= ~f.mine[k]
            else:
                warp = __builtin_ctzll(can)
                k = m.simt_spec.scheduler[warp]
                can = 0
            f.turn[k] = (warp + 1) & 63
            f.eligible &= ~(<uint64_t> 1 << warp)
            issue_warp(m, s, warp, k, time)
            if m.stop:
                return
            if can & ~f.next_takes[TAKES_NOTHING]:
                can = with_free_unit(m, f, can, time)
        time = next_chance(m, f, time + 1)
