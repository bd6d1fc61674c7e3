# y = s / (1 + |s|) with s = a b: the cube multiplies, its two vector sub-cores do the rest.
# a [32, 64] and b [64, 32] in fp16, y [32, 32] in fp32, on one core.
#
# Sub-cores of a core run programs of their own and share no memory, but FIX, which empties L0C, can
# write into the vector sub-cores' UB: the product never sees global memory. FIX and V belong to
# different sub-cores, so a flag of one of them will not do. A *counted* flag goes across:
# `xset.fix.vectors 3` counts flag 3 of both vector sub-cores up when FIX is done, and `xwait.v 3`
# holds V there until it is above zero.
#
# matmul_small.s explains the cube's pipes, vector_add_simd.s the others.

.chip npu-tiny
.meta kernel "softsign of a product"

.equ A, 0x0000
.equ B, 0x1000
.equ Y, 0x2000
.equ M, 32
.equ N, 32
.equ K, 64
.equ HALF, M / 2                        # rows of each vector sub-core
.tensor a, fp16, [M, K], in,  at=A
.tensor b, fp16, [K, N], in,  at=B
.tensor y, fp32, [M, N], out, at=Y

.core cube
    mov   x1, A
    mov   x2, B
    mov   x3, M
    mov   x4, N
    mov   x5, K
    mov   x6, 0                         # A in L1, and the beginning of every other memory
    mov   x7, M * K * 2                 # B in L1
    # Both operands whole into L1, then into L0A and L0B, then multiplied: with one tile there is
    # nothing to overlap, and one flag per hand-over is enough.
    load.l1.b16 x6, x1, x5, rows=x3
    load.l1.b16 x7, x2, x4, rows=x5
    set_flag.mte2.mte1 0
    wait_flag.mte2.mte1 0
    load0.a.b16 x6, x6, x3, x5
    load0.b.b16 x6, x7, x5, x4
    set_flag.mte1.m 0
    wait_flag.mte1.m 0
    mmad.fp16 x6, x6, x6, x3, x4, x5, init
    set_flag.m.fix 0
    wait_flag.m.fix 0
    # `split`: the upper half of the rows goes to vector sub-core 0, the lower half to 1.
    fix.ub.fp32.fp32 x6, x6, x3, x4, split
    # Counted when the last row has arrived in both.
    xset.fix.vectors 3
    end

# Both vector sub-cores run this, with different answers to `sr.sub`.
.core vector
    sr.sub x1                           # 0 or 1
    mul   x1, x1, HALF * N * 4
    add   x1, x1, Y                     # where my half of y begins
    mov   x2, 0                         # the product in my UB
    mov   x3, 4096                      # the result in my UB
    mov   x4, HALF * N
    xwait.v 3                           # the product is there
    vcall softsign, x2, 2
    set_flag.v.mte3 0
    wait_flag.v.mte3 0
    store.gm.b32 x1, x3, x4             # rows touch in UB and in y: one run of HALF * N elements
    end

# 64 elements at a time, from x1 to x2.
.simd softsign
    vdup.fp32 v3, 1.0
    loop HALF * N / 64, done
    vld.b32.norm v0, x1, post=256
    vabs.fp32 v1, v0
    vadd.fp32 v1, v1, v3
    vdiv.fp32 v2, v0, v1
    vst.b32.norm v2, x2, post=256
done:
    end
