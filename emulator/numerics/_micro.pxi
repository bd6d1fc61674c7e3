# Micro-kernels of chunked products: the inner loops of a BLAS, with the rounding of every chunk done
# while its sums are in L1. Part of _core.pyx.
#
# The right factor lies in panels of as many columns as a kernel's registers hold, each panel [K][NR]
# and padded with zeros; the left one row by row. A kernel sums one chunk of a few rows and one panel
# in registers; what becomes of the sums is the next function's affair (presil_settle_*).
# The order of the additions, and whether they are fused, differ between the kernels. It cannot be
# seen: sums are exact, or certified, or made again (_certify.pxi).

cdef extern from *:
    """
#define PRESIL_MOST_ROWS 8

/* Chunk by chunk of k: acc[M][pitch] += round(a[M][K] b[K][N]); `start`: = for the first. */
typedef struct {
    ptrdiff_t M, N, K, chunk, pitch;
    const void *a, *b;              /* rows; panels */
    void *acc;                      /* float, or int32_t if `integer`: saturating */
    int integer, start;
    const int32_t *bias;            /* of every chunk and row [M], what its integer sums lack */
    /* Of every chunk: norm and grain of rows [M] and of padded columns. NULL: sums are exact. */
    const double *norm_a, *grain_a, *norm_b, *grain_b;
} presil_product;

/* acc[0..n) += sums of one row of a panel. T is their type; float sums are exact. */
#define PRESIL_SETTLE_INTEGERS(T)                                                                 \\
    int32_t *acc = (int32_t *)to;                                                                 \\
    if (start) {                                                                                  \\
        PRESIL_LANES                                                                              \\
        for (ptrdiff_t j = 0; j < n; j++) acc[j] = (int32_t)sums[j];                              \\
        return;                                                                                   \\
    }                                                                                             \\
    PRESIL_LANES                                                                                  \\
    for (ptrdiff_t j = 0; j < n; j++) {                                                           \\
        double v = (double)sums[j] + (double)acc[j];                                              \\
        v = presil_where64(v > 2147483647.0, 2147483647.0, v);                                    \\
        acc[j] = (int32_t)presil_where64(v < -2147483648.0, -2147483648.0, v);                    \\
    }

/* The same of float32 numbers, NaN canonical. A sum that starts an accumulator may be -0. */
#define PRESIL_SETTLE_FLOATS(PART)                                                                \\
    if (start) {                                                                                  \\
        PRESIL_LANES                                                                              \\
        for (ptrdiff_t j = 0; j < n; j++) {                                                       \\
            float v = (PART);                                                                     \\
            acc[j] = presil_f32(presil_pick(v == v, presil_bits32(v), PRESIL_NAN));               \\
        }                                                                                         \\
        return;                                                                                   \\
    }                                                                                             \\
    PRESIL_LANES                                                                                  \\
    for (ptrdiff_t j = 0; j < n; j++) {                                                           \\
        float v = acc[j] + (PART);                                                                \\
        acc[j] = presil_f32(presil_pick(v == v, presil_bits32(v), PRESIL_NAN));                   \\
    }

PRESIL_INLINE void presil_settle_int32_t(
    const presil_product *t, ptrdiff_t chunk, ptrdiff_t i, ptrdiff_t column, ptrdiff_t n,
    const int32_t *sums, const int32_t *a, const int32_t *b, ptrdiff_t K, ptrdiff_t ldb, void *to) {
    (void)column, (void)a, (void)b, (void)K, (void)ldb;
    int start = t->start && !chunk;
    uint32_t bias = (uint32_t)t->bias[chunk * t->M + i], *acc = (uint32_t *)to;
    if (start) {
        PRESIL_LANES
        for (ptrdiff_t j = 0; j < n; j++) acc[j] = (uint32_t)sums[j] + bias;
        return;
    }
    PRESIL_LANES
    for (ptrdiff_t j = 0; j < n; j++) {
        uint32_t x = acc[j], y = (uint32_t)sums[j] + bias, sum = x + y;
        uint32_t over = 0u - (((x ^ sum) & (y ^ sum)) >> 31);
        acc[j] = (sum & ~over) | ((0x7fffffffu + (x >> 31)) & over);
    }
}

PRESIL_INLINE void presil_settle_float(
    const presil_product *t, ptrdiff_t chunk, ptrdiff_t i, ptrdiff_t column, ptrdiff_t n,
    const float *sums, const float *a, const float *b, ptrdiff_t K, ptrdiff_t ldb, void *to) {
    (void)i, (void)column, (void)a, (void)b, (void)K, (void)ldb;
    int start = t->start && !chunk;
    if (t->integer) {
        PRESIL_SETTLE_INTEGERS(float)
        return;
    }
    float *acc = (float *)to;
    PRESIL_SETTLE_FLOATS(sums[j])
}

PRESIL_INLINE void presil_settle_double(
    const presil_product *t, ptrdiff_t chunk, ptrdiff_t i, ptrdiff_t column, ptrdiff_t n,
    const double *sums, const double *a, const double *b, ptrdiff_t K, ptrdiff_t ldb, void *to) {
    int start = t->start && !chunk;
    if (t->integer) {
        PRESIL_SETTLE_INTEGERS(double)
        return;
    }
    float *acc = (float *)to;
    if (!t->norm_a) {
        PRESIL_SETTLE_FLOATS((float)sums[j])
        return;
    }
    ptrdiff_t columns = (t->N + ldb - 1) / ldb * ldb;
    const double *norm = t->norm_b + chunk * columns + column;
    const double *grain = t->grain_b + chunk * columns + column;
    double norm_a = t->norm_a[chunk * t->M + i], grain_a = t->grain_a[chunk * t->M + i];
    double relative = (double)(K + 2) * 0x1p-53;
    float part[64];
    int32_t good[64], bad = 0;
    PRESIL_LANES
    for (ptrdiff_t j = 0; j < n; j++) {
        double e = norm_a * norm[j] * relative;
        e = presil_where64(grain_a * grain[j] <= 9007199254740992.0, 0.0, e);
        float low = (float)(sums[j] - e), high = (float)(sums[j] + e);
        part[j] = low;
        good[j] = presil_bits32(low) == presil_bits32(high);
    }
    for (ptrdiff_t j = 0; j < n; j++) bad += !good[j];
    for (ptrdiff_t j = 0; bad && j < n; j++) {
        if (good[j]) continue;
        int finite = norm_a <= PRESIL_MAX64 && norm[j] <= PRESIL_MAX64;
        part[j] = finite ? presil_exact_dot(b + j, ldb, a, 1, K) : presil_wide_dot(b + j, ldb, a, 1, K);
    }
    PRESIL_SETTLE_FLOATS(part[j])
}

/* What a number of a row and a vector of a panel add. */
#define PRESIL_MULTIPLY(V, c, w, x) (c) += (w) * (x)

/* sums[r][W NV] = sum over k of a[r][k] b[k][.], for MR rows, in MR NV vectors of W. */
#define PRESIL_MICRO(NAME, TARGET, T, V, W, MR, NV, ADD)                                          \\
TARGET __attribute__((noinline))                                                                  \\
static void NAME(const T *const *a, const T *b, ptrdiff_t K, T *sums) {                           \\
    V c[MR][NV], w[NV];                                                                           \\
    _Pragma("GCC unroll 8") for (int i = 0; i < MR; i++)                                          \\
        _Pragma("GCC unroll 8") for (int j = 0; j < NV; j++) c[i][j] = (V){0};                    \\
    for (ptrdiff_t k = 0; k < K; k++, b += NV * W) {                                              \\
        _Pragma("GCC unroll 8") for (int j = 0; j < NV; j++) w[j] = *(const V *)(b + j * W);      \\
        _Pragma("GCC unroll 8") for (int i = 0; i < MR; i++) {                                    \\
            T x = a[i][k];                                                                        \\
            _Pragma("GCC unroll 8") for (int j = 0; j < NV; j++) ADD(V, c[i][j], w[j], x);        \\
        }                                                                                         \\
    }                                                                                             \\
    _Pragma("GCC unroll 8") for (int i = 0; i < MR; i++)                                          \\
        _Pragma("GCC unroll 8") for (int j = 0; j < NV; j++)                                      \\
            *(V *)(sums + (i * NV + j) * W) = c[i][j];                                            \\
}

/* All of a product: a panel stays in L1 while the rows of a chunk pass by. */
#define PRESIL_DRIVER(NAME, TARGET, T, MICRO, MR, NR)                                             \\
TARGET static void NAME(const presil_product *t) {                                                \\
    __attribute__((aligned(64))) T sums[MR * NR];                                                 \\
    const T *rows[PRESIL_MOST_ROWS];                                                              \\
    for (ptrdiff_t first = 0, chunk = 0; first < t->K; first += t->chunk, chunk++) {              \\
        ptrdiff_t K = t->K - first < t->chunk ? t->K - first : t->chunk;                          \\
        for (ptrdiff_t j = 0; j < t->N; j += NR) {                                                \\
            ptrdiff_t n = t->N - j < NR ? t->N - j : NR;                                          \\
            const T *b = (const T *)t->b + j * t->K + first * NR;                                 \\
            for (ptrdiff_t i = 0; i < t->M; i += MR) {                                            \\
                for (ptrdiff_t r = 0; r < MR; r++) {                                              \\
                    ptrdiff_t row = i + r < t->M ? i + r : t->M - 1;                              \\
                    rows[r] = (const T *)t->a + row * t->K + first;                               \\
                }                                                                                 \\
                MICRO(rows, b, K, sums);                                                          \\
                for (ptrdiff_t r = 0; r < MR && i + r < t->M; r++) {                              \\
                    void *to = (float *)t->acc + (i + r) * t->pitch + j;  /* int32 is as wide */  \\
                    if (n == NR)                                                                  \\
                        presil_settle_##T(t, chunk, i + r, j, NR, sums + r * NR, rows[r], b, K,   \\
                                          NR, to);                                                \\
                    else                                                                          \\
                        presil_settle_##T(t, chunk, i + r, j, n, sums + r * NR, rows[r], b, K,    \\
                                          NR, to);                                                \\
                }                                                                                 \\
            }                                                                                     \\
        }                                                                                         \\
    }                                                                                             \\
}

typedef float presil_4f __attribute__((vector_size(16), aligned(4)));
typedef double presil_2d __attribute__((vector_size(16), aligned(8)));

/* Only here may the compiler fuse: see above why it does not matter. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize ("fp-contract=fast")
#endif
PRESIL_MICRO(presil_micro_f, , float, presil_4f, 4, 4, 2, PRESIL_MULTIPLY)
PRESIL_MICRO(presil_micro_d, , double, presil_2d, 2, 4, 2, PRESIL_MULTIPLY)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PRESIL_WIDE
#define PRESIL_AVX2 __attribute__((target("avx2,fma")))
#define PRESIL_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,prefer-vector-width=512")))
typedef float presil_8f __attribute__((vector_size(32), aligned(4)));
typedef float presil_16f __attribute__((vector_size(64), aligned(4)));
typedef double presil_8d __attribute__((vector_size(64), aligned(8)));
PRESIL_MICRO(presil_micro_f_avx2, PRESIL_AVX2, float, presil_8f, 8, 4, 3, PRESIL_MULTIPLY)
PRESIL_MICRO(presil_micro_d_avx2, PRESIL_AVX2, double, presil_4d, 4, 4, 3, PRESIL_MULTIPLY)
PRESIL_MICRO(presil_micro_f_avx512, PRESIL_AVX512, float, presil_16f, 16, 8, 3, PRESIL_MULTIPLY)
PRESIL_MICRO(presil_micro_d_avx512, PRESIL_AVX512, double, presil_8d, 8, 8, 3, PRESIL_MULTIPLY)
#endif
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
#ifdef PRESIL_WIDE
/* Four bytes of k at a time: unsigned ones of the panel, signed ones of the row. */
#include <immintrin.h>
#define PRESIL_VNNI __attribute__((target( \\
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512")))
#define PRESIL_DOT4(V, c, w, x) \\
    (c) = (V)_mm512_dpbusd_epi32((__m512i)(c), (__m512i)(w), _mm512_set1_epi32(x))
typedef int32_t presil_16i __attribute__((vector_size(64), aligned(4)));
PRESIL_MICRO(presil_micro_i_vnni, PRESIL_VNNI, int32_t, presil_16i, 16, 8, 3, PRESIL_DOT4)
#endif

PRESIL_DRIVER(presil_chunks_f, , float, presil_micro_f, 4, 8)
PRESIL_DRIVER(presil_chunks_d, , double, presil_micro_d, 4, 4)
#ifdef PRESIL_WIDE
PRESIL_DRIVER(presil_chunks_f_avx2, PRESIL_AVX2, float, presil_micro_f_avx2, 4, 24)
PRESIL_DRIVER(presil_chunks_d_avx2, PRESIL_AVX2, double, presil_micro_d_avx2, 4, 12)
PRESIL_DRIVER(presil_chunks_f_avx512, PRESIL_AVX512, float, presil_micro_f_avx512, 8, 48)
PRESIL_DRIVER(presil_chunks_d_avx512, PRESIL_AVX512, double, presil_micro_d_avx512, 8, 24)
PRESIL_DRIVER(presil_chunks_i_vnni, PRESIL_VNNI, int32_t, presil_micro_i_vnni, 8, 48)
#endif

typedef struct {
    const char *name;
    ptrdiff_t width_f, width_d, width_i;  /* columns of a panel */
    void (*run_f)(const presil_product *), (*run_d)(const presil_product *);
    void (*run_i)(const presil_product *);  /* K and chunk in groups of four bytes; NULL: none */
} presil_kernels;

static const presil_kernels presil_all_kernels[] = {
    {"portable", 8, 4, 0, presil_chunks_f, presil_chunks_d, NULL},
#ifdef PRESIL_WIDE
    {"avx2", 24, 12, 0, presil_chunks_f_avx2, presil_chunks_d_avx2, NULL},
    {"avx512", 48, 24, 0, presil_chunks_f_avx512, presil_chunks_d_avx512, NULL},
    {"vnni", 48, 24, 48, presil_chunks_f_avx512, presil_chunks_d_avx512, presil_chunks_i_vnni},
#endif
};

/* How many of them this CPU has; the last of those is the fastest. */
static int presil_kernel_count(void) {
#ifdef PRESIL_WIDE
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq")
        || !__builtin_cpu_supports("avx512vl"))
        return 2;
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni") ? 4 : 3;
#else
    return 1;
#endif
}
    """
    ctypedef struct presil_product:
        Py_ssize_t M, N, K, chunk, pitch
        const void* a
        const void* b
        void* acc
        int integer, start
        const int32_t* bias
        const double* norm_a
        const double* grain_a
        const double* norm_b
        const double* grain_b
    ctypedef struct presil_kernels:
        const char* name
        Py_ssize_t width_f, width_d, width_i
        void (*run_f)(const presil_product*) noexcept nogil
        void (*run_d)(const presil_product*) noexcept nogil
        void (*run_i)(const presil_product*) noexcept nogil
    const presil_kernels presil_all_kernels[]
    int presil_kernel_count() noexcept nogil
