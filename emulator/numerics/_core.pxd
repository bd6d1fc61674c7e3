"""C interface of the numerics core, for other compiled modules.

    from emulator.numerics._core cimport Fmt, decode_to_f32, encode_from_f32, exact_matvec

Everything here is pure, thread-safe, and needs neither the GIL nor an allocation. Pointers need no
alignment beyond their type's; input and output may be one array where their elements have the same
size.

Codes in memory (`const void* codes`), one element each, never packed:
    uint8    e4m3 e5m2 e2m3 e3m2 e2m1 e8m0 hif8 uint8    (narrow formats use the low bits)
    int8     int8, int4 (int4 is written sign-extended; on reading only the low four bits count)
    uint16   bf16 fp16
    uint32   fp32, tf32 (a float32 whose low 13 bits are 0)
    int32    int32
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

# The numbers are stable: they are the row numbers of `formats.FORMATS` (checked at import).
cpdef enum Fmt:
    FP32 = 0
    TF32 = 1
    BF16 = 2
    FP16 = 3
    E4M3 = 4
    E5M2 = 5
    E2M3 = 6
    E3M2 = 7
    E2M1 = 8
    E8M0 = 9
    HIF8 = 10
    INT8 = 11
    INT4 = 12
    INT32 = 13
    UINT8 = 14

cpdef enum Rounding:
    NEAREST_EVEN = 0
    TOWARD_ZERO = 1
    TIES_AWAY = 2
    STOCHASTIC = 3

# --- codes <-> numbers ----------------------------------------------------------------------------

cdef int code_bytes(int fmt) noexcept nogil
"""Bytes of one code in memory: 1, 2 or 4."""

cdef void decode_to_f32(int fmt, const void* codes, float* out, Py_ssize_t n) noexcept nogil
"""Exact for every format except int32, which rounds to nearest even."""

cdef void decode_to_f64(int fmt, const void* codes, double* out, Py_ssize_t n) noexcept nogil
"""Exact for every format."""

cdef void encode_from_f32(
    int fmt, const float* x, void* codes, Py_ssize_t n, bint saturate) noexcept nogil
"""Nearest even (hif8: its own nearest, ties away).

saturate: too large, Inf included, becomes the largest finite value of the sign; fp32 has no
saturating mode.
otherwise: Inf where the format has it, else NaN (e4m3, e8m0), else the largest
value (e2m3, e3m2, e2m1).
NaN becomes the canonical positive NaN; in e2m3, e3m2, e2m1 the largest value; in integers 0.
Integers: saturate clamps to the full range (int8 -128..127), otherwise the
low bits remain (Inf gives 0).
"""

cdef void encode_from_f32_rounded(
    int fmt, const float* x, void* codes, Py_ssize_t n, bint saturate,
    int rounding, uint64_t seed, uint64_t first) noexcept nogil
"""As encode_from_f32 with a Rounding. STOCHASTIC draws from (seed, first + i) for element i."""

cdef void encode_from_f64_rounded(
    int fmt, const double* x, void* codes, Py_ssize_t n, bint saturate,
    int rounding, uint64_t seed, uint64_t first) noexcept nogil
"""As above, rounding each float64 once (never through a rounded float32)."""

cdef void f64_to_f32(const double* x, float* out, Py_ssize_t n) noexcept nogil
cdef void i32_to_f32(const int32_t* x, float* out, Py_ssize_t n) noexcept nogil
cdef void f32_to_i32(const float* x, int32_t* out, Py_ssize_t n, bint saturate) noexcept nogil
"""Each nearest even. f32_to_i32: as encode to int32."""

cdef void canonical_nan(float* x, Py_ssize_t n) noexcept nogil
"""In place: every NaN becomes 0x7fc00000. The bits of a computed NaN differ between CPUs."""

cdef uint64_t random_bits(uint64_t seed, uint64_t index) noexcept nogil
"""The counter-based generator: 64 uniform bits that depend on nothing but (seed, index)."""

# --- elementary functions on float32: within 0.51 ulp, same bits on every machine -----------------

cdef float exp2_f32(float x) noexcept nogil
cdef float exp_f32(float x) noexcept nogil
cdef float ln_f32(float x) noexcept nogil
cdef float sqrt_f32(float x) noexcept nogil
cdef float rsqrt_f32(float x) noexcept nogil
cdef float tanh_f32(float x) noexcept nogil
cdef float erf_f32(float x) noexcept nogil

# Vector forms, several times faster per element.
cdef void vec_exp2(const float* x, float* out, Py_ssize_t n) noexcept nogil
cdef void vec_exp(const float* x, float* out, Py_ssize_t n) noexcept nogil
cdef void vec_ln(const float* x, float* out, Py_ssize_t n) noexcept nogil
cdef void vec_sqrt(const float* x, float* out, Py_ssize_t n) noexcept nogil
cdef void vec_rsqrt(const float* x, float* out, Py_ssize_t n) noexcept nogil
cdef void vec_tanh(const float* x, float* out, Py_ssize_t n) noexcept nogil
cdef void vec_erf(const float* x, float* out, Py_ssize_t n) noexcept nogil

# --- exact products -------------------------------------------------------------------------------

cdef void exact_matvec(
    const double* w, const double* x, int K, int N, int ldw,
    float* out, double* scratch) noexcept nogil
"""out[n] = fp32(sum over k of w[k][n] * x[k]), the sum exact, one rounding to nearest even.

w: K rows of N values, rows ldw apart; scratch: 2 N doubles. Every product must be exact in float64
(true for 24-bit significands with exponents within +-300). A zero sum gives +0. IEEE where values
are not finite: NaN, 0 * Inf and Inf - Inf give the canonical NaN.
"""

cdef void exact_matmul(
    const double* a, const double* b, Py_ssize_t M, Py_ssize_t K, Py_ssize_t N,
    Py_ssize_t lda, Py_ssize_t ldb, float* out, Py_ssize_t ldo, double* scratch) noexcept nogil
"""exact_matvec of every row of a[M][lda] with b[K][ldb] into out[M][ldo]; scratch: 2 N doubles."""

cdef float exact_dot_strided(
    const double* a, Py_ssize_t stride_a, const double* b, Py_ssize_t stride_b,
    Py_ssize_t K) noexcept nogil
"""One output by the wide accumulator (no certificate): the definition the fast path must meet."""

cdef struct ProductScratch:
    # Buffers that add_chunks grows as it needs them: all zero at first, one for each thread.
    void* a
    void* b
    void* stats
    void* row
    Py_ssize_t a_bytes, b_bytes, stats_bytes, row_bytes
    int laid                    # how multiply_rows has laid out b

cdef bint add_chunks(
    ProductScratch* w, int fmt, bint packed, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
    Py_ssize_t chunk, const uint8_t* a, const uint8_t* a_scale, const uint8_t* b,
    const uint8_t* b_scale, void* acc) noexcept nogil
"""acc[M][N] += a[M][K] b[K][N], chunk by chunk of `chunk` along k.

a, b: codes, row by row without gaps; `packed`: two 4-bit codes a byte, the low half first, rows of
whole bytes. a_scale [M][K / 32 up], b_scale [K / 32 up][N]: e8m0 codes of blocks of 32 along k, or
both NULL. acc: float, each chunk's exact sum rounded once, then added in float32, NaN canonical; for
integer formats int32, saturating after each chunk. False: out of memory.
"""

cdef bint multiply_rows(
    ProductScratch* w, int fmt, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K,
    const uint8_t* const* a, const uint8_t* const* a_scale, const uint8_t* const* b,
    const uint8_t* const* b_scale, void* acc, Py_ssize_t pitch, bint start,
    bint again) noexcept nogil
"""acc[M][pitch] += a b' of M rows a and N rows b of K codes each: one exact sum, rounded once.

Rows may lie anywhere. a_scale: M rows of K e8m0 codes, one for each element; b_scale: K / 32 up rows
of N, one for each block; or both NULL. acc as in add_chunks; `start`: = in place of +=, and what lies
beyond N is left alone. `again`: b, its scales, N, K and fmt are those of the call before with this
scratch, whose layout of b may serve once more. False: out of memory.
"""

cdef void free_scratch(ProductScratch* w) noexcept nogil

cdef void plain_matvec(
    const double* w, const double* x, int K, int N, int ldw, double* out) noexcept nogil
"""The double sums alone: exact, hence complete, when K <= exact_k(format of w, format of x)."""

cdef Py_ssize_t exact_k(int fmt_a, int fmt_b) noexcept nogil
"""Largest K for which every sum of K products in float64 is exact in any order; 0 if none."""

cdef void sat_add_i32(int32_t* acc, const int32_t* x, Py_ssize_t n) noexcept nogil
"""acc[i] = clamp(acc[i] + x[i])."""
