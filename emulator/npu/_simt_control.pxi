# Where warps go: branches, the divergence stack, barriers, the end of threads. Part of _engine.pyx.

cdef enum:  # what is wrong with a warp's control
    DIVERGED_DEPTH, DIVERGED_EMPTY, DIVERGED_PLACE, DIVERGED_BARRIER


cdef inline Meeting* stack_of(Machine* m, Simt* f, int warp) noexcept nogil:
    return f.stack + warp * m.simt_spec.depth


cdef bint put_aside(
    Machine* m, Sub* s, int warp, const Uop* o, int pc, int push, uint32_t mask) noexcept nogil:
    """Threads go onto the warp's stack; False after a fault."""
    cdef Warp* w = &s.simt.warp[warp]
    cdef Meeting* top
    if w.depth == m.simt_spec.depth:
        thread_fault(m, s, FAULT_DIVERGENCE, o.row, warp * LANES, DIVERGED_DEPTH, w.depth + 1,
                     m.simt_spec.depth)
        return False
    top = stack_of(m, s.simt, warp) + w.depth
    w.depth += 1
    top.pc, top.push, top.mask = pc, push, mask
    return True


cdef void take_top(Machine* m, Simt* f, int warp) noexcept nogil:
    """The threads on top of the stack go on, as far as they are not done."""
    cdef Warp* w = &f.warp[warp]
    cdef Meeting* top
    w.depth -= 1
    top = stack_of(m, f, warp) + w.depth
    w.active = top.mask & ~w.done
    w.pc = top.pc + 1 if top.push else top.pc


cdef void settle_warp(Machine* m, Sub* s, int warp, int64_t time) noexcept nogil:
    """Where no thread of the path is left, others go on; where none is, the warp is done."""
    cdef Simt* f = s.simt
    cdef Warp* w = &f.warp[warp]
    while True:
        if w.pc >= f.words:     # behind the last word
            w.done |= w.active
            w.active = 0
        if w.active:
            return
        if not w.depth:
            break
        take_top(m, f, warp)
    w.state = WARP_DONE
    f.left -= 1
    if f.left and f.arrived == f.left:
        release(m, s, time)


cdef void release(Machine* m, Sub* s, int64_t time) noexcept nogil:
    """All warps that are not done have come to the barrier."""
    cdef Simt* f = s.simt
    cdef Warp* w
    cdef int i
    f.arrived = 0
    f.last = max(f.last, time + m.simt_spec.barrier)
    f.interval = new_interval(m, s)
    for i in range(f.warps):
        w = &f.warp[i]
        if w.state == WARP_BARRIER:
            w.base, w.base_why = time + m.simt_spec.barrier, W_BARRIER
            w.state = WARP_READY
            settle_warp(m, s, i, time)
            if w.state == WARP_READY:
                next_word(m, f, i)


cdef void control_word(
    Machine* m, Sub* s, int warp, const Uop* o, uint32_t mask, int64_t time) noexcept nogil:
    """TPUSH, TBRA, TPOP, TEXIT, TBAR; `mask` are the active threads whose guard holds."""
    cdef Simt* f = s.simt
    cdef Warp* w = &f.warp[warp]
    cdef Meeting* top
    cdef int pc = w.pc
    w.base, w.base_why = time + max(o.latency, 1), W_BRANCH
    w.pc = pc + 1
    if o.code == OP_TPUSH:
        put_aside(m, s, warp, o, o.target, 1, w.active)
    elif o.code == OP_TBRA:
        if mask:
            if mask != w.active and not put_aside(m, s, warp, o, pc + 1, 0, w.active & ~mask):
                return
            w.active = mask
            w.pc = o.target
    elif o.code == OP_TEXIT:
        w.done |= mask
        w.active &= ~mask
    elif o.code == OP_TPOP:
        if not w.depth:
            thread_fault(m, s, FAULT_DIVERGENCE, o.row, warp * LANES, DIVERGED_EMPTY, 0, 0)
            return
        top = stack_of(m, f, warp) + w.depth - 1
        if top.push and top.pc != pc:
            thread_fault(m, s, FAULT_DIVERGENCE, o.row, warp * LANES, DIVERGED_PLACE, top.pc, pc)
            return
        take_top(m, f, warp)
    else:
        if w.active != ~w.done:
            thread_fault(m, s, FAULT_DIVERGENCE, o.row, warp * LANES, DIVERGED_BARRIER,
                         __builtin_popcount(w.active), __builtin_popcount(~w.done))
            return
        w.state = WARP_BARRIER
        f.arrived += 1
        if f.arrived == f.left:
            release(m, s, time)
