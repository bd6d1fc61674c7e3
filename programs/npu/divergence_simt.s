# Collatz: y[i] = how many steps take i + 1 to 1 (n -> n/2 if n is even, else 3n + 1). Threads of
# a warp part and meet again.
#
# A warp has one program counter. Where its threads want different ways, it goes one way with some
# of them while the others wait, then the other way, and then on with all. Three instructions say
# so:
#
#     tpush meet        remember who is active now, and that they meet again at `meet`
#     tbra there, when=q    those with q go there first; if there are others, they wait here
#     tpop              (at `meet`) somebody waits? go on with them. Nobody? go on with all
#
# What costs time is therefore the warp's way, not the thread's: a branch that parts the warp runs
# both of its sides, and a loop turns until the last thread is through. Look at it with
# `presil cycles programs/npu/divergence_simt.s`.

.chip npu-tiny
.meta kernel "divergence"

.equ Y, 0x0000
.equ N, 64
.tensor y, int32, [N], out, at=Y

.core vector
    mov   x1, Y
    vcall collatz, x1, 1, threads=N, dcache=4
    end

.simt collatz
    tsr.tid r0
    tadd.int32  r1, r0, 1               # n
    tshl.uint32 r0, r0, 2               # where y[i] is
    tmov r2, 0                          # steps so far

    # while n != 1. Threads leave one by one: they go to `arrived`, find that others wait inside
    # the loop, and stay there until the last has come.
    tpush arrived
turn:
    tcmp.eq.int32 q0, r1, 1
    tbra arrived, when=q0

    # if n is even: halve it, else: 3n + 1. First the odd ones go to `odd`, the even ones wait.
    # At `same` the even ones get their turn; when they come to `same` too, nobody waits any more.
    tand.int32 r3, r1, 1
    tcmp.eq.int32 q1, r3, 1
    tpush same
    tbra odd, when=q1
    tshr.int32 r1, r1, 1
    tbra same
odd:
    tmov r3, 1
    tfma.int32 r1, r1, 3, r3
same:
    tpop

    tadd.int32 r2, r2, 1
    tbra turn
arrived:
    tpop

    tst.gm.b32 r2, u0, r0
    texit
