# Loads and stores of SIMD functions between registers and UB. Part of _engine.pyx.

cdef inline int width_bytes(const Op* o) noexcept nogil:
    return 1 << (o.width - WIDTH_B8)


cdef inline int unsigned_type(int bytes_) noexcept nogil:
    return TYPE_UINT32 if bytes_ == 4 else TYPE_UINT16 if bytes_ == 2 else TYPE_UINT8


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


cdef inline int loaded(int dist, int bytes_) noexcept nogil:
    """Bytes of memory that a load reads."""
    if dist == LOAD_BRC:
        return bytes_
    elif dist == LOAD_BRCBLK:
        return 32
    elif dist == LOAD_UP or dist == LOAD_UNPACK:
        return VBYTES // 2
    elif dist == LOAD_UNPACK4:
        return VBYTES // 4
    elif dist == LOAD_DOWN or dist == LOAD_SPLIT:
        return 2 * VBYTES
    return VBYTES


cdef int last_lane(Simd* f, int mask, int n) noexcept nogil:
    """How many of n elements lie before the last that a mask (1 more than its number) lets in."""
    if not mask:
        return n
    if f.first[mask - 1] >= 0:
        return min(f.first[mask - 1], n)
    while n and not f.p[mask - 1][n - 1]:
        n -= 1
    return n


# ---- what an access reaches ----------------------------------------------------------------------

cdef void count_banks(Machine* m, int64_t lo, int64_t size, int* counts) noexcept nogil:
    """Count the 32-byte blocks of an access by bank: low bits the group, then the bank in it."""
    cdef int64_t block = lo // m.spec.interleave, last = (lo + size - 1) // m.spec.interleave
    while block <= last:
        counts[block % m.spec.banks] += 1
        block += 1


cdef Reach add_up(Machine* m, const int* counts) noexcept nogil:
    cdef Reach r
    cdef int i
    r.passes, r.banks = 1, 0
    for i in range(m.spec.banks):
        if counts[i]:
            r.banks |= <uint32_t> 1 << i
            r.passes = max(r.passes, counts[i])
    return r


cdef Reach reach(Machine* m, Sub* s, Simd* f, const Op* o) noexcept nogil:
    """Bounds, order and banks of vld and vst."""
    cdef int bytes_ = width_bytes(o), i, pieces = 1
    cdef bint write = o.code == OP_VST
    cdef int64_t at = f.x[o.base] + o.offset, size, step = 0
    cdef int[32] counts
    cdef Reach r
    r.passes, r.banks = 1, 0
    if not write:
        size = loaded(o.dist, bytes_)
    elif o.dist == STORE_ONE or o.stride:
        size = stored(o.dist, VBYTES // bytes_) * bytes_
    else:  # what a tail's mask leaves out is not touched
        size = last_lane(f, o.mask, stored(o.dist, VBYTES // bytes_)) * bytes_
    if o.stride and size == VBYTES:
        pieces, size, step = 8, 32, o.stride
    memset(counts, 0, sizeof(counts))
    for i in range(pieces if size else 0):
        if not ub_at(m, s, f, at + i * step, size, write):
            return r
        count_banks(m, at + i * step, size, counts)
    return add_up(m, counts)


cdef int64_t lane_at(Simd* f, const Op* o, int i, int bytes_) noexcept nogil:
    """Where vgather and vscatter find lane i."""
    return f.x[o.base] + get_int(f.v[o.index], i, unsigned_type(bytes_)) * bytes_


cdef Reach reach_indexed(Machine* m, Sub* s, Simd* f, const Op* o) noexcept nogil:
    """vgather and vscatter: one pass per row that a sub-bank of 8 bytes has to open."""
    cdef int bytes_ = width_bytes(o), i, j = 0, k
    cdef const uint8_t* mask = f.p[o.mask - 1] if o.mask else NULL
    cdef int sub_banks = m.spec.banks * (m.spec.interleave // m.spec.sub_bank)
    cdef int[VBYTES] depth
    cdef int64_t[VBYTES] rows
    cdef int64_t at, word
    cdef Reach r
    r.passes, r.banks = 1, ~<uint32_t> 0
    memset(depth, 0, sizeof(depth))
    for i in range(VBYTES // bytes_ if m.values else 0):
        if not takes_part(mask, i):
            continue
        if not known_of(f, o.index)[i * bytes_]:
            fault(m, FAULT_POISON, s, f.op, -1, SPACE_UB, -1, 0)
            return r
        at = lane_at(f, o, i, bytes_)
        if not ub_at(m, s, f, at, bytes_, o.code == OP_VSCATTER):
            return r
        word = at // m.spec.sub_bank
        for k in range(j):
            if rows[k] == word:
                break
        else:
            rows[j] = word
            j += 1
            depth[word % sub_banks] += 1
            r.passes = max(r.passes, depth[word % sub_banks])
    return r


# ---- values --------------------------------------------------------------------------------------

cdef void load_register(Simd* f, const uint8_t* line, const uint8_t* known, bint all_, int reg,
                        int bytes_, int first, int step, int repeat, int zeros) noexcept nogil:
    """Element i = element first + (i / repeat) * step of the line; behind each, `zeros` zeros."""
    cdef int n = VBYTES // bytes_, i, j
    cdef uint8_t* d = f.v[reg]
    cdef uint8_t* k = f.known[reg]
    if zeros:
        memset(d, 0, VBYTES)
        n //= 1 + zeros
    if bytes_ == 4:
        for i in range(n):
            (<uint32_t*> d)[i * (1 + zeros)] = (<const uint32_t*> line)[first + i // repeat * step]
    elif bytes_ == 2:
        for i in range(n):
            (<uint16_t*> d)[i * (1 + zeros)] = (<const uint16_t*> line)[first + i // repeat * step]
    else:
        for i in range(n):
            d[i * (1 + zeros)] = line[first + i // repeat * step]
    f.state[reg] = K_ALL
    if all_:
        return
    f.state[reg] = K_BYTES
    memset(k, 1, VBYTES)
    for i in range(n):
        j = (first + i // repeat * step) * bytes_
        memset(k + i * (1 + zeros) * bytes_, known[j], bytes_)


cdef void load_values(Sub* s, Simd* f, const Op* o) noexcept nogil:
    """UB -> register, by the load's distribution."""
    cdef int bytes_ = width_bytes(o), size = loaded(o.dist, bytes_), i
    cdef int64_t at = f.x[o.base] + o.offset
    cdef const uint8_t* line = s.spaces[SPACE_UB].data + at
    cdef const uint8_t* known = s.spaces[SPACE_UB].valid + at
    cdef bint all_
    if o.stride and size == VBYTES:
        f.state[o.dst] = K_BYTES
        for i in range(8):
            memcpy(f.v[o.dst] + 32 * i, line + i * o.stride, 32)
            memcpy(f.known[o.dst] + 32 * i, known + i * o.stride, 32)
        return
    all_ = memchr(known, 0, size) == NULL
    if o.dist == LOAD_NORM:
        memcpy(f.v[o.dst], line, VBYTES)
        f.state[o.dst] = K_ALL if all_ else K_BYTES
        if not all_:
            memcpy(f.known[o.dst], known, VBYTES)
    elif o.dist == LOAD_BRC:
        load_register(f, line, known, all_, o.dst, bytes_, 0, 0, 1, 0)
    elif o.dist == LOAD_BRCBLK:
        f.state[o.dst] = K_BYTES
        for i in range(8):
            memcpy(f.v[o.dst] + 32 * i, line, 32)
            memcpy(f.known[o.dst] + 32 * i, known, 32)
    elif o.dist == LOAD_UP:
        load_register(f, line, known, all_, o.dst, bytes_, 0, 1, 2, 0)
    elif o.dist == LOAD_UNPACK:
        load_register(f, line, known, all_, o.dst, bytes_, 0, 1, 1, 1)
    elif o.dist == LOAD_UNPACK4:
        load_register(f, line, known, all_, o.dst, bytes_, 0, 1, 1, 3)
    else:
        load_register(f, line, known, all_, o.dst, bytes_, 0, 2, 1, 0)
        if o.dist == LOAD_SPLIT:
            load_register(f, line, known, all_, (o.dst + 1) & 31, bytes_, 1, 2, 1, 0)


cdef void store_values(Machine* m, Sub* s, Simd* f, const Op* o) noexcept nogil:
    """Register -> UB, by the store's distribution; only elements of the mask."""
    cdef int bytes_ = width_bytes(o), i, r, e, count = stored(o.dist, VBYTES // bytes_)
    cdef int64_t at = f.x[o.base] + o.offset, to
    cdef uint8_t* data = s.spaces[SPACE_UB].data
    cdef uint8_t* valid = s.spaces[SPACE_UB].valid
    cdef const uint8_t* mask = f.p[o.mask - 1] if o.mask and o.dist != STORE_ONE else NULL
    cdef bint whole = f.state[o.src] == K_ALL
    cdef int step = 2 if o.dist == STORE_PACK else 4 if o.dist == STORE_PACK4 else 1
    if mask != NULL and f.first[o.mask - 1] >= 0:
        count, mask = min(count, f.first[o.mask - 1]), NULL
    if whole and mask == NULL and not o.stride and o.dist != STORE_ZIP:
        memset(valid + at, 1, count * bytes_)
        if step == 1:
            memcpy(data + at, f.v[o.src], count * bytes_)
        elif bytes_ == 1:
            for i in range(count):
                data[at + i] = f.v[o.src][i * step]
        elif bytes_ == 2:
            for i in range(count):
                (<uint16_t*> (data + at))[i] = (<uint16_t*> f.v[o.src])[i * step]
        else:
            for i in range(count):
                (<uint32_t*> (data + at))[i] = (<uint32_t*> f.v[o.src])[i * step]
        return
    for i in range(count):
        r, e = o.src, i * step
        if o.dist == STORE_ZIP: r, e = (o.src + (i & 1)) & 31, i >> 1
        if not takes_part(mask, i):
            continue
        if not known_of(f, r)[e * bytes_]:
            fault(m, FAULT_POISON, s, f.op, -1, SPACE_UB, -1, 0)
            return
        to = at + i * bytes_
        if o.stride and o.dist == STORE_NORM:
            to = at + (i * bytes_ // 32) * o.stride + i * bytes_ % 32
        memcpy(data + to, f.v[r] + e * bytes_, bytes_)
        memset(valid + to, 1, bytes_)


cdef void indexed_values(Machine* m, Sub* s, Simd* f, const Op* o) noexcept nogil:
    """vgather and vscatter."""
    cdef int bytes_ = width_bytes(o), i
    cdef const uint8_t* mask = f.p[o.mask - 1] if o.mask else NULL
    cdef const uint8_t* src_known = NULL
    cdef int64_t at
    cdef uint8_t[VBYTES] made, known
    cdef Space* ub = &s.spaces[SPACE_UB]
    if o.code == OP_VSCATTER:
        src_known = known_of(f, o.src)
    memset(made, 0, VBYTES)
    memset(known, 1, VBYTES)
    for i in range(VBYTES // bytes_):
        if not takes_part(mask, i):
            continue
        at = lane_at(f, o, i, bytes_)
        if o.code == OP_VGATHER:
            memcpy(made + i * bytes_, ub.data + at, bytes_)
            memcpy(known + i * bytes_, ub.valid + at, bytes_)
            continue
        if not src_known[i * bytes_]:
            fault(m, FAULT_POISON, s, f.op, -1, SPACE_UB, -1, 0)
            return
        memcpy(ub.data + at, f.v[o.src] + i * bytes_, bytes_)
        memset(ub.valid + at, 1, bytes_)
    if o.code == OP_VGATHER:
        write_lanes(f, o.dst, made, known, mask, False, bytes_)
