# y = the sum of 1,000 numbers by one block: shuffles inside a warp, UB and a barrier between warps.
#
# Threads of a warp go through the program together and may look into each other's registers:
# `tshfl.down r4, r3, 8` gives every lane the r3 of the lane 8 further on. Five such steps (16, 8,
# 4, 2, 1) bring 32 sums into lane 0. Warps cannot see each other's registers. They meet in UB, the
# sub-core's own memory, and at a barrier.
#
# (`tred.sum.fp32 r3, r3` does the five steps in one instruction, in another order.)

.chip npu-tiny
.meta kernel "block_sum"

.equ X, 0x0000
.equ Y, 0x1000
.equ N, 1000
.tensor x, fp32, [N], in,  at=X
.tensor y, fp32, [1], out, at=Y

.equ THREADS, 256
.equ WARPS, THREADS / 32

.core vector
    mov   x1, X
    mov   x2, Y
    mov   x3, 0                         # the start of UB
    vcall block_sum, x1, 3, threads=THREADS, dcache=4
    end

.simt block_sum
    # Thread t adds elements t, t + 256, t + 512, ... Some threads have one turn fewer. `tpush`
    # says where the threads of the warp meet again; those that are through go there and wait.
    tsr.tid r0
    tmov    r3, 0
    tpush   summed
next:
    tcmp.ge.int32 q0, r0, N
    tbra    summed, when=q0
    tshl.uint32 r1, r0, 2
    tld.gm.b32  r2, u0, r1
    tadd.fp32   r3, r3, r2
    tadd.int32  r0, r0, THREADS
    tbra    next
summed:
    tpop

    # 32 sums to one. A lane that would look beyond lane 31 gets its own value, so what the upper
    # lanes hold is of no use; only lane 0 has to be right.
.irp step, 16, 8, 4, 2, 1
    tshfl.down r4, r3, \step
    tadd.fp32  r3, r3, r4
.endr

    # Lane 0 of every warp leaves the warp's sum in UB. u2 is 0, the start of UB.
    tsr.lane r5
    tsr.warp r6
    tshl.uint32 r6, r6, 2
    tcmp.eq.int32 q1, r5, 0
    tst.ub.b32 r3, u2, r6, when=q1

    # Nobody goes on before all 256 threads are here. Without it the next lines might read a sum
    # that its warp has not stored yet.
    tbar

    # The first warp adds the warps' sums the same way; lanes that have none add 0. The other
    # warps are done.
    tsr.warp r6
    tcmp.ne.int32 q2, r6, 0
    texit when=q2
    tmov r3, 0
    tcmp.lt.int32 q3, r5, WARPS
    tshl.uint32 r1, r5, 2
    tld.ub.b32 r3, u2, r1, when=q3
.irp step, 16, 8, 4, 2, 1
    tshfl.down r4, r3, \step
    tadd.fp32  r3, r3, r4
.endr
    tst.gm.b32 r3, u1, _, when=q1
    texit
