# State of a SIMD function while it runs, and when its instructions issue. Part of _engine.pyx.
#
# V takes instructions in order into a window and issues each as soon as its operands are there, a
# port is free and (loads, stores) its UB banks are: one cycle per pass. A hardware loop costs
# nothing by itself.

cdef enum:
    VBYTES = 256
    VREGS = 32
    LOOPS = 4
    HORIZON = 4096          # cycles of the port calendar
    RANGES = 32

cdef enum:  # what issues an instruction
    PORT_ARITHMETIC, PORT_LOAD, PORT_STORE, PORT_SCALAR, PORT_SPECIAL, PORTS

cdef struct Cycle:          # of the calendar
    int64_t time
    uint32_t banks          # of UB in use
    uint8_t[PORTS] used

cdef struct Loop:
    int32_t first
    int32_t end
    int64_t left

cdef struct Range:
    int64_t lo
    int64_t hi

cdef struct Ranges:         # bytes of UB that the function has touched
    Range[RANGES] items
    int32_t count

cdef struct Simd:
    int64_t[32] x
    int64_t[32] x_ready
    uint8_t[VREGS][VBYTES] v
    uint8_t[VREGS][VBYTES] known    # bytes that somebody has written
    int64_t[VREGS] v_ready
    uint8_t[8][VBYTES] p            # a lane's number counts, not its width
    int64_t[8] p_ready
    Loop[LOOPS] loops
    int32_t depth
    int32_t op                      # for faults
    int32_t instructions
    int64_t last                    # cycle in which the latest result is there
    int64_t barrier                 # loads wait for it
    int64_t conflicts               # cycles that accesses were put off by busy banks
    Ranges read
    Ranges written
    Ranges unordered                # written since the last vbar
    int64_t[64] window
    Cycle[HORIZON] calendar         # this and the next outlive a function
    int64_t base                    # of its time in the calendar, so that no old entry looks new
