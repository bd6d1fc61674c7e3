# SIMT functions: launch, run, end. Part of _engine.pyx.
#
# Read _simt_types.pxi (what there is), this, _simt_issue.pxi (when), _simt_control.pxi,
# _simt_registers.pxi and _simt_lanes.pxi (what), _simt_memory.pxi, _simt_cache.pxi, _simt_races.pxi.

cdef void arithmetic_word(
    Machine* m, Sub* s, int warp, const Uop* o, uint32_t mask, int64_t time) noexcept nogil:
    cdef Simt* f = s.simt
    cdef Score* score = f.score + warp * (QS + f.registers) + o.entry
    score.ready, score.why, score.late = time + o.latency, W_FIXED, 0
    if f.last < score.ready:
        f.last = score.ready
    if m.values or o.needed:
        word_value(m, s, warp, o, mask)


cdef void memory_word(
    Machine* m, Sub* s, int warp, const Uop* o, uint32_t mask, int64_t time) noexcept nogil:
    cdef Simt* f = s.simt
    cdef uint64_t[LANES] at
    cdef uint64_t first = 0
    cdef int passes, beats = 0
    cdef bint row = o.code != OP_TATOM and in_a_row(f, warp, o, mask, &first)
    row = row and not first & <uint64_t> (o.size - 1)
    if row and o.takes == TAKES_MEMORY and global_row_of_lanes(m, s, warp, o, first):
        begin_access(f, o, warp, time)
        lines_of_row(&f.lsu, first, LANES * o.size)
        start_access(m, s)
        return
    if row and o.takes == TAKES_UB and ub_row_of_lanes(m, s, warp, o, first):
        passes = beats = (LANES + m.simt_spec.ub_lanes - 1) // m.simt_spec.ub_lanes
        ub_time(f, o, warp, time, passes, beats)
        return
    if addresses(f, warp, o, mask, at):
        misaligned(m, s, warp, o, mask, at)
        return
    if o.takes == TAKES_MEMORY:
        begin_access(f, o, warp, time)
        lines_of_lanes(&f.lsu, o, mask, at)
        start_access(m, s)
        global_values(m, s, warp, o, mask, at)
        return
    if not ub_bounds(m, s, warp, o, mask, at):
        return
    passes = ub_passes(m, o, mask, at, &beats)
    ub_time(f, o, warp, time, passes, beats)
    if m.values:
        ub_values(m, s, warp, o, mask, at)


cdef void ub_time(Simt* f, const Uop* o, int warp, int64_t time, int passes, int beats) noexcept nogil:
    """UB is busy for the passes; what is loaded is there after the last."""
    cdef Score* score
    cdef int i
    f.busy_until[TAKES_UB] = time + passes
    f.busy_why[TAKES_UB] = W_CONFLICT if passes > beats else W_UB
    if o.dst >= 0:
        score = f.score + warp * (QS + f.registers) + QS + o.dst
        for i in range(o.regs):
            score[i].ready, score[i].why = time + o.latency + passes - 1, W_UB
            score[i].late = passes - beats
    f.last = max(f.last, time + o.latency + passes - 1)


# ---- launch and end ------------------------------------------------------------------------------

cdef int registers_of(Machine* m, int64_t threads) noexcept nogil:
    """Registers per thread of a launch; 0: the chip has no such launch."""
    cdef int i
    for i in range(m.simt_spec.sizes):
        if threads <= m.simt_spec.size_threads[i]:
            return m.simt_spec.size_registers[i]
    return 0


cdef bint simt_room(Machine* m, Sub* s) noexcept nogil:
    """What a sub-core needs for SIMT mode, made once."""
    cdef Simt* f = s.simt
    cdef SimtSpec* c = &m.simt_spec
    cdef int64_t words = s.spaces[SPACE_UB].size // 4, i, most = 0, scores = 0
    if f != NULL:
        return True
    f = s.simt = <Simt*> calloc(1, sizeof(Simt))
    if f == NULL:
        return False
    for i in range(c.sizes):
        most = max(most, (c.size_threads[i] + LANES - 1) // LANES * c.size_registers[i])
        scores = max(scores, (c.size_threads[i] + LANES - 1) // LANES * (QS + c.size_registers[i]))
    # What is written before it is read: a launch may need little of it.
    f.r = <uint32_t*> malloc(most * LANES * sizeof(uint32_t))
    f.file = <Register*> malloc(most * sizeof(Register))
    f.score = <Score*> malloc(scores * sizeof(Score))
    f.stack = <Meeting*> malloc(WARPS * c.depth * sizeof(Meeting))
    f.lines = <Line*> calloc(c.dcache_most // SECTOR + c.ways, sizeof(Line))
    f.tags = <uint64_t*> calloc(c.dcache_most // SECTOR + c.ways, sizeof(uint64_t))
    f.brings = <int16_t*> calloc(c.dcache_most // SECTOR + c.ways, sizeof(int16_t))
    f.ub_read = <uint64_t*> calloc(words // 64 + 1, sizeof(uint64_t))
    f.ub_written = <uint64_t*> calloc(words // 64 + 1, sizeof(uint64_t))
    f.core = s.core
    f.spare_waiter = -1
    return not (f.r == NULL or f.file == NULL or f.score == NULL or f.stack == NULL
                or f.lines == NULL or f.tags == NULL or f.brings == NULL
                or f.ub_read == NULL or f.ub_written == NULL)


cdef void free_simt(Simt* f, int64_t ub_size) noexcept nogil:
    if f == NULL:
        return
    free(f.r)
    free(f.file)
    free(f.score)
    free(f.stack)
    free(f.lines)
    free(f.tags)
    free(f.brings)
    free(f.ub_read)
    free(f.ub_written)
    free_stamps(f.ub_stamps, ub_size)
    free(f.waiters)
    free(f)


cdef bint may_launch(
    Machine* m, Sub* s, const Op* o, int op, const Function* fn, int64_t threads,
    int64_t dcache) noexcept nogil:
    """Whether the chip can run the launch; False after a fault."""
    cdef SimtSpec* c = &m.simt_spec
    cdef int available = registers_of(m, threads)
    if threads < 1 or threads > c.threads or not available:
        fault(m, FAULT_LAUNCH, s, op, -1, threads, c.threads, 0)
    elif fn.registers > available:
        fault(m, FAULT_REGISTERS, s, op, -1, fn.registers, available, threads)
    elif dcache < c.dcache_least or dcache > c.dcache_most or dcache > s.spaces[SPACE_UB].size:
        fault(m, FAULT_DCACHE, s, op, -1, dcache, c.dcache_least, c.dcache_most)
    elif not simt_room(m, s):
        fault(m, FAULT_MEMORY, s, op, -1, 0, 0, 0)
    else:
        return True
    return False


cdef void launch(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    """V begins a SIMT function; `simt_end` follows when its last thread is done."""
    cdef const Function* fn = &m.functions[o.fn]
    cdef int64_t threads = q.x[CAPTURED - 1], cache = <int64_t> o.dcache << 10
    cdef Simt* f
    cdef Access a
    cdef int i, left
    if not cache:
        cache = m.simt_spec.dcache_least
    if not may_launch(m, s, o, q.op, fn, threads, cache):
        return
    f = s.simt
    f.threads, f.warps = <int32_t> threads, <int32_t> ((threads + LANES - 1) // LANES)
    f.left, f.arrived, f.registers, f.row = f.warps, 0, max(fn.registers, 1), q.op
    f.uops, f.words = m.uops + fn.first, fn.end - fn.first
    f.started = f.time = m.now
    f.last, f.waiting, f.parked, f.end = m.now + m.simt_spec.launch, 0, 0, 0
    f.ub_size = s.spaces[SPACE_UB].size - cache
    f.sets = <int32_t> (cache // SECTOR // m.simt_spec.ways)
    memset(f.lines, 0, f.sets * m.simt_spec.ways * sizeof(Line))
    memset(f.tags, 0, f.sets * m.simt_spec.ways * sizeof(uint64_t))
    memset(f.file, 0, f.warps * f.registers * sizeof(Register))     # all regular, all 0
    memset(f.score, 0, f.warps * (QS + f.registers) * sizeof(Score))
    all_free(&f.mshr, m.simt_spec.mshrs)
    all_free(&f.write, m.simt_spec.writes)
    memset(f.busy_until, 0, sizeof(f.busy_until))
    memset(f.special_until, 0, sizeof(f.special_until))
    f.lsu.count = f.lsu.next = 0
    for i in range(16):
        f.u[i] = q.x[i] if i < o.count else 0
    for i in range(m.simt_spec.schedulers):
        f.issued[i], f.turn[i], f.mine[i] = m.now - 1, 0, 0
    f.eligible = 0
    for i in range(WARPS):
        f.mine[i % m.simt_spec.schedulers] |= <uint64_t> 1 << i
    f.interval = f.first_interval = new_interval(m, s)
    for i in range(f.warps):
        memset(&f.warp[i], 0, sizeof(Warp))
        memset(f.warp[i].regular, 255, sizeof(f.warp[i].regular))
        left = f.threads - i * LANES
        f.warp[i].active = 0xffffffffu if left >= LANES else (<uint32_t> 1 << left) - 1
        f.warp[i].done = ~f.warp[i].active
        f.warp[i].issued = m.now - 1
        f.warp[i].base, f.warp[i].base_why = m.now + m.simt_spec.launch, W_NONE
        settle_warp(m, s, i, m.now)
        if f.warp[i].state == WARP_READY:
            next_word(m, f, i)
    # The D-cache's part of UB is nobody else's meanwhile.
    a = access(f.ub_size, cache, 1, 0)
    a.slot, a.write, a.op, a.epoch = p.slot, 1, q.op, p.clock.at[p.slot]
    note_access(m, s, SPACE_UB, &a, q.op, &p.clock)
    if m.values:
        memset(s.spaces[SPACE_UB].valid + f.ub_size, 0, cache)
    p.state = P_FUNCTION
    send(m, m.now + m.simt_spec.launch, EV_SIMT, s, p, 0, 0)


cdef int64_t next_window(Simt* f) noexcept nogil:
    """When there is something to do again, as far as that is known."""
    cdef int64_t soonest = NEVER
    cdef uint64_t parked = f.parked
    cdef int i
    if f.waiting or f.lsu.next < f.lsu.count or f.eligible:
        return f.end
    while parked:
        i = __builtin_ctzll(parked)
        parked &= parked - 1
        soonest = min(soonest, f.warp[i].ready)
    return max(soonest, f.end) if f.left else max(f.last, f.end)


cdef inline void fetch_warp(const Simt* f, int warp) noexcept nogil:
    """Have the host's caches bring a warp's state: other sub-cores ran since it was last used."""
    cdef const char* at = <const char*> (f.score + warp * (QS + f.registers))
    cdef int i
    for i in range(0, (QS + f.registers) * <int> sizeof(Score), 64):
        __builtin_prefetch(at + i)
    __builtin_prefetch(f.file + warp * f.registers)


cdef inline void fetch_warps(const Simt* f) noexcept nogil:
    """Have the host's caches bring what the next sub-core's window will begin with."""
    cdef const char* at = <const char*> f.warp
    cdef int i
    for i in range(0, f.warps * <int> sizeof(Warp), 64):
        __builtin_prefetch(at + i)


cdef inline void fetch_register(const Simt* f, int warp, int reg) noexcept nogil:
    cdef const char* at
    if not is_regular(&f.warp[warp], reg):
        at = <const char*> f.file[warp * f.registers + reg].at
        __builtin_prefetch(at)
        __builtin_prefetch(at + HOST_LINE)


cdef inline void fetch_operands(const Simt* f, int warp, const Uop* o) noexcept nogil:
    """The same with the lanes that a warp's next word reads: what it waited for may lie in a tensor."""
    if OP_QAND <= o.code <= OP_QNOT or o.code == OP_TVOTE:
        return      # of predicates
    if o.a_kind == 0 and o.a >= 0:
        fetch_register(f, warp, o.a)
    if o.b_kind == 0 and o.b >= 0:
        fetch_register(f, warp, o.b)
    if o.c >= 0 and o.code == OP_TFMA:
        fetch_register(f, warp, o.c)


cdef void simt_window(Machine* m, Sub* s, Pipe* p) noexcept nogil:
    """Run ahead: as far as no answer of memory can make a difference."""
    cdef Simt* f = s.simt
    cdef int64_t start = m.now, next_
    cdef uint64_t parked, woken = 0
    cdef const Uop* o
    cdef int i
    if not f.left and not f.waiting and f.lsu.next == f.lsu.count and m.now >= f.last:
        simt_end(m, s, p)
        return
    if m.latest != NULL:
        m.latest.after = f
    m.latest = f
    if f.after != NULL:
        fetch_warps(f.after)
    if m.values:
        bring_up_all(m)     # threads see values as they go
    f.end = start + m.ahead
    f.time = start
    if f.lsu.next < f.lsu.count:
        f.lsu.at = max(f.lsu.at, start)
        memory_unit(m, s, f.end)
    parked = f.parked
    while parked:
        i = __builtin_ctzll(parked)
        parked &= parked - 1
        if f.warp[i].ready < f.end:
            f.parked &= ~(<uint64_t> 1 << i)
            woken |= <uint64_t> 1 << i
            fetch_warp(f, i)
            f.warp[i].ready = max(f.warp[i].ready, start)
            wake_warp(f, i)
    while woken:
        i = __builtin_ctzll(woken)
        woken &= woken - 1
        o = &f.uops[f.warp[i].pc]
        if o.takes == TAKES_MEMORY:
            fetch_access(m, f, i, o)
        elif m.values:
            fetch_operands(f, i, o)
    issue_window(m, s, start)
    m.now = start
    if m.stop:
        return
    next_ = next_window(f)
    if not f.left and not f.waiting and f.lsu.next == f.lsu.count:
        next_ = f.last      # nothing but the end is left
    f.end = 0
    send(m, next_, EV_SIMT, s, p, 0, 0)


cdef void note_bits(Machine* m, Sub* s, Pipe* p, uint64_t* bits, bint write) noexcept nogil:
    """UB bytes that the function touched, for the other pipes; the bits are cleared."""
    cdef Ranges found
    cdef Access a
    cdef int64_t words = s.spaces[SPACE_UB].size // 4, i = 0, j
    cdef int k
    found.count = 0
    while i < words:
        if not bits[i >> 6] >> (i & 63):
            i = (i | 63) + 1
            continue
        i += __builtin_ctzll(bits[i >> 6] >> (i & 63))
        j = i
        while j < words and bits[j >> 6] >> (j & 63) & 1:
            j += 1
        touch(&found, 4 * i, 4 * j)
        i = j
    memset(bits, 0, (words // 64 + 1) * sizeof(uint64_t))
    for k in range(found.count):
        a = access(found.items[k].lo, found.items[k].hi - found.items[k].lo, 1, 0)
        a.slot, a.write, a.op, a.epoch = p.slot, write, s.simt.row, p.clock.at[p.slot]
        note_access(m, s, SPACE_UB, &a, s.simt.row, &p.clock)


cdef void simt_end(Machine* m, Sub* s, Pipe* p) noexcept nogil:
    """The last thread is done and its stores are in L2."""
    cdef Simt* f = s.simt
    cdef int i
    cdef int64_t before = p.busy
    for i in range(m.simt_spec.schedulers):
        f.whys[W_DRAINED] += m.now - f.issued[i] - 1
    note_bits(m, s, p, f.ub_read, False)
    note_bits(m, s, p, f.ub_written, True)
    account(p, m.now, R_BUSY)
    m.uses[f.row].busy += p.busy - before
    p.free_at = p.done_at = m.now
    p.state = P_FREE
    pump(m, s, p)
