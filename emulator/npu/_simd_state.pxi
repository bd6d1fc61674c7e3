# State of a SIMD function while it runs. Part of _engine.pyx.
#
# V takes instructions in order into a window and issues each as soon as its operands are there, a
# port is free and (loads, stores) its UB banks are: one cycle per pass. A hardware loop costs
# nothing by itself. Everything is timed twice, with the banks and as if none were ever busy: the
# difference is what the function waited for banks.

cdef enum:
    VBYTES = 256
    VREGS = 32
    LOOPS = 4
    HORIZON = 4096          # cycles of the port calendar
    RANGES = 32
    WINDOW_MOST = 256
    ARGUMENTS = 16
    CALLS = 4096            # calls whose times are kept

cdef enum:  # what issues an instruction
    PORT_ARITHMETIC, PORT_LOAD, PORT_STORE, PORT_SCALAR, PORT_SPECIAL, PORTS

cdef enum:  # what is known of a register
    K_NONE, K_BYTES, K_ALL  # nothing, what `known` says of each byte, everything

cdef struct Cycle:          # of the calendar
    int64_t time
    uint32_t banks          # of UB in use
    uint8_t[PORTS] used

cdef struct Times:          # when instructions issue
    int64_t[32] x           # when registers are there
    int64_t[VREGS] v
    int64_t[8] p
    int64_t[WINDOW_MOST] window     # issue times of the last instructions
    int32_t place                   # the oldest of them
    int32_t ideal                   # no bank is ever busy
    int64_t last                    # cycle in which the latest result is there
    int64_t barrier                 # loads wait for it
    Cycle[HORIZON] calendar         # this and the next outlive a function
    int64_t base                    # of its time in the calendar, so that no old entry looks new

cdef struct Loop:
    int32_t first
    int32_t end
    int64_t left

cdef struct Range:
    int64_t lo
    int64_t hi

cdef struct Ranges:         # bytes of UB that a function has touched
    Range[RANGES] items
    int32_t count

cdef struct Reach:          # of an access to UB
    int32_t passes          # cycles that its banks take
    uint32_t banks

cdef struct Simd:
    int64_t[NOWHERE + 1] x
    uint8_t[VREGS][VBYTES] v
    uint8_t[VREGS][VBYTES] known    # bytes that somebody has written, where `state` says so
    uint8_t[VREGS] state
    uint8_t[8][VBYTES] p            # a lane's number counts, not its width
    int32_t[8] first                # lanes of a mask if they are the first ones, else -1
    Loop[LOOPS] loops
    int32_t depth
    int32_t op                      # for faults
    int64_t instructions
    Ranges read
    Ranges written
    Ranges unordered                # written since the last vbar
    Times[2] times                  # with banks, without

cdef struct Called:         # what a call took, kept for the next one like it
    int32_t fn              # 1 more than its number; 0: nothing
    int32_t filler
    int64_t[ARGUMENTS] x
    int64_t cycles
    int64_t stalled
    Ranges read
    Ranges written
