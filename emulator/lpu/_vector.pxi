# Growing arrays of plain rows.

cdef struct Vector:
    char* data
    int64_t count, capacity
    int item


cdef void vector_init(Vector* v, int item) noexcept nogil:
    v.data, v.count, v.capacity, v.item = NULL, 0, 0, item


cdef void* vector_add(Vector* v) noexcept nogil:
    """Room for one more row; NULL when memory is out."""
    cdef char* data
    cdef int64_t capacity
    if v.count == v.capacity:
        capacity = 2 * v.capacity if v.capacity else 1024
        data = <char*> realloc(v.data, capacity * v.item)
        if data == NULL:
            return NULL
        v.data, v.capacity = data, capacity
    v.count += 1
    return v.data + (v.count - 1) * v.item
