# Operands of integer products, four bytes of k in one: for CPUs that multiply and add four bytes in
# one instruction. Part of _core.pyx.
#
# The instruction takes unsigned bytes of one operand. A panel holds b + 128, and 128 times the sum of
# a row is taken off again when a chunk is settled. All of it is modulo 2^32, and the true sum fits.

cdef extern from *:
    """
/* int8, or int4, of which only the low four bits count. */
PRESIL_CLONES static void presil_int_row(
    int low4, const uint8_t *codes, uint8_t *out, ptrdiff_t n) {
    if (low4) for (ptrdiff_t i = 0; i < n; i++) out[i] = (uint8_t)(((codes[i] & 15) ^ 8) - 8);
    else memcpy(out, codes, (size_t)n);
}

/* -128 times the sum of some int8. */
PRESIL_CLONES static int32_t presil_int_bias(const int8_t *x, ptrdiff_t n) {
    int32_t sum = 0;
    for (ptrdiff_t i = 0; i < n; i++) sum += x[i];
    return -128 * sum;
}

/* One row of a, filled up with zeros to whole groups; bias of every chunk, `pitch` apart. */
static void presil_lay_int_row(
    int low4, const uint8_t *codes, ptrdiff_t K, ptrdiff_t chunk, int32_t *out, int32_t *bias,
    ptrdiff_t pitch) {
    ptrdiff_t groups = (K + 3) / 4;
    out[groups - 1] = 0;
    presil_int_row(low4, codes, (uint8_t *)out, K);
    for (ptrdiff_t first = 0; first < K; first += chunk, bias += pitch)
        *bias = presil_int_bias(
            (const int8_t *)out + first, K - first < chunk ? K - first : chunk);
}

/* Column c of a panel of `width` from a row of b with k along it. */
static void presil_lay_int_column(
    const uint8_t *codes, ptrdiff_t K, uint32_t *out, ptrdiff_t width) {
    uint32_t group;
    for (ptrdiff_t k = 0; k < K / 4; k++, codes += 4, out += width) {
        memcpy(&group, codes, 4);
        *out = group ^ 0x80808080u;
    }
    if (K % 4) {
        group = 0;
        memcpy(&group, codes, (size_t)(K % 4));
        *out = group ^ 0x80808080u;
    }
}

/* Four rows of b, one after another, as a row of its panels; those beyond K are zeros. */
PRESIL_CLONES static void presil_lay_int_groups(
    const uint8_t *rows, ptrdiff_t N, uint32_t *out) {
    const uint8_t *r1 = rows + N, *r2 = r1 + N, *r3 = r2 + N;
    for (ptrdiff_t j = 0; j < N; j++) {
        uint32_t group = rows[j] | (uint32_t)r1[j] << 8 | (uint32_t)r2[j] << 16
            | (uint32_t)r3[j] << 24;
        out[j] = group ^ 0x80808080u;
    }
}
    """
    void presil_unpack4(const uint8_t* packed, uint8_t* codes, Py_ssize_t n) noexcept nogil
    void presil_int_row(int low4, const uint8_t* codes, uint8_t* out, Py_ssize_t n) noexcept nogil
    void presil_lay_int_row(
        int low4, const uint8_t* codes, Py_ssize_t K, Py_ssize_t chunk, int32_t* out,
        int32_t* bias, Py_ssize_t pitch) noexcept nogil
    void presil_lay_int_column(
        const uint8_t* codes, Py_ssize_t K, uint32_t* out, Py_ssize_t width) noexcept nogil
    void presil_lay_int_groups(
        const uint8_t* rows, Py_ssize_t N, uint32_t* out) noexcept nogil

cdef enum:
    MOST_BYTES = 65536      # of k in a chunk: 255 * 128 * 65536 < 2^31


cdef inline bint in_bytes(int fmt, Py_ssize_t K, Py_ssize_t chunk) noexcept nogil:
    """Whether this CPU and these chunks are such that integer instructions make the sums."""
    return (presil_all_kernels[kernel_level].run_i != NULL and presil_formats[fmt].kind == 3
            and presil_formats[fmt].bytes == 1 and min(chunk, K) <= MOST_BYTES
            and (chunk >= K or chunk % 4 == 0))


cdef bint add_integer_chunks(
        ProductScratch* w, int fmt, bint packed, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
        Py_ssize_t chunk, const uint8_t* a, const uint8_t* b, void* acc) noexcept nogil:
    """`add_chunks` where `in_bytes`."""
    cdef presil_product t
    cdef const presil_kernels* kernels = &presil_all_kernels[kernel_level]
    cdef Py_ssize_t width = kernels.width_i, groups = (K + 3) // 4, chunks = (K + chunk - 1) // chunk
    cdef Py_ssize_t columns = (N + width - 1) // width * width, i, j, k, n
    cdef Py_ssize_t pitch_a = (K + 1) // 2 if packed else K, pitch_b = (N + 1) // 2 if packed else N
    cdef int low4 = fmt == INT4
    cdef uint8_t* spare
    cdef uint8_t* rows
    cdef uint32_t* row
    cdef uint32_t* panel
    if not (enough(&w.a, &w.a_bytes, 4 * M * groups)
            and enough(&w.b, &w.b_bytes, 4 * columns * groups)
            and enough(&w.row, &w.row_bytes, 8 * N + max(K, N))
            and enough(&w.stats, &w.stats_bytes, 4 * chunks * M)):
        return False
    memset(&t, 0, sizeof(t))
    t.M, t.N, t.K, t.chunk, t.pitch = M, N, groups, (chunk + 3) // 4, N
    t.a, t.b, t.acc, t.integer, t.bias = w.a, w.b, acc, True, <int32_t*> w.stats
    row = <uint32_t*> w.row
    rows, spare = <uint8_t*> (row + N), <uint8_t*> (row + 2 * N)
    for i in range(M):
        if packed:
            presil_unpack4(a + i * pitch_a, spare, K)
        presil_lay_int_row(low4, spare if packed else a + i * pitch_a, K, chunk,
                           (<int32_t*> w.a) + i * groups, (<int32_t*> w.stats) + i, M)
    for k in range(groups):
        n = min(4, K - 4 * k)
        memset(rows + n * N, 0, (4 - n) * N)
        for i in range(n):
            if packed:
                presil_unpack4(b + (4 * k + i) * pitch_b, spare, N)
            presil_int_row(low4, spare if packed else b + (4 * k + i) * pitch_b, rows + i * N, N)
        presil_lay_int_groups(rows, N, row)
        for j in range(columns // width):
            n = min(width, N - j * width)
            panel = <uint32_t*> w.b + (j * groups + k) * width
            memcpy(panel, row + j * width, 4 * n)
            memset(panel + n, 0, 4 * (width - n))
    kernels.run_i(&t)
    return True
