# What the C code of this directory asks of the compiler. Included first by every .pyx here.

cdef extern from *:
    """
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* One binary, the widest vectors the CPU has. Results do not depend on the clone: no reassociation
   and no contraction happen in any of them. Needs ifunc, hence glibc. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define PRESIL_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define PRESIL_CLONES
#endif

/* A clone can only vectorise what is inside it. */
#if defined(__GNUC__)
#define PRESIL_INLINE static inline __attribute__((always_inline))
#else
#define PRESIL_INLINE static inline
#endif

/* Element i depends on element i alone: vectorise, though input and output may be one array. */
#if defined(__clang__)
#define PRESIL_LANES _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define PRESIL_LANES _Pragma("GCC ivdep")
#else
#define PRESIL_LANES
#endif

/* A short loop that is to become vectors, not to be unrolled. */
#if defined(__GNUC__) && !defined(__clang__)
#define PRESIL_ROLLED _Pragma("GCC unroll 1")
#else
#define PRESIL_ROLLED
#endif
    """
