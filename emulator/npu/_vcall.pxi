# vcall: functions on the vector unit. A SIMD function touches nothing but UB, so it runs from its
# first to its last word when V comes to it. Part of _engine.pyx.

cdef void operand_b(
    Simd* f, const Op* o, int type_, int64_t payload, int kind, uint8_t* out, uint8_t* known,
    int64_t* ready) noexcept nogil:
    """The second operand: a vector, a scalar in every lane, or a number in every lane."""
    cdef int bytes_ = lane_bytes(type_), i
    cdef uint8_t[8] one
    if kind == 0:
        memcpy(out, f.v[payload], VBYTES)
        memcpy(known, f.known[payload], VBYTES)
        ready[0] = max(ready[0], f.v_ready[payload])
        return
    if kind == 1:
        ready[0] = max(ready[0], f.x_ready[payload])
        number_to(type_, f.x[payload], 0, one)
    else:
        number_to(type_, payload, kind, one)
    for i in range(VBYTES // bytes_):
        memcpy(out + i * bytes_, one, bytes_)
    memset(known, 1, VBYTES)


cdef void arithmetic(Simd* f, const Op* o, const uint8_t* b, const uint8_t* b_known,
                     const uint8_t* mask) noexcept nogil:
    cdef int bytes_ = lane_bytes(o.type), n = VBYTES // bytes_, i, format_
    cdef float[128] x, y, z
    cdef uint8_t[VBYTES] made, known
    cdef const uint8_t* a = f.v[o.a]
    if is_float(o.type):
        format_ = register_format(o.type)
        decode_to_f32(format_, a, x, n)
        decode_to_f32(format_, b, y, n)
        if o.code == OP_VMADD:
            decode_to_f32(format_, f.v[o.dst], z, n)
        float_lanes(o.code, n, z, x, y)
        encode_from_f32(format_, z, made, n, False)
    else:
        for i in range(n):
            set_int(made, i, bytes_, int_lane(o.code, get_int(a, i, o.type),
                                              get_int(b, i, o.type), o.type))
    for i in range(VBYTES):
        known[i] = f.known[o.a][i] & b_known[i]
        if o.code == OP_VMADD:
            known[i] &= f.known[o.dst][i]
    write_lanes(f.v[o.dst], f.known[o.dst], made, known, mask, o.merge, bytes_)


cdef void compare(Simd* f, const Op* o, const uint8_t* b, const uint8_t* mask) noexcept nogil:
    cdef int n = VBYTES // lane_bytes(o.type), i, format_
    cdef float[128] x, y
    cdef bint yes
    cdef uint8_t[VBYTES] made
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


# ---- UB ------------------------------------------------------------------------------------------

cdef bint ub_at(Machine* m, Sub* s, Simd* f, int64_t lo, int64_t size, bint write) noexcept nogil:
    """Bounds and order of an access; False after a fault."""
    if lo < 0 or lo + size > s.spaces[SPACE_UB].size:
        fault(m, FAULT_CAPACITY, s, f.op, -1, SPACE_UB, lo + size, s.spaces[SPACE_UB].size)
        return False
    if not write and touched_by(&f.unordered, lo, lo + size):
        fault(m, FAULT_RACE, s, f.op, f.op, SPACE_UB, lo, 1)
        if m.stop:
            return False
    touch(&f.written if write else &f.read, lo, lo + size)
    if write:
        touch(&f.unordered, lo, lo + size)
    return True


cdef void banks_of(Machine* m, int64_t lo, int64_t size, int* counts) noexcept nogil:
    """Count the 32-byte blocks of an access by bank: low bits the group, then the bank in it."""
    cdef int64_t block = lo // m.spec.interleave, last = (lo + size - 1) // m.spec.interleave
    while block <= last:
        counts[block % m.spec.banks] += 1
        block += 1


cdef void vector_memory(Machine* m, Sub* s, Simd* f, const Op* o, const uint8_t* mask,
                        int64_t ready) noexcept nogil:
    """vld and vst."""
    cdef int bytes_ = 1 << (o.width - WIDTH_B8), n = VBYTES // bytes_, i, pieces = 1, passes = 0
    cdef bint write = o.code == OP_VST
    cdef int64_t at = f.x[o.base] + o.offset, size = VBYTES, step = 0, t
    cdef int[32] counts
    cdef uint32_t banks = 0
    cdef uint8_t[2 * VBYTES] line, known
    cdef Space* ub = &s.spaces[SPACE_UB]
    if write:
        n = stored(o.dist, n)
        if mask != NULL and o.dist != STORE_ONE and not o.stride:
            while n and not mask[n - 1]:    # what a tail's mask leaves out is not touched
                n -= 1
        size = n * bytes_
    else:
        if o.dist == LOAD_BRC: size = bytes_
        elif o.dist == LOAD_BRCBLK: size = 32
        elif o.dist == LOAD_UP or o.dist == LOAD_UNPACK: size = VBYTES // 2
        elif o.dist == LOAD_UNPACK4: size = VBYTES // 4
        elif o.dist == LOAD_DOWN or o.dist == LOAD_SPLIT: size = 2 * VBYTES
    if o.stride and size == VBYTES:
        pieces, size, step = 8, 32, o.stride
    memset(counts, 0, sizeof(counts))
    for i in range(pieces if size else 0):
        if not ub_at(m, s, f, at + i * step, size, write):
            return
        banks_of(m, at + i * step, size, counts)
    for i in range(m.spec.banks):
        if counts[i]:
            banks |= <uint32_t> 1 << i
            passes = max(passes, counts[i])
    if write:
        t = issue(m, f, ready, PORT_STORE, max(passes, 1), banks, passes)
        f.last = max(f.last, t + o.latency)
    else:
        t = issue(m, f, max(ready, f.barrier), PORT_LOAD, max(passes, 1), banks, passes)
        done(f, &f.v_ready[o.dst], t + o.latency + passes - 1)
        if o.dist == LOAD_SPLIT:
            f.v_ready[(o.dst + 1) & 31] = f.v_ready[o.dst]
    if f.x_ready[o.base] < t + 1 and (o.post or o.post_kind == 0):
        f.x_ready[o.base] = t + 1
    if m.values:
        if write:
            store_lanes(m, s, f, o, mask, at, line, known)
        else:
            for i in range(pieces):
                memcpy(line + i * size, ub.data + at + i * step, size)
                memcpy(known + i * size, ub.valid + at + i * step, size)
            load_lanes(f, o, line, known)
    if o.base:
        f.x[o.base] += value_of(f.x, o.post, o.post_kind)


cdef inline int stored(int dist, int n) noexcept nogil:
    """Elements that a store of a register with n of them stores."""
    if dist == STORE_ONE:
        return 1
    elif dist == STORE_PACK:
        return n // 2
    elif dist == STORE_PACK4:
        return n // 4
    elif dist == STORE_ZIP:
        return 2 * n
    return n


cdef void load_lanes(Simd* f, const Op* o, const uint8_t* line, const uint8_t* known) noexcept nogil:
    """Memory as it lies -> register, by the load's distribution."""
    cdef int bytes_ = 1 << (o.width - WIDTH_B8), n = VBYTES // bytes_, i, j
    cdef uint8_t* d = f.v[o.dst]
    cdef uint8_t* k = f.known[o.dst]
    cdef int second = (o.dst + 1) & 31
    for i in range(n):
        if o.dist == LOAD_NORM: j = i
        elif o.dist == LOAD_BRC: j = 0
        elif o.dist == LOAD_BRCBLK: j = i % (32 // bytes_)
        elif o.dist == LOAD_UP: j = i // 2
        elif o.dist == LOAD_UNPACK or o.dist == LOAD_UNPACK4:
            j = i // (2 if o.dist == LOAD_UNPACK else 4)
            if i & (1 if o.dist == LOAD_UNPACK else 3):
                memset(d + i * bytes_, 0, bytes_)
                memset(k + i * bytes_, 1, bytes_)
                continue
        else: j = 2 * i
        memcpy(d + i * bytes_, line + j * bytes_, bytes_)
        memcpy(k + i * bytes_, known + j * bytes_, bytes_)
        if o.dist == LOAD_SPLIT:
            memcpy(f.v[second] + i * bytes_, line + (j + 1) * bytes_, bytes_)
            memcpy(f.known[second] + i * bytes_, known + (j + 1) * bytes_, bytes_)


cdef void store_lanes(Machine* m, Sub* s, Simd* f, const Op* o, const uint8_t* mask, int64_t at,
                      uint8_t* line, uint8_t* known) noexcept nogil:
    """Register -> memory, by the store's distribution; only lanes of the mask."""
    cdef int bytes_ = 1 << (o.width - WIDTH_B8), n = VBYTES // bytes_, i, r, e
    cdef int count = stored(o.dist, n)
    cdef int64_t to
    cdef Space* ub = &s.spaces[SPACE_UB]
    for i in range(count):
        r, e = o.src, i
        if o.dist == STORE_PACK: e = 2 * i
        elif o.dist == STORE_PACK4: e = 4 * i
        elif o.dist == STORE_ZIP: r, e = (o.src + (i & 1)) & 31, i >> 1
        if o.dist != STORE_ONE and not takes_part(mask, i):
            continue
        if not f.known[r][e * bytes_]:
            fault(m, FAULT_POISON, s, f.op, -1, SPACE_UB, -1, 0)
            return
        to = at + i * bytes_
        if o.stride and count == n:
            to = at + (i * bytes_ // 32) * o.stride + i * bytes_ % 32
        memcpy(ub.data + to, f.v[r] + e * bytes_, bytes_)
        memset(ub.valid + to, 1, bytes_)


cdef void indexed(Machine* m, Sub* s, Simd* f, const Op* o, const uint8_t* mask,
                  int64_t ready) noexcept nogil:
    """vgather and vscatter: one pass per row that a sub-bank of 8 bytes has to open."""
    cdef int bytes_ = 1 << (o.width - WIDTH_B8), n = VBYTES // bytes_, i, j, passes = 1
    cdef bint write = o.code == OP_VSCATTER
    cdef int[VBYTES] depth
    cdef int64_t[VBYTES] rows
    cdef int64_t at, t, word
    cdef uint8_t[VBYTES] made, known
    cdef Space* ub = &s.spaces[SPACE_UB]
    cdef int sub_banks = m.spec.banks * (m.spec.interleave // m.spec.sub_bank)
    memset(depth, 0, sizeof(depth))
    memset(made, 0, VBYTES)
    memset(known, 1, VBYTES)
    j = 0
    for i in range(n if m.values else 0):
        if not takes_part(mask, i):
            continue
        at = f.x[o.base] + get_int(f.v[o.index], i, TYPE_UINT32 if bytes_ == 4 else TYPE_UINT16) * bytes_
        if not ub_at(m, s, f, at, bytes_, write):
            return
        word = at // m.spec.sub_bank
        for t in range(j):
            if rows[t] == word:
                break
        else:
            rows[j] = word
            j += 1
            depth[word % sub_banks] += 1
            passes = max(passes, depth[word % sub_banks])
        if write:
            if not f.known[o.src][i * bytes_]:
                fault(m, FAULT_POISON, s, f.op, -1, SPACE_UB, -1, 0)
                return
            memcpy(ub.data + at, f.v[o.src] + i * bytes_, bytes_)
            memset(ub.valid + at, 1, bytes_)
        else:
            memcpy(made + i * bytes_, ub.data + at, bytes_)
            memcpy(known + i * bytes_, ub.valid + at, bytes_)
    ready = max(ready, f.v_ready[o.index])
    t = issue(m, f, ready if write else max(ready, f.barrier),
              PORT_STORE if write else PORT_LOAD, passes, ~<uint32_t> 0, passes)
    if write:
        f.last = max(f.last, t + o.latency + passes - 1)
        return
    done(f, &f.v_ready[o.dst], t + o.latency + passes - 1)
    write_lanes(f.v[o.dst], f.known[o.dst], made, known, mask, False, bytes_)


# ---- lanes moved, masks --------------------------------------------------------------------------

cdef void shuffle(Simd* f, const Op* o) noexcept nogil:
    """vzip, vunzip, vperm."""
    cdef int bytes_ = 1 << (o.width - WIDTH_B8), n = VBYTES // bytes_, i, j
    cdef int second = (o.dst + 1) & 31
    cdef uint8_t[2 * VBYTES] both, known, out, out_known
    memcpy(both, f.v[o.a], VBYTES)
    memcpy(known, f.known[o.a], VBYTES)
    if o.code == OP_VPERM:
        for i in range(n):
            j = <int> (get_int(f.v[o.index], i, TYPE_UINT32 if bytes_ == 4 else TYPE_UINT16
                               if bytes_ == 2 else TYPE_UINT8) % n)
            memcpy(out + i * bytes_, both + j * bytes_, bytes_)
            memcpy(out_known + i * bytes_, known + j * bytes_, bytes_)
        memcpy(f.v[o.dst], out, VBYTES)
        memcpy(f.known[o.dst], out_known, VBYTES)
        return
    memcpy(both + VBYTES, f.v[o.b], VBYTES)
    memcpy(known + VBYTES, f.known[o.b], VBYTES)
    for i in range(2 * n):
        j = (i >> 1) + (i & 1) * n
        if o.code == OP_VZIP:
            memcpy(out + i * bytes_, both + j * bytes_, bytes_)
            memcpy(out_known + i * bytes_, known + j * bytes_, bytes_)
        else:
            memcpy(out + j * bytes_, both + i * bytes_, bytes_)
            memcpy(out_known + j * bytes_, known + i * bytes_, bytes_)
    memcpy(f.v[o.dst], out, VBYTES)
    memcpy(f.known[o.dst], out_known, VBYTES)
    memcpy(f.v[second], out + VBYTES, VBYTES)
    memcpy(f.known[second], out_known + VBYTES, VBYTES)


cdef void mask_op(Simd* f, const Op* o) noexcept nogil:
    """pcount, pand, por, pxor, pnot."""
    cdef int i, n
    cdef int64_t count
    if o.code == OP_PCOUNT:
        n = VBYTES >> (o.width - WIDTH_B8)
        count = value_of(f.x, o.a, o.a_kind)
        for i in range(VBYTES):
            f.p[o.dst][i] = i < count and i < n
        return
    for i in range(VBYTES):
        if o.code == OP_PAND: f.p[o.dst][i] = f.p[o.a][i] & f.p[o.b][i]
        elif o.code == OP_POR: f.p[o.dst][i] = f.p[o.a][i] | f.p[o.b][i]
        elif o.code == OP_PXOR: f.p[o.dst][i] = f.p[o.a][i] ^ f.p[o.b][i]
        else: f.p[o.dst][i] = not f.p[o.a][i]


# ---- one instruction -----------------------------------------------------------------------------

cdef void fill_lanes(Simd* f, const Op* o, const uint8_t* mask) noexcept nogil:
    """vdup and vindex."""
    cdef int bytes_ = lane_bytes(o.type), n = VBYTES // bytes_, i, format_
    cdef uint8_t[VBYTES] made, known
    cdef float first, v
    memset(known, 1, VBYTES)
    if o.a_kind == 1:
        for i in range(n):
            memcpy(made + i * bytes_, f.v[o.a], bytes_)
        memset(known, f.known[o.a][0], VBYTES)
        write_lanes(f.v[o.dst], f.known[o.dst], made, known, mask, o.merge, bytes_)
        return
    for i in range(n):
        number_to(o.type, f.x[o.a] if o.a_kind == 0 else o.a, o.a_kind, made + i * bytes_)
    if o.code == OP_VINDEX:
        format_ = register_format(o.type)
        for i in range(n):
            if is_float(o.type):
                decode_to_f32(format_, made + i * bytes_, &first, 1)
                v = first + <float> i
                encode_from_f32(format_, &v, made + i * bytes_, 1, False)
            else:
                set_int(made, i, bytes_, get_int(made, i, o.type) + i)
    write_lanes(f.v[o.dst], f.known[o.dst], made, known, mask, o.merge and o.code == OP_VDUP, bytes_)


cdef void vector_op(Machine* m, Sub* s, Simd* f, const Op* o) noexcept nogil:
    """Any vector or mask instruction: when, then what."""
    cdef int64_t ready = 0, t
    cdef int code = o.code, port = PORT_ARITHMETIC, i
    cdef const uint8_t* mask = NULL
    cdef uint8_t[VBYTES] b, b_known
    cdef int width
    if o.mask:
        mask = f.p[o.mask - 1]
        ready = f.p_ready[o.mask - 1]
    if code == OP_VLD or code == OP_VST:
        ready = max(ready, f.x_ready[o.base])
        if code == OP_VST:
            ready = max(ready, f.v_ready[o.src])
            if o.dist == STORE_ZIP:
                ready = max(ready, f.v_ready[(o.src + 1) & 31])
        vector_memory(m, s, f, o, mask, ready)
        return
    if code == OP_VGATHER or code == OP_VSCATTER:
        ready = max(ready, f.x_ready[o.base])
        if code == OP_VSCATTER:
            ready = max(ready, f.v_ready[o.src])
        indexed(m, s, f, o, mask, ready)
        return
    if code == OP_VBAR:
        f.barrier = f.last
        f.unordered.count = 0
        return
    if OP_PCOUNT <= code <= OP_PNOT:
        if code == OP_PCOUNT:
            ready = f.x_ready[o.a] if o.a_kind == 0 else 0
        else:
            ready = max(f.p_ready[o.a], f.p_ready[o.b] if code != OP_PNOT else 0)
        mask_op(f, o)
        t = issue(m, f, ready, port, 1, 0, 0)
        done(f, &f.p_ready[o.dst], t + o.latency)
        return
    if code == OP_VDUP or code == OP_VINDEX:
        if o.a_kind == 0:
            ready = max(ready, f.x_ready[o.a])
        elif o.a_kind == 1:
            ready = max(ready, f.v_ready[o.a])
    else:
        ready = max(ready, f.v_ready[o.a])
    if (o.merge or code == OP_VMADD) and code != OP_VCMP:
        ready = max(ready, f.v_ready[o.dst])
    if OP_VADD <= code <= OP_VSHR or code == OP_VCMP or code == OP_VSEL:
        width = (TYPE_UINT32 if o.width == WIDTH_B32 else TYPE_UINT16 if o.width == WIDTH_B16
                 else TYPE_UINT8) if code == OP_VSEL else o.type
        operand_b(f, o, width, o.b, o.b_kind, b, b_known, &ready)
    if code == OP_VSEL:
        ready = max(ready, f.p_ready[o.c])
    if code == OP_VZIP or code == OP_VUNZIP:
        ready = max(ready, f.v_ready[o.b])
    if code == OP_VPERM:
        ready = max(ready, f.v_ready[o.index])
    if o.interval > 1:
        ready = issue(m, f, ready, PORT_SPECIAL, o.interval, 0, 0)
        f.instructions -= 1
    t = issue(m, f, ready, port, 1, 0, 0)
    if code == OP_VCMP:
        done(f, &f.p_ready[o.dst], t + o.latency)
    elif code == OP_VLANE:
        done(f, &f.x_ready[o.dst], t + o.latency)
    else:
        done(f, &f.v_ready[o.dst], t + o.latency)
        if code == OP_VZIP or code == OP_VUNZIP:
            f.v_ready[(o.dst + 1) & 31] = f.v_ready[o.dst]
    if m.values:
        compute(m, s, f, o, mask, b, b_known)


cdef void compute(Machine* m, Sub* s, Simd* f, const Op* o, const uint8_t* mask, const uint8_t* b,
                  const uint8_t* b_known) noexcept nogil:
    """The values of an arithmetic instruction."""
    cdef int code = o.code, bytes_, lane, i
    cdef uint8_t[VBYTES] made, known
    if code == OP_VCMP:
        compare(f, o, b, mask)
    elif code == OP_VCVT:
        convert(f, o, mask)
    elif code == OP_VRED:
        reduce_lanes(m, s, f, o, mask)
    elif code == OP_VDUP or code == OP_VINDEX:
        fill_lanes(f, o, mask)
    elif code == OP_VMOV:
        memcpy(made, f.v[o.a], VBYTES)
        memcpy(known, f.known[o.a], VBYTES)
        write_lanes(f.v[o.dst], f.known[o.dst], made, known, mask, o.merge,
                    1 << (o.width - WIDTH_B8))
    elif code == OP_VSEL:
        bytes_ = 1 << (o.width - WIDTH_B8)
        for i in range(VBYTES):
            lane = i // bytes_
            made[i] = f.v[o.a][i] if f.p[o.c][lane] else b[i]
            known[i] = f.known[o.a][i] if f.p[o.c][lane] else b_known[i]
        memcpy(f.v[o.dst], made, VBYTES)
        memcpy(f.known[o.dst], known, VBYTES)
    elif code == OP_VLANE:
        bytes_ = 1 << (o.width - WIDTH_B8)
        lane = <int> (value_of(f.x, o.lane, o.lane_kind) % (VBYTES // bytes_))
        if not f.known[o.a][lane * bytes_]:
            fault(m, FAULT_POISON, s, f.op, -1, SPACE_UB, -1, 0)
        if o.dst:
            f.x[o.dst] = get_int(f.v[o.a], lane, TYPE_UINT32 if bytes_ == 4 else TYPE_UINT16
                                 if bytes_ == 2 else TYPE_UINT8)
    elif code == OP_VZIP or code == OP_VUNZIP or code == OP_VPERM:
        shuffle(f, o)
    elif OP_VADD <= code <= OP_VSHR:
        arithmetic(f, o, b, b_known, mask)
    else:
        arithmetic(f, o, f.v[o.a], f.known[o.a], mask)


# ---- the function --------------------------------------------------------------------------------

cdef bint function_scalar(Machine* m, Sub* s, Simd* f, const Op* o, int32_t* pc) noexcept nogil:
    """Scalar words of a function; False: it cannot run here."""
    cdef int64_t ready = 0, t
    cdef int i
    if is_alu(o.code):
        if o.code != OP_MOV:
            ready = max(f.x_ready[o.a], f.x_ready[o.b] if o.b_kind == 0 else 0)
        elif o.a_kind == 0:
            ready = f.x_ready[o.a]
        t = issue(m, f, ready, PORT_SCALAR, 1, 0, 0)
        alu(o, f.x)
        if o.dst:
            f.x_ready[o.dst] = t + o.latency
        pc[0] += 1
        return True
    if o.code == OP_BR:
        # What follows a branch waits for its outcome.
        ready = max(f.x_ready[o.a], f.x_ready[o.b] if o.b_kind == 0 else 0)
        t = issue(m, f, ready, PORT_SCALAR, 1, 0, 0) + o.latency
        for i in range(64):
            f.window[i] = max(f.window[i], t)
        pc[0] = o.target if holds(o.cond, f.x[o.a], value_of(f.x, o.b, o.b_kind)) else pc[0] + 1
        return True
    if o.code == OP_JUMP:
        pc[0] = o.target
        return True
    fault(m, FAULT_FUNCTION, s, f.op, -1, o.code, 0, 0)
    return False


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


cdef void run_simd(Machine* m, Sub* s, Simd* f, const Function* fn) noexcept nogil:
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
        elif o.code < OP_LOOP:
            if not function_scalar(m, s, f, o, &pc):
                return
        else:
            vector_op(m, s, f, o)
            pc += 1


cdef void run_vcall(Machine* m, Sub* s, Pipe* p, const Op* o, Pending* q) noexcept nogil:
    cdef Simd* f = m.simd
    cdef const Function* fn = &m.functions[o.fn]
    cdef Access a
    cdef int i
    if fn.simt:
        fault(m, FAULT_FUNCTION, s, q.op, -1, o.fn, 0, 0)
        return
    f.base += f.last + HORIZON
    memset(f, 0, sizeof(Simd) - sizeof(f.calendar) - sizeof(int64_t))
    for i in range(o.count):
        f.x[1 + i] = q.x[i]
    run_simd(m, s, f, fn)
    p.free_at = m.now + max(f.last, 1)
    p.done_at = p.free_at
    account(p, p.free_at, R_BUSY)
    for i in range(f.read.count):
        a = access(f.read.items[i].lo, f.read.items[i].hi - f.read.items[i].lo, 1, 0)
        a.slot, a.write, a.op, a.epoch = p.slot, 0, q.op, p.clock.at[p.slot]
        note_access(m, s, SPACE_UB, &a, q.op, &p.clock)
    for i in range(f.written.count):
        a = access(f.written.items[i].lo, f.written.items[i].hi - f.written.items[i].lo, 1, 0)
        a.slot, a.write, a.op, a.epoch = p.slot, 1, q.op, p.clock.at[p.slot]
        note_access(m, s, SPACE_UB, &a, q.op, &p.clock)
