# What SIMD instructions compute, lane by lane. Part of _engine.pyx.

cdef extern from *:
    """
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define PRESIL_FUSED __attribute__((target_clones("fma", "default")))
#else
#define PRESIL_FUSED
#endif
/* d = a * b + d and d = d * a + b, rounded once: the same bits without the CPU's instruction. */
PRESIL_FUSED static void presil_fused(int n, float *d, const float *a, const float *b) {
    for (int i = 0; i < n; i++) d[i] = __builtin_fmaf(a[i], b[i], d[i]);
}
PRESIL_FUSED static void presil_horner(int n, float *d, const float *a, const float *b) {
    for (int i = 0; i < n; i++) d[i] = __builtin_fmaf(d[i], a[i], b[i]);
}
    """
    void presil_fused(int n, float* d, const float* a, const float* b) noexcept nogil
    void presil_horner(int n, float* d, const float* a, const float* b) noexcept nogil

cdef uint8_t[VBYTES] ALL_ONES
cdef uint8_t[VBYTES] ALL_ZEROS
memset(ALL_ONES, 1, VBYTES)
memset(ALL_ZEROS, 0, VBYTES)


cdef inline const uint8_t* known_of(const Simd* f, int r) noexcept nogil:
    """A byte per byte of a register: whether somebody has written it."""
    if f.state[r] == K_ALL:
        return ALL_ONES
    elif f.state[r] == K_BYTES:
        return f.known[r]
    return ALL_ZEROS


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
        presil_fused(n, d, a, b)
    elif code == OP_VMULADD:
        presil_horner(n, d, a, b)
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


cdef bint word_lanes(int code, int type_, uint32_t* d, const uint32_t* a, const uint32_t* b) noexcept nogil:
    """The commonest operations on 32-bit integers at once; False: another one."""
    cdef int i, n = VBYTES // 4
    if code == OP_VADD:
        for i in range(n):
            d[i] = a[i] + b[i]
    elif code == OP_VSUB:
        for i in range(n):
            d[i] = a[i] - b[i]
    elif code == OP_VAND:
        for i in range(n):
            d[i] = a[i] & b[i]
    elif code == OP_VOR:
        for i in range(n):
            d[i] = a[i] | b[i]
    elif code == OP_VXOR:
        for i in range(n):
            d[i] = a[i] ^ b[i]
    elif code == OP_VSHL:
        for i in range(n):
            d[i] = a[i] << (b[i] & 31) if b[i] < 32 else 0
    elif code == OP_VSHR and type_ == TYPE_UINT32:
        for i in range(n):
            d[i] = a[i] >> (b[i] & 31) if b[i] < 32 else 0
    elif code == OP_VMAX and type_ == TYPE_INT32:
        for i in range(n):
            d[i] = <uint32_t> max(<int32_t> a[i], <int32_t> b[i])
    elif code == OP_VMIN and type_ == TYPE_INT32:
        for i in range(n):
            d[i] = <uint32_t> min(<int32_t> a[i], <int32_t> b[i])
    else:
        return False
    return True


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
    Simd* f, int r, const uint8_t* made, const uint8_t* made_known, const uint8_t* mask, bint merge,
    int bytes_) noexcept nogil:
    """Put a result into its register: lanes outside the mask become 0 or stay."""
    cdef int i, n = VBYTES // bytes_
    cdef bint all_ = made_known == ALL_ONES
    cdef uint8_t* dst = f.v[r]
    cdef uint8_t* known = f.known[r]
    if mask == NULL:
        if made != dst:
            memcpy(dst, made, VBYTES)
        f.state[r] = K_ALL if all_ else K_BYTES
        if not all_:
            memcpy(known, made_known, VBYTES)
        return
    if merge:
        all_ = all_ and f.state[r] == K_ALL
    if not all_:
        if merge and known_of(f, r) != known:
            memcpy(known, known_of(f, r), VBYTES)
        for i in range(VBYTES):
            if mask[i // bytes_]:
                known[i] = made_known[i]
            elif not merge:
                known[i] = 1
    f.state[r] = K_ALL if all_ else K_BYTES
    if bytes_ == 4:
        for i in range(n):
            (<uint32_t*> dst)[i] = (<const uint32_t*> made)[i] if mask[i] else (
                (<uint32_t*> dst)[i] if merge else 0)
    elif bytes_ == 2:
        for i in range(n):
            (<uint16_t*> dst)[i] = (<const uint16_t*> made)[i] if mask[i] else (
                (<uint16_t*> dst)[i] if merge else 0)
    else:
        for i in range(n):
            dst[i] = made[i] if mask[i] else (dst[i] if merge else 0)


cdef const uint8_t* both_known(const Simd* f, const uint8_t* a, const uint8_t* b, uint8_t* out) noexcept nogil:
    """Bytes known of two sources: of a lane-wise result."""
    cdef int i
    if a == ALL_ONES:
        return b
    if b == ALL_ONES:
        return a
    for i in range(VBYTES):
        out[i] = a[i] & b[i]
    return out


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


cdef void gather_lanes(uint8_t* out, const uint8_t* a, int n, int bytes_, int first, int step) noexcept nogil:
    """out[i] = a[first + i * step], elements of so many bytes."""
    cdef int i
    if bytes_ == 4:
        for i in range(n):
            (<uint32_t*> out)[i] = (<const uint32_t*> a)[first + i * step]
    elif bytes_ == 2:
        for i in range(n):
            (<uint16_t*> out)[i] = (<const uint16_t*> a)[first + i * step]
    else:
        for i in range(n):
            out[i] = a[first + i * step]


cdef void convert(Simd* f, const Op* o, const uint8_t* mask) noexcept nogil:
    """vcvt: widening takes every w-th element from `part`, narrowing writes every w-th."""
    cdef int wa = lane_bytes(o.type), wd = lane_bytes(o.to), n = VBYTES // max(wa, wd), i, j
    cdef int fa = register_format(o.type), fd = register_format(o.to)
    cdef int step_a = max(wd // wa, 1), step_d = max(wa // wd, 1)
    cdef int part_a = o.part % step_a, part_d = o.part % step_d
    cdef double[VBYTES] values
    cdef float[VBYTES] numbers
    cdef uint8_t[VBYTES] codes, lanes, out, known
    cdef const uint8_t* a_known = known_of(f, o.a)
    gather_lanes(codes, f.v[o.a], n, wa, part_a, step_a)
    if is_float(o.type) and fd >= 0 and o.round == 0:   # float32 holds every value exactly
        if o.type == TYPE_FP32:
            encode_from_f32(fd, <float*> codes, lanes, n, o.sat)
        else:
            decode_to_f32(fa, codes, numbers, n)
            encode_from_f32(fd, numbers, lanes, n, o.sat)
    elif o.to == TYPE_FP32 and wa == 1:
        decode_to_f32(fa, codes, <float*> lanes, n)
    else:
        if fa < 0:
            for i in range(n):
                values[i] = get_int(codes, i, o.type)
        else:
            decode_to_f64(fa, codes, values, n)
        if fd < 0:
            to_integer(o.to, values, lanes, n, o.sat, o.round)
        else:
            encode_from_f64_rounded(fd, values, lanes, n, o.sat, o.round, 0,
                                    <uint64_t> f.instructions * VBYTES)
    if step_d == 1:
        if a_known != ALL_ONES:
            for i in range(n):
                memset(known + i * wd, a_known[(i * step_a + part_a) * wa], wd)
            a_known = known
        write_lanes(f, o.dst, lanes, a_known, mask, o.merge, wd)
        return
    # Narrowing: its results lie among other elements, which stay (merge) or become 0.
    if o.merge:
        memcpy(out, f.v[o.dst], VBYTES)
        memcpy(known, known_of(f, o.dst), VBYTES)
    else:
        memset(out, 0, VBYTES)
        memset(known, 1, VBYTES)
    for i in range(n):
        j = i * step_d + part_d
        if takes_part(mask, i):
            if wd == 2:
                (<uint16_t*> out)[j] = (<uint16_t*> lanes)[i]
            else:
                out[j] = lanes[i]
            memset(known + j * wd, a_known[i * wa], wd)
    memcpy(f.v[o.dst], out, VBYTES)
    set_known(f, o.dst, known)


cdef inline void set_known(Simd* f, int r, const uint8_t* known) noexcept nogil:
    """What is known of a register's bytes, as short as it can be said."""
    if known == ALL_ONES or memchr(known, 0, VBYTES) == NULL:
        f.state[r] = K_ALL
    else:
        f.state[r] = K_BYTES
        memcpy(f.known[r], known, VBYTES)


cdef void reduce_lanes(Machine* m, Sub* s, Simd* f, const Op* o, const uint8_t* mask) noexcept nogil:
    """vred: a pairwise tree over neighbours; lanes left out are the operation's identity."""
    cdef int bytes_ = lane_bytes(o.type), n = VBYTES // bytes_, i, count = n
    cdef int size = n if o.group == GROUP_ALL else 8 << (o.group - GROUP_G8)
    cdef int steps = size
    cdef float[VBYTES] x, y
    cdef int64_t[VBYTES] w
    cdef uint8_t[VBYTES] out
    cdef bint real = is_float(o.type)
    cdef const uint8_t* known = known_of(f, o.a)
    cdef int code = OP_VADD if o.op == RED_SUM else OP_VMAX if o.op == RED_MAX else OP_VMIN
    cdef int format_ = register_format(o.type)
    if known != ALL_ONES:
        for i in range(n):
            if takes_part(mask, i) and not known[i * bytes_]:
                fault(m, FAULT_POISON, s, f.op, -1, SPACE_UB, -1, 0)
                return
    memset(out, 0, VBYTES)
    if real:
        decode_to_f32(format_, f.v[o.a], x, n)
        if mask != NULL:
            for i in range(n):
                if not mask[i]:
                    x[i] = 0 if o.op == RED_SUM else -INFINITY if o.op == RED_MAX else INFINITY
        while steps > 1:
            count //= 2
            steps //= 2
            for i in range(count):
                y[i] = x[2 * i + 1]
            for i in range(count):
                x[i] = x[2 * i]
            float_lanes(code, count, x, x, y)
            if o.type != TYPE_FP32:   # every step is rounded
                encode_from_f32(format_, x, out, count, False)
                decode_to_f32(format_, out, x, count)
        memset(out, 0, VBYTES)
        encode_from_f32(format_, x, out, n // size, False)
    else:
        for i in range(n):
            w[i] = get_int(f.v[o.a], i, o.type) if takes_part(mask, i) else (
                0 if o.op == RED_SUM else -(<int64_t> 1 << 40) if o.op == RED_MAX else <int64_t> 1 << 40)
        while steps > 1:
            count //= 2
            steps //= 2
            for i in range(count):
                w[i] = int_lane(code, w[2 * i], w[2 * i + 1], o.type)
        for i in range(n // size):
            set_int(out, i, bytes_, w[i])
    memcpy(f.v[o.dst], out, VBYTES)
    f.state[o.dst] = K_ALL
