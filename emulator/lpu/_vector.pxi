# Growing arrays of plain rows.

cdef extern from *:
    """
    #include <stdlib.h>
    #include <string.h>
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif
    /* realloc for what grows far: in huge pages, for each small one costs a microsecond. */
    static void *lpu_grow(void *old, size_t had, size_t bytes) {
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
        const size_t page = 2u << 20;
        if (bytes >= 2 * page) {
            void *data = aligned_alloc(page, (bytes + page - 1) / page * page);
            if (!data) return NULL;
            (void)madvise(data, bytes / page * page, MADV_HUGEPAGE);
            if (had) memcpy(data, old, had);
            free(old);
            return data;
        }
    #endif
        (void)had;
        return realloc(old, bytes);
    }
    """
    void* lpu_grow(void* old, size_t had, size_t bytes) noexcept nogil


cdef struct Vector:
    char* data
    int64_t count, capacity
    int item


cdef void vector_init(Vector* v, int item) noexcept nogil:
    v.data, v.count, v.capacity, v.item = NULL, 0, 0, item


cdef int vector_reserve(Vector* v, int64_t capacity) noexcept nogil:
    """Room for so many rows in all; what is never used costs nothing. 0: memory is out."""
    cdef char* data
    if capacity <= v.capacity:
        return 1
    data = <char*> lpu_grow(v.data, v.count * v.item, capacity * v.item)
    if data == NULL:
        return 0
    v.data, v.capacity = data, capacity
    return 1


cdef void* vector_add(Vector* v) noexcept nogil:
    """Room for one more row; NULL when memory is out."""
    if v.count == v.capacity and not vector_reserve(v, 2 * v.capacity if v.capacity else 1024):
        return NULL
    v.count += 1
    return v.data + (v.count - 1) * v.item
