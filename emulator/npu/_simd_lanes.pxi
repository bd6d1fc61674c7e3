# What SIMD instructions compute, lane by lane. Part of _engine.pyx.

cdef inline int lane_bytes(int type_) noexcept nogil:
    """Bytes of an element in a register; codes of 4 and 6 bits take one."""
    if type_ == TYPE_FP32 or type_ == TYPE_INT32 or type_ == TYPE_UINT32:
        return 4
    elif type_ == TYPE_FP16 or type_ == TYPE_BF16 or type_ == TYPE_INT16 or type_ == TYPE_UINT16:
        return 2
    return 1


cdef inline int register_format(int type_) noexcept nogil:
    """The numerics core's format; -1: an integer that it does not have."""
    if type_ == TYPE_E2M1:
        return E2M1
    elif type_ == TYPE_E2M3:
        return E2M3
    elif type_ == TYPE_E3M2:
        return E3M2
    elif type_ == TYPE_E8M0:
        return E8M0
    elif type_ == TYPE_INT4:
        return INT4
    elif type_ == TYPE_INT16 or type_ == TYPE_UINT16 or type_ == TYPE_UINT32:
        return -1
    return format_of(type_)


cdef inline bint is_float(int type_) noexcept nogil:
    return type_ == TYPE_FP32 or type_ == TYPE_FP16 or type_ == TYPE_BF16


cdef inline int64_t get_int(const uint8_t* r, int i, int type_) noexcept nogil:
    if type_ == TYPE_INT32:
        return (<const int32_t*> r)[i]
    elif type_ == TYPE_UINT32:
        return (<const uint32_t*> r)[i]
    elif type_ == TYPE_INT16:
        return (<const int16_t*> r)[i]
    elif type_ == TYPE_UINT16:
        return (<const uint16_t*> r)[i]
    elif type_ == TYPE_INT8:
        return (<const int8_t*> r)[i]
    return r[i]


cdef inline void set_int(uint8_t* r, int i, int bytes_, int64_t v) noexcept nogil:
    if bytes_ == 4:
        (<uint32_t*> r)[i] = <uint32_t> v
    elif bytes_ == 2:
        (<uint16_t*> r)[i] = <uint16_t> v
    else:
        r[i] = <uint8_t> v


cdef float larger(float a, float b) noexcept nogil:
    if a != a or b != b:
        return a + b
    if a == 0 and b == 0:
        return a + b            # +0 unless both are -0
    return a if a > b else b


cdef float smaller(float a, float b) noexcept nogil:
    if a != a or b != b:
        return a + b
    if a == 0 and b == 0:
        return -(-a + -b)       # -0 unless both are +0
    return a if a < b else b


cdef void float_lanes(int code, int n, float* d, const float* a, const float* b) noexcept nogil:
    cdef int i
    if code == OP_VADD:
        for i in range(n):
            d[i] = a[i] + b[i]
    elif code == OP_VSUB:
        for i in range(n):
            d[i] = a[i] - b[i]
    elif code == OP_VMUL:
        for i in range(n):
            d[i] = a[i] * b[i]
    elif code == OP_VDIV:
        for i in range(n):
            d[i] = a[i] / b[i]
    elif code == OP_VMAX:
        for i in range(n):
            d[i] = larger(a[i], b[i])
    elif code == OP_VMIN:
        for i in range(n):
            d[i] = smaller(a[i], b[i])
    elif code == OP_VMADD:
        for i in range(n):
            d[i] = fmaf(a[i], b[i], d[i])
    elif code == OP_VNEG:
        for i in range(n):
            d[i] = -a[i]
    elif code == OP_VABS:
        for i in range(n):
            d[i] = fabsf(a[i])
    elif code == OP_VRELU:
        for i in range(n):
            d[i] = 0 if a[i] <= 0 else a[i]
    elif code == OP_VEXP:
        vec_exp(a, d, n)
    elif code == OP_VLN:
        vec_ln(a, d, n)
    elif code == OP_VSQRT:
        vec_sqrt(a, d, n)
    canonical_nan(d, n)


cdef int64_t int_lane(int code, int64_t a, int64_t b, int type_) noexcept nogil:
    cdef int bits = 8 * lane_bytes(type_)
    if code == OP_VADD:
        return a + b
    elif code == OP_VSUB:
        return a - b
    elif code == OP_VMUL:
        return <int64_t> (<uint64_t> a * <uint64_t> b)
    elif code == OP_VDIV:
        return divide(a, b)
    elif code == OP_VMAX:
        return max(a, b)
    elif code == OP_VMIN:
        return min(a, b)
    elif code == OP_VAND:
        return a & b
    elif code == OP_VOR:
        return a | b
    elif code == OP_VXOR:
        return a ^ b
    elif code == OP_VSHL:
        return <int64_t> (<uint64_t> a << b) if 0 <= b < bits else 0
    elif code == OP_VSHR:
        return a >> b if 0 <= b < bits else (-1 if a < 0 else 0)
    elif code == OP_VNOT:
        return ~a
    elif code == OP_VNEG:
        return -a
    elif code == OP_VABS:
        return -a if a < 0 else a
    return a if a > 0 else 0     # VRELU


cdef void number_to(int type_, int64_t payload, int kind, uint8_t* out) noexcept nogil:
    """A number of the word, or a scalar register's low bits, as one element of a type."""
    cdef float f
    cdef uint32_t bits = <uint32_t> payload
    cdef int64_t whole = payload
    if kind == 3:
        memcpy(&f, &bits, 4)
        whole = <int64_t> f if -9e18 < f < 9e18 else 0
    else:
        f = <float> payload
    if kind >= 2 and is_float(type_):
        encode_from_f32(register_format(type_), &f, out, 1, False)
    else:
        set_int(out, 0, lane_bytes(type_), whole)


cdef inline bint takes_part(const uint8_t* mask, int i) noexcept nogil:
    return mask == NULL or mask[i]


cdef void write_lanes(
    uint8_t* dst, uint8_t* known, const uint8_t* made, const uint8_t* made_known,
    const uint8_t* mask, bint merge, int bytes_) noexcept nogil:
    """Put a result into its register: lanes outside the mask become 0 or stay."""
    cdef int i, n = VBYTES // bytes_
    if mask == NULL:
        memcpy(dst, made, VBYTES)
        memcpy(known, made_known, VBYTES)
        return
    for i in range(n):
        if mask[i]:
            memcpy(dst + i * bytes_, made + i * bytes_, bytes_)
            memcpy(known + i * bytes_, made_known + i * bytes_, bytes_)
        elif not merge:
            memset(dst + i * bytes_, 0, bytes_)
            memset(known + i * bytes_, 1, bytes_)


cdef double rounded(double v, int rounding) noexcept nogil:
    """To an integer; random is for the numerics core's formats only and rounds to even here."""
    if rounding == 1:
        return trunc(v)
    elif rounding == 2:
        return trunc(v + (0.5 if v > 0 else -0.5)) if fabs(v) < 4503599627370496.0 else v
    return rint(v)


cdef void to_integer(int type_, const double* x, uint8_t* out, int n, bint sat, int rounding) noexcept nogil:
    """int16, uint16, uint32: as encode to int32 does it."""
    cdef double low = -32768 if type_ == TYPE_INT16 else 0, v
    cdef double high = 32767 if type_ == TYPE_INT16 else 65535 if type_ == TYPE_UINT16 else 4294967295
    cdef int i, bytes_ = lane_bytes(type_)
    for i in range(n):
        v = 0 if x[i] != x[i] else rounded(x[i], rounding)
        if sat:
            v = low if v < low else high if v > high else v
        elif not -9.2e18 < v < 9.2e18:
            v = 0
        set_int(out, i, bytes_, <int64_t> v)


cdef void convert(Simd* f, const Op* o, const uint8_t* mask) noexcept nogil:
    """vcvt: widening takes every w-th element from `part`, narrowing writes every w-th."""
    cdef int wa = lane_bytes(o.type), wd = lane_bytes(o.to), n = VBYTES // max(wa, wd), i, j
    cdef int fa = register_format(o.type), fd = register_format(o.to)
    cdef int step_a = max(wd // wa, 1), step_d = max(wa // wd, 1)
    cdef int part = o.part % max(step_a, step_d)
    cdef double[VBYTES] values
    cdef uint8_t[VBYTES] codes, lanes, known
    cdef const uint8_t* a = f.v[o.a]
    cdef uint8_t* d = f.v[o.dst]
    for i in range(n):
        j = i * step_a + (part if step_a > 1 else 0)
        memcpy(codes + i * wa, a + j * wa, wa)
        known[i] = f.known[o.a][j * wa]
    if fa < 0:
        for i in range(n):
            values[i] = get_int(codes, i, o.type)
    else:
        decode_to_f64(fa, codes, values, n)
    if fd < 0:
        to_integer(o.to, values, lanes, n, o.sat, o.round)
    else:
        encode_from_f64_rounded(fd, values, lanes, n, o.sat, o.round, 0, f.instructions * VBYTES)
    if not o.merge:
        memset(codes, 0, VBYTES)
    for i in range(VBYTES // wd):
        j = i // step_d
        if i % step_d == (part if step_d > 1 else 0) and takes_part(mask, j):
            memcpy(d + i * wd, lanes + j * wd, wd)
            memset(f.known[o.dst] + i * wd, known[j], wd)
        elif not o.merge:
            memset(d + i * wd, 0, wd)
            memset(f.known[o.dst] + i * wd, 1, wd)


cdef void reduce_lanes(Machine* m, Sub* s, Simd* f, const Op* o, const uint8_t* mask) noexcept nogil:
    """vred: a pairwise tree over neighbours; lanes left out are the operation's identity."""
    cdef int bytes_ = lane_bytes(o.type), n = VBYTES // bytes_, i, g, step
    cdef int size = n if o.group == GROUP_ALL else 8 << (o.group - GROUP_G8)
    cdef float[VBYTES] x
    cdef int64_t[VBYTES] w
    cdef uint8_t[VBYTES] out
    cdef bint real = is_float(o.type)
    cdef int code = OP_VADD if o.op == RED_SUM else OP_VMAX if o.op == RED_MAX else OP_VMIN
    for i in range(n):
        if takes_part(mask, i) and not f.known[o.a][i * bytes_]:
            fault(m, FAULT_POISON, s, f.op, -1, SPACE_UB, -1, 0)
            return
    memset(out, 0, VBYTES)
    if real:
        decode_to_f32(register_format(o.type), f.v[o.a], x, n)
        for i in range(n):
            if not takes_part(mask, i):
                x[i] = 0 if o.op == RED_SUM else -INFINITY if o.op == RED_MAX else INFINITY
    else:
        for i in range(n):
            w[i] = get_int(f.v[o.a], i, o.type) if takes_part(mask, i) else (
                0 if o.op == RED_SUM else -(<int64_t> 1 << 40) if o.op == RED_MAX else <int64_t> 1 << 40)
    step = 1
    while step < size:
        i = 0
        while i + step < n:
            if real:
                float_lanes(code, 1, &x[i], &x[i], &x[i + step])
                if o.type != TYPE_FP32:   # every step is rounded
                    encode_from_f32(register_format(o.type), &x[i], out, 1, False)
                    decode_to_f32(register_format(o.type), out, &x[i], 1)
            else:
                w[i] = int_lane(code, w[i], w[i + step], o.type)
            i += 2 * step
        step *= 2
    memset(out, 0, VBYTES)
    for g in range(n // size):
        if real:
            encode_from_f32(register_format(o.type), &x[g * size], out + g * bytes_, 1, False)
        else:
            set_int(out, g, bytes_, w[g * size])
    memcpy(f.v[o.dst], out, VBYTES)
    memset(f.known[o.dst], 1, VBYTES)
