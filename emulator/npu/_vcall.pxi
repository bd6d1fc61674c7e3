# vcall: functions on the vector unit. A SIMD function touches nothing but UB, so it runs from its
# first to its last word when V comes to it. Part of _engine.pyx.

cdef const uint8_t* operand_b(
    Simd* f, int type_, int64_t payload, int kind, uint8_t* out) noexcept nogil:
    """The second operand: a vector, or a scalar or a number in every lane (in `out`)."""
    cdef int i
    cdef uint8_t[8] one
    if kind == 0:
        return f.v[payload]
    if kind == 1:
        number_to(type_, f.x[payload], 0, one)
    else:
        number_to(type_, payload, kind, one)
    spread(out, one, lane_bytes(type_))
    return out


cdef inline void spread(uint8_t* out, const uint8_t* one, int bytes_) noexcept nogil:
    """One element in every lane."""
    cdef int i
    cdef uint32_t word = 0
    memcpy(&word, one, bytes_)
    if bytes_ < 2:
        word |= word << 8
    if bytes_ < 4:
        word |= word << 16
    for i in range(VBYTES // 4):
        (<uint32_t*> out)[i] = word


cdef void arithmetic(Simd* f, const Op* o, const uint8_t* mask) noexcept nogil:
    cdef int bytes_ = lane_bytes(o.type), n = VBYTES // bytes_, i, format_
    cdef bint two = o.code <= OP_VSHR or o.code == OP_VMULADD
    cdef bint onto = o.code == OP_VMADD or o.code == OP_VMULADD
    cdef float[128] x, y, z
    cdef uint8_t[VBYTES] filled, apart, known
    cdef uint8_t* made = apart
    cdef const uint8_t* a = f.v[o.a]
    cdef const uint8_t* b = a
    cdef const uint8_t* what = known_of(f, o.a)
    if mask == NULL:
        made = f.v[o.dst]
    if two:
        b = operand_b(f, o.type, o.b, o.b_kind, filled)
        if o.b_kind == 0:
            what = both_known(f, what, known_of(f, <int> o.b), known)
    if onto:
        what = both_known(f, what, known_of(f, o.dst), known)
    if o.type == TYPE_FP32:
        if made == apart and onto:
            memcpy(made, f.v[o.dst], VBYTES)
        float_lanes(o.code, n, <float*> made, <const float*> a, <const float*> b)
    elif is_float(o.type):
        format_ = register_format(o.type)
        decode_to_f32(format_, a, x, n)
        if two:
            decode_to_f32(format_, b, y, n)
        if onto:
            decode_to_f32(format_, f.v[o.dst], z, n)
        float_lanes(o.code, n, z, x, y)
        encode_from_f32(format_, z, made, n, False)
    elif bytes_ != 4 or not two or not word_lanes(
            o.code, o.type, <uint32_t*> made, <const uint32_t*> a, <const uint32_t*> b):
        for i in range(n):
            set_int(made, i, bytes_, int_lane(o.code, get_int(a, i, o.type),
                                              get_int(b, i, o.type), o.type))
    write_lanes(f, o.dst, made, what, mask, o.merge, bytes_)


cdef void compare(Simd* f, const Op* o, const uint8_t* mask) noexcept nogil:
    cdef int n = VBYTES // lane_bytes(o.type), i, format_
    cdef float[128] x, y
    cdef bint yes
    cdef uint8_t[VBYTES] made, filled
    cdef const uint8_t* b = operand_b(f, o.type, o.b, o.b_kind, filled)
    memset(made, 0, VBYTES)
    if is_float(o.type):
        format_ = register_format(o.type)
        decode_to_f32(format_, f.v[o.a], x, n)
        decode_to_f32(format_, b, y, n)
        for i in range(n):
            if o.cond == COND_EQ: yes = x[i] == y[i]
            elif o.cond == COND_NE: yes = x[i] != y[i]
            elif o.cond == COND_LT: yes = x[i] < y[i]
            elif o.cond == COND_LE: yes = x[i] <= y[i]
            elif o.cond == COND_GT: yes = x[i] > y[i]
            else: yes = x[i] >= y[i]
            made[i] = yes and takes_part(mask, i)
    else:
        for i in range(n):
            made[i] = takes_part(mask, i) and holds(
                o.cond, get_int(f.v[o.a], i, o.type), get_int(b, i, o.type))
    memcpy(f.p[o.dst], made, VBYTES)
    f.first[o.dst] = -1


# ---- lanes moved, masks --------------------------------------------------------------------------

cdef void shuffle(Simd* f, const Op* o) noexcept nogil:
    """vzip, vunzip, vperm."""
    cdef int bytes_ = width_bytes(o), n = VBYTES // bytes_, i, j
    cdef int second = (o.dst + 1) & 31
    cdef uint8_t[2 * VBYTES] both, known, out, out_known
    memcpy(both, f.v[o.a], VBYTES)
    memcpy(known, known_of(f, o.a), VBYTES)
    if o.code == OP_VPERM:
        for i in range(n):
            j = <int> (get_int(f.v[o.index], i, unsigned_type(bytes_)) % n)
            memcpy(out + i * bytes_, both + j * bytes_, bytes_)
            memcpy(out_known + i * bytes_, known + j * bytes_, bytes_)
        memcpy(f.v[o.dst], out, VBYTES)
        set_known(f, o.dst, out_known)
        return
    memcpy(both + VBYTES, f.v[o.b], VBYTES)
    memcpy(known + VBYTES, known_of(f, o.b), VBYTES)
    for i in range(2 * n):
        j = (i >> 1) + (i & 1) * n
        if o.code == OP_VZIP:
            memcpy(out + i * bytes_, both + j * bytes_, bytes_)
            memcpy(out_known + i * bytes_, known + j * bytes_, bytes_)
        else:
            memcpy(out + j * bytes_, both + i * bytes_, bytes_)
            memcpy(out_known + j * bytes_, known + i * bytes_, bytes_)
    memcpy(f.v[o.dst], out, VBYTES)
    set_known(f, o.dst, out_known)
    memcpy(f.v[second], out + VBYTES, VBYTES)
    set_known(f, second, out_known + VBYTES)


cdef void mask_op(Simd* f, const Op* o) noexcept nogil:
    """pcount, pand, por, pxor, pnot."""
    cdef int i, n
    cdef int64_t count
    if o.code == OP_PCOUNT:
        n = VBYTES >> (o.width - WIDTH_B8)
        count = value_of(f.x, o.a, o.a_kind)
        count = 0 if count < 0 else n if count > n else count
        memset(f.p[o.dst], 1, count)
        memset(f.p[o.dst] + count, 0, VBYTES - count)
        f.first[o.dst] = <int32_t> count
        return
    for i in range(VBYTES):
        if o.code == OP_PAND: f.p[o.dst][i] = f.p[o.a][i] & f.p[o.b][i]
        elif o.code == OP_POR: f.p[o.dst][i] = f.p[o.a][i] | f.p[o.b][i]
        elif o.code == OP_PXOR: f.p[o.dst][i] = f.p[o.a][i] ^ f.p[o.b][i]
        else: f.p[o.dst][i] = not f.p[o.a][i]
    f.first[o.dst] = -1


cdef void fill_lanes(Simd* f, const Op* o, const uint8_t* mask) noexcept nogil:
    """vdup and vindex."""
    cdef int bytes_ = lane_bytes(o.type), n = VBYTES // bytes_, i, format_
    cdef uint8_t[VBYTES] made
    cdef uint8_t[8] one
    cdef float first
    cdef float[VBYTES] numbers
    cdef const uint8_t* known = ALL_ONES
    if o.a_kind == 1 and o.code == OP_VDUP:
        spread(made, f.v[o.a], bytes_)
        if not known_of(f, <int> o.a)[0]:
            known = ALL_ZEROS
    else:
        number_to(o.type, f.x[o.a] if o.a_kind == 0 else o.a, o.a_kind, one)
        spread(made, one, bytes_)
    if o.code == OP_VINDEX:
        format_ = register_format(o.type)
        if is_float(o.type):
            decode_to_f32(format_, made, &first, 1)
            for i in range(n):
                numbers[i] = first + <float> i
            encode_from_f32(format_, numbers, made, n, False)
        else:
            for i in range(n):
                set_int(made, i, bytes_, get_int(made, i, o.type) + i)
    write_lanes(f, o.dst, made, known, mask, o.merge and o.code == OP_VDUP, bytes_)


cdef void choose(Simd* f, const Op* o) noexcept nogil:
    """vsel."""
    cdef int bytes_ = width_bytes(o), i
    cdef uint8_t[VBYTES] made, filled, known
    cdef const uint8_t* a = f.v[o.a]
    cdef const uint8_t* b = operand_b(f, unsigned_type(bytes_), o.b, o.b_kind, filled)
    cdef const uint8_t* c = f.p[o.c]
    cdef const uint8_t* a_known = known_of(f, o.a)
    cdef const uint8_t* b_known = ALL_ONES
    if not o.b_kind:
        b_known = known_of(f, <int> o.b)
    if bytes_ == 4:
        for i in range(VBYTES // 4):
            (<uint32_t*> made)[i] = (<const uint32_t*> a)[i] if c[i] else (<const uint32_t*> b)[i]
    else:
        for i in range(VBYTES):
            made[i] = a[i] if c[i // bytes_] else b[i]
    if a_known == ALL_ONES and b_known == ALL_ONES:
        f.state[o.dst] = K_ALL
    else:
        for i in range(VBYTES):
            known[i] = a_known[i] if c[i // bytes_] else b_known[i]
        set_known(f, o.dst, known)
    memcpy(f.v[o.dst], made, VBYTES)


cdef void element(Machine* m, Sub* s, Simd* f, const Op* o) noexcept nogil:
    """vlane."""
    cdef int bytes_ = width_bytes(o)
    cdef int lane = <int> (value_of(f.x, o.lane, o.lane_kind) & (VBYTES // bytes_ - 1))
    if not known_of(f, o.a)[lane * bytes_]:
        fault(m, FAULT_POISON, s, f.op, -1, SPACE_UB, -1, 0)
    if o.dst:
        f.x[o.dst] = get_int(f.v[o.a], lane, unsigned_type(bytes_))


# ---- one instruction -----------------------------------------------------------------------------

cdef void when(Machine* m, Sub* s, Simd* f, const Op* o) noexcept nogil:
    """Issue: with the banks as they are, and as if none were ever busy."""
    cdef Reach r
    cdef int i
    if o.code == OP_VBAR:
        f.unordered.count = 0
    elif o.code == OP_VLD or o.code == OP_VST:
        r = reach(m, s, f, o)
    elif o.code == OP_VGATHER or o.code == OP_VSCATTER:
        r = reach_indexed(m, s, f, o)
    for i in range(2):
        if o.code < OP_LOOP:
            when_scalar(m, &f.times[i], o)
        elif o.code == OP_VBAR:
            f.times[i].barrier = f.times[i].last
        elif o.code < OP_VBAR:
            when_memory(m, f, &f.times[i], o, &r)
        else:
            when_vector(m, f, &f.times[i], o)


cdef void what(Machine* m, Sub* s, Simd* f, const Op* o) noexcept nogil:
    """The values that a vector instruction computes."""
    cdef int code = o.code
    cdef const uint8_t* mask = f.p[o.mask - 1] if o.mask else NULL
    if code == OP_VLD:
        load_values(s, f, o)
    elif code == OP_VST:
        store_values(m, s, f, o)
    elif code == OP_VGATHER or code == OP_VSCATTER:
        indexed_values(m, s, f, o)
    elif code == OP_VCMP:
        compare(f, o, mask)
    elif code == OP_VCVT:
        convert(f, o, mask)
    elif code == OP_VRED:
        reduce_lanes(m, s, f, o, mask)
    elif code == OP_VDUP or code == OP_VINDEX:
        fill_lanes(f, o, mask)
    elif code == OP_VMOV:
        write_lanes(f, o.dst, f.v[o.a], known_of(f, o.a), mask, o.merge, width_bytes(o))
    elif code == OP_VSEL:
        choose(f, o)
    elif code == OP_VLANE:
        element(m, s, f, o)
    elif code == OP_VZIP or code == OP_VUNZIP or code == OP_VPERM:
        shuffle(f, o)
    elif OP_VADD <= code <= OP_VSQRT or code == OP_VMULADD:
        arithmetic(f, o, mask)


cdef inline void go_on(Simd* f, const Op* o, bint valued) noexcept nogil:
    """What decides about addresses and masks, whether values are computed or not."""
    if (o.code == OP_VLD or o.code == OP_VST) and o.base:
        f.x[o.base] += value_of(f.x, o.post, o.post_kind)
    elif OP_PCOUNT <= o.code <= OP_PNOT:
        mask_op(f, o)
    elif o.code == OP_VCMP and not valued:
        memset(f.p[o.dst], 1, VBYTES)       # without values any lane may be in it
        f.first[o.dst] = VBYTES


# ---- the function --------------------------------------------------------------------------------

cdef bint function_scalar(Machine* m, Sub* s, Simd* f, const Op* o, int32_t* pc) noexcept nogil:
    """Scalar words of a function; False: it cannot run here."""
    if OP_MOV <= o.code <= OP_CMP:
        alu(&m.scalars[f.op], f.x)
        pc[0] += 1
    elif o.code == OP_BR:
        pc[0] = o.target if holds(o.cond, f.x[o.a], value_of(f.x, o.b, o.b_kind)) else pc[0] + 1
    elif o.code == OP_JUMP:
        pc[0] = o.target
    else:
        fault(m, FAULT_FUNCTION, s, f.op, -1, o.code, 0, 0)
        return False
    return True


cdef bint begin_loop(Machine* m, Sub* s, Simd* f, const Op* o, int32_t* pc) noexcept nogil:
    cdef int64_t count = value_of(f.x, o.count, o.count_kind)
    if count <= 0:
        pc[0] = o.target
        return True
    if f.depth == LOOPS or o.target <= pc[0] + 1:
        fault(m, FAULT_LOOPS, s, f.op, -1, LOOPS, 0, 0)
        return False
    f.loops[f.depth].first, f.loops[f.depth].end = pc[0] + 1, o.target
    f.loops[f.depth].left = count
    f.depth += 1
    pc[0] += 1
    return True


cdef void run_simd(
    Machine* m, Sub* s, Simd* f, const Function* fn, bint timed, bint valued) noexcept nogil:
    """The whole function: its times, its values, or both side by side."""
    cdef int32_t pc = 0
    cdef const Op* o
    while not m.stop:
        while f.depth and pc == f.loops[f.depth - 1].end:
            f.loops[f.depth - 1].left -= 1
            if f.loops[f.depth - 1].left:
                pc = f.loops[f.depth - 1].first
                break
            f.depth -= 1
        f.op = fn.first + pc
        if pc < 0 or f.op >= fn.end:
            fault(m, FAULT_TARGET, s, fn.end - 1, -1, pc, 0, 0)
            return
        m.steps += 1
        if m.steps > MOST_STEPS:
            fault(m, FAULT_STEPS, s, f.op, -1, MOST_STEPS, 0, 0)
            return
        o = &m.ops[f.op]
        if o.code == OP_END:
            return
        elif o.code == OP_LOOP:
            if not begin_loop(m, s, f, o, &pc):
                return
            continue
        f.instructions += 1
        if timed:
            when(m, s, f, o)
            if m.stop:
                return
        if o.code < OP_LOOP:
            if not function_scalar(m, s, f, o, &pc):
                return
            continue
        if valued:
            what(m, s, f, o)
        go_on(f, o, valued)
        pc += 1


cdef void begin_simd(Simd* f, const Op* o, const Pending* q) noexcept nogil:
    """Registers as a function finds them."""
    cdef int i
    memset(f.x, 0, sizeof(f.x))
    for i in range(o.count):
        f.x[1 + i] = q.x[i]
    memset(f.state, K_NONE, sizeof(f.state))
    memset(f.p, 0, sizeof(f.p))
    memset(f.first, 0, sizeof(f.first))
    f.depth, f.instructions = 0, 0


cdef void time_simd(Machine* m, Sub* s, Simd* f, const Op* o, const Pending* q, bint valued,
                    Called* c) noexcept nogil:
    """Run a function with its times, and its values if they cannot be told apart."""
    cdef const Function* fn = &m.functions[o.fn]
    begin_simd(f, o, q)
    begin_times(&f.times[0], False)
    begin_times(&f.times[1], True)
    f.read.count = f.written.count = f.unordered.count = 0
    run_simd(m, s, f, fn, True, valued)
    c.cycles = max(f.times[0].last, 1)
    c.stalled = max(f.times[0].last - f.times[1].last, 0)
    c.read, c.written = f.read, f.written


cdef Called* call_like(Machine* m, const Op* o, const Pending* q, int64_t* key) noexcept nogil:
    """Where the times of calls like this one are kept: the same in what times depend on."""
    cdef const Function* fn = &m.functions[o.fn]
    cdef uint64_t h = <uint64_t> o.fn
    cdef int i
    for i in range(ARGUMENTS):
        key[i] = 0
        if i < o.count and fn.depends >> i & 1:
            key[i] = q.x[i]
            h = (h ^ <uint64_t> key[i]) * <uint64_t> 0x9E3779B97F4A7C15
            h ^= h >> 29
    return &m.called[h & (CALLS - 1)]


cdef bint same_call(const Called* c, const Op* o, const int64_t* key) noexcept nogil:
    cdef int i
    if c.fn != o.fn + 1:
        return False
    for i in range(ARGUMENTS):
        if c.x[i] != key[i]:
            return False
    return True


cdef void note_ranges(Machine* m, Sub* s, Pipe* p, int op, const Ranges* r, bint write) noexcept nogil:
    cdef Access a
    cdef int i
    for i in range(r.count):
        a = access(r.items[i].lo, r.items[i].hi - r.items[i].lo, 1, 0)
        a.slot, a.write, a.op, a.epoch = p.slot, write, op, p.clock.at[p.slot]
        note_access(m, s, SPACE_UB, &a, op, &p.clock)


cdef void run_vcall(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    cdef Simd* f = m.simd
    cdef const Function* fn = &m.functions[o.fn]
    cdef int64_t[ARGUMENTS] key
    cdef Called once
    cdef Called* c = &once
    if fn.simt:
        launch(m, s, p, o, q)
        return
    if fn.fixed or not m.values:
        c = call_like(m, o, q, key)
        if not same_call(c, o, key):
            c.fn = 0
            time_simd(m, s, f, o, q, False, c)
            if not m.fault_count:
                c.fn = o.fn + 1
                memcpy(c.x, key, sizeof(key))
        if m.values and not m.stop:
            begin_simd(f, o, q)
            run_simd(m, s, f, fn, False, True)
    else:
        time_simd(m, s, f, o, q, True, c)
    p.free_at = m.now + c.cycles
    p.done_at = p.free_at
    account(p, p.free_at - c.stalled, R_BUSY)
    account(p, p.free_at, R_UB_BANK)
    note_ranges(m, s, p, q.op, &c.read, False)
    note_ranges(m, s, p, q.op, &c.written, True)
