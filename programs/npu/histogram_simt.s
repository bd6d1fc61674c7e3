# count[v] = how often the byte v occurs among 4,096 of them. Atomics: many threads, one word.
#
# "Add 1 to a word" is three things: load, add, store. Two threads that do them at the same time
# may both load 5 and both store 6, and one count is lost. `tatom.add` does the three as one. Threads
# that meet at the same word queue there: the more they meet, the longer it takes. So each block
# counts in its own UB first, which is near, and then adds its counts to the result in global
# memory, where L2 does the atomics: 256 of them instead of 4,096.

.chip npu-tiny
.meta kernel "histogram"

.equ X, 0x0000
.equ COUNT, 0x1000
.equ N, 4096
.equ BINS, 256
.tensor x,     uint8, [N],    in,  at=X
.tensor count, int32, [BINS], out, at=COUNT

.equ THREADS, 256                       # as many as there are bins: thread t looks after bin t

.core vector
    mov   x1, X
    mov   x2, COUNT
    mov   x3, 0                         # the start of UB
    vcall histogram, x1, 3, threads=THREADS, dcache=4
    end

.simt histogram
    # Nothing is 0 of itself: memory that nobody has written may not be read, and an atomic reads.
    # u2 is 0, the start of UB.
    tsr.tid r0
    tshl.uint32 r1, r0, 2
    tmov r2, 0
    tst.ub.b32 r2, u2, r1
    tst.gm.b32 r2, u1, r1
    tbar                                # all bins are 0 before anybody counts

    # Each turn a thread loads four bytes at once (t, t + 256, ... of 1,024 words) and counts them
    # one by one. The turns are the same for all threads, so the warp stays together and the branch
    # back needs no `tpush`.
    tmov r3, 1
    tmov r4, r1                         # where my word is
again:
    tld.gm.b32 r5, u0, r4
.rept 4
    tand.uint32 r6, r5, 255             # the lowest byte
    tshl.uint32 r6, r6, 2
    tatom.ub.add.int32 _, u2, r6, r3    # _: the old count is not wanted
    tshr.uint32 r5, r5, 8
.endr
    tadd.int32 r4, r4, 4 * THREADS
    tcmp.lt.int32 q0, r4, N
    tbra again, when=q0
    tbar                                # all have counted

    # Add my bin to the result. With several blocks this is where they would meet.
    tld.ub.b32 r5, u2, r1
    tatom.gm.add.int32 _, u1, r1, r5
    texit
