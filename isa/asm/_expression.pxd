cdef class Scope:
    cdef public dict symbols
    cdef public object lookup, facts
    cdef public bint used
    cpdef object evaluate(self, str text)
    cdef object find(self, str name)
