# c = a b on the cube: a [32, 256] and b [256, 32] in fp16, c [32, 32] in fp32. One core does it.
#
# A cube sub-core is a scalar unit and four pipes, with a memory between any two of them:
#
#     global memory --MTE2--> L1 --MTE1--> L0A, L0B --M--> L0C --FIX--> global memory
#
# M multiplies a tile of A in L0A with a tile of B in L0B and adds to L0C. The sum over k is cut into
# four steps of 64; L1, L0A and L0B hold two slots each, so that while M works on one step MTE1
# brings the next and MTE2 the one after it. vector_add_simd.s explains the flags.

.chip npu-tiny
.meta kernel "matmul"

.equ A, 0x0000
.equ B, 0x4000
.equ C, 0x8000
.equ M, 32
.equ N, 32
.equ K, 256
.equ STEP, 64                           # of k; the cube adds 64 products exactly before it rounds
.tensor a, fp16, [M, K], in,  at=A
.tensor b, fp16, [K, N], in,  at=B
.tensor c, fp32, [M, N], out, at=C

.equ BYTES, M * STEP * 2                # of a tile of A, and as many of B

.core cube
    mov   x1, A                         # where the next tiles lie in global memory
    mov   x2, B
    mov   x3, M
    mov   x4, N
    mov   x5, STEP
    mov   x6, K * 2                     # bytes from one row of A to the next
    mov   x7, 0                         # the slot
    mov   x8, 0                         # k
    mov   x20, 0                        # L0C
    # Everything is free: L1 for MTE2, L0 for MTE1. (A flag belongs to a pair of pipes, so numbers
    # may be used again for another pair.)
    set_flag.mte1.mte2 0
    set_flag.mte1.mte2 1
    set_flag.m.mte1 0
    set_flag.m.mte1 1
steps:
    mul   x9, x7, BYTES                 # the slot in L0A and in L0B,
    shl   x10, x9, 1                    # in L1 the tile of A,
    add   x11, x10, BYTES               # and behind it the tile of B

    wait_flag.mte1.mte2 x7
    # 32 rows of 64 elements, which are K elements apart; in L1 they touch.
    load.l1.b16 x10, x1, x5, rows=x3, src_pitch=x6
    # 64 whole rows of B: they touch in global memory too.
    load.l1.b16 x11, x2, x4, rows=x5
    set_flag.mte2.mte1 x7

    # MTE1 needs both: tiles in L1, and a slot of L0 that M is done with.
    wait_flag.mte2.mte1 x7
    wait_flag.m.mte1 x7
    load0.a.b16 x9, x10, x3, x5         # [M, STEP] to L0A
    load0.b.b16 x9, x11, x5, x4         # [STEP, N] to L0B
    set_flag.mte1.mte2 x7               # L1 is free again, though M has not begun
    set_flag.mte1.m x7

    # Which of two instructions M gets is decided by the scalar unit, long before M needs it.
    wait_flag.mte1.m x7
    br.ne x8, 0, more
    mmad.fp16 x20, x9, x9, x3, x4, x5, init    # the first step begins at 0,
    jump  multiplied
more:
    mmad.fp16 x20, x9, x9, x3, x4, x5          # the others add
multiplied:
    set_flag.m.mte1 x7

    add   x1, x1, STEP * 2              # to the right in A,
    add   x2, x2, STEP * N * 2          # down in B
    xor   x7, x7, 1
    add   x8, x8, STEP
    br.lt x8, K, steps

    # All of L0C at once, when the last step is in it. Kernels that have several tiles hand L0C over
    # piece by piece instead (`unit=`), so that FIX and M overlap too.
    set_flag.m.fix 0
    wait_flag.m.fix 0
    mov   x12, C
    fix.gm.fp32.fp32 x12, x20, x3, x4   # out of L0C as it is
    end
