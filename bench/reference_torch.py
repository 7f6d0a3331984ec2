#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times whole training steps of bench_step's models in PyTorch; prints one JSON object.

The same model, batch and optimizer as bench_step: RMSNorm, RoPE, SwiGLU, tied head, cross-entropy
over all positions, clipping by the global norm, AdamW with weight decay on matrices only. It is
written to be PyTorch's best, not its plainest: Q, K and V are one matrix, gate and up another;
the norm has a backward pass of its own where PyTorch would run eight kernels; what is newer than
1.13 (scaled_dot_product_attention, the fused AdamW, the compiler) is used where it is there.

On a card (--device cuda) attention is PyTorch's choice among its fused kernels, and the rate of a
large matrix product is measured in the same run.

The settings that PyTorch reads once, at its start, are put into the environment and the program
begins again. Debian's PyTorch also needs the OpenMP build of OpenBLAS in front of the library path
(package libopenblas0-openmp): with the pthread build two pools of threads fight.
"""
import argparse
import ctypes
import json
import os
import re
import resource
import statistics
import sys
import time

# blocks, dim, heads, ffn, context, batch, vocab: the table of bench_step.c. ffn is 8/3 of dim,
# rounded up to 8, which gives SwiGLU's three matrices the parameters of a 4x feed-forward. P: 16
# heads of 64 would be 1,024 wide, not 896, so it has 14.
CONFIGS = {
    "quickstart": (4, 128, 4, 344, 256, 8, 256),
    "compare": (4, 96, 4, 256, 128, 16, 256),
    "A": (4, 256, 4, 688, 256, 8, 4096),
    "C": (6, 384, 6, 1024, 256, 8, 8192),
    "B": (12, 768, 12, 2048, 256, 4, 50257),
    "P": (12, 896, 14, 2392, 1024, 1, 32000),
}
EPSILON = 1e-5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="quickstart")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, help="sequences, instead of the configuration's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--compile", action="store_true", help="torch.compile (2.0 or newer)")
    parser.add_argument("--capability", choices=("default", "avx2", "avx512"), default="avx512",
                        help="ATEN_CPU_CAPABILITY: PyTorch prefers AVX2 unless told otherwise")
    return parser.parse_args()


def begin_again_tuned(args):
    """Freed memory stays with the process: mapping it again costs more than a small step does."""
    if os.environ.get("DPC_BENCH_TUNED") or args.device != "cpu":
        return
    environment = dict(os.environ, DPC_BENCH_TUNED="1", OMP_NUM_THREADS=str(args.threads),
                       MKL_NUM_THREADS=str(args.threads), ATEN_CPU_CAPABILITY=args.capability,
                       MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_=str(1 << 40),
                       MALLOC_TOP_PAD_=str(64 << 20))
    environment.pop("OPENBLAS_CORETYPE", None)
    os.execve(sys.executable, [sys.executable] + sys.argv, environment)


ARGS = arguments()
begin_again_tuned(ARGS)

import torch  # noqa: E402: the environment comes first
import torch.nn.functional as F  # noqa: E402

VERSION = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
NEW = VERSION >= (2, 0)


class NormFunction(torch.autograd.Function):
    """y = x * r * w with r = 1 / sqrt(mean(x^2) + epsilon), without the graph in between."""

    @staticmethod
    def forward(ctx, x, weight):
        wide = x.float()
        r = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        r = r.square_().mul_(1.0 / x.shape[-1]).add_(EPSILON).rsqrt_()
        ctx.save_for_backward(x, weight, r)
        return (wide * r).mul_(weight).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        x, weight, r = ctx.saved_tensors
        normal = x.float() * r
        grad = grad.float()
        product = grad * normal
        grad_weight = product.flatten(0, -2).sum(0)
        mean = product.mul_(weight).mean(-1, keepdim=True)
        grad_x = (grad * weight).sub_(normal.mul_(mean)).mul_(r)
        return grad_x.to(x.dtype), grad_weight


class Norm(torch.nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(dim))

    def forward(self, x):
        if ARGS.compile:
            return F.rms_norm(x, x.shape[-1:], self.weight, EPSILON)
        return NormFunction.apply(x, self.weight)


class RopeFunction(torch.autograd.Function):
    """Turns each pair (first half, second half) of a head; backward turns it back."""

    @staticmethod
    def turn(x, cosines, sines):
        first, second = x.chunk(2, dim=-1)
        out = torch.empty(x.shape, dtype=x.dtype)
        low, high = out.chunk(2, dim=-1)
        torch.mul(first, cosines, out=low).addcmul_(second, sines, value=-1)
        torch.mul(second, cosines, out=high).addcmul_(first, sines)
        return out

    @staticmethod
    def forward(ctx, x, cosines, sines):
        ctx.save_for_backward(cosines, sines)
        return RopeFunction.turn(x, cosines, sines)

    @staticmethod
    def backward(ctx, grad):
        cosines, sines = ctx.saved_tensors
        return RopeFunction.turn(grad, cosines, -sines), None, None


def rope(x, cosines, sines):
    cosines, sines = cosines.to(x.dtype), sines.to(x.dtype)
    if not ARGS.compile:
        return RopeFunction.apply(x, cosines, sines)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)


def attention(q, k, v, mask):
    """All (batch, heads, T, D), causal; 1.13 has no kernel for it and builds T x T."""
    if NEW:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    B, H, T, D = q.shape
    q, k, v = (x.reshape(B * H, T, D) for x in (q, k, v))
    scores = torch.baddbmm(mask.to(q.dtype), q, k.transpose(1, 2), alpha=D**-0.5)
    return torch.bmm(torch.softmax(scores, dim=-1), v).view(B, H, T, D)


class Block(torch.nn.Module):
    def __init__(self, dim, heads, ffn):
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_ffn = Norm(dim), Norm(dim)
        self.qkv = torch.nn.Linear(dim, 3 * dim, bias=False)
        self.out = torch.nn.Linear(dim, dim, bias=False)
        self.gate_up = torch.nn.Linear(dim, 2 * ffn, bias=False)
        self.down = torch.nn.Linear(ffn, dim, bias=False)

    def forward(self, x, cosines, sines, mask):
        B, T, C = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(B, T, 3, self.heads, C // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = attention(rope(q, cosines, sines), rope(k, cosines, sines), v, mask)
        x = x + self.out(mixed.transpose(1, 2).reshape(B, T, C))
        gate, up = self.gate_up(self.norm_ffn(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Model(torch.nn.Module):
    def __init__(self, blocks, dim, heads, ffn, context, vocab):
        super().__init__()
        self.embedding = torch.nn.Parameter(torch.empty(vocab, dim))
        self.blocks = torch.nn.ModuleList(Block(dim, heads, ffn) for _ in range(blocks))
        self.norm = Norm(dim)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.02)
        half = dim // heads // 2
        angles = torch.outer(torch.arange(context), 10000.0 ** (-torch.arange(half) / half))
        self.register_buffer("cosines", angles.cos())
        self.register_buffer("sines", angles.sin())
        self.register_buffer("mask", torch.full((context, context), -1e30).triu_(1))

    def forward(self, tokens, targets):
        x = F.embedding(tokens, self.embedding)
        for block in self.blocks:
            x = block(x, self.cosines, self.sines, self.mask)
        logits = F.linear(self.norm(x), self.embedding)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def make_optimizer(model):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    how = {"fused": True} if NEW else {"foreach": False}
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, **how)


def make_step(config):
    blocks, dim, heads, ffn, context, batch, vocab = config
    model = Model(blocks, dim, heads, ffn, context, vocab).to(ARGS.device)
    optimizer = make_optimizer(model)
    run = torch.compile(model) if ARGS.compile else model
    tokens = torch.randint(0, vocab, (batch, context), device=ARGS.device)
    targets = torch.randint(0, vocab, (batch, context), device=ARGS.device)

    if ARGS.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False

    def step():
        with torch.autocast(ARGS.device, dtype=torch.bfloat16, enabled=ARGS.dtype == "bf16"):
            loss = run(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


def flops_per_token(config):
    """6 a matrix parameter and token, and the causal half of attention, as bench_step counts."""
    blocks, dim, _, ffn, context, _, vocab = config
    matrices = blocks * (4.0 * dim * dim + 3.0 * dim * ffn) + dim * vocab
    return 6.0 * matrices + 6.0 * blocks * dim * context


def blas_name():
    """OpenBLAS's file and kernel, where PyTorch uses that."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = sorted(set(re.findall(r"/\S*(?:openblas|libblas)\S*", maps.read())))
    for path in paths:
        library = ctypes.CDLL(path)
        if hasattr(library, "openblas_get_corename"):
            library.openblas_get_corename.restype = ctypes.c_char_p
            return path + " " + library.openblas_get_corename().decode()
    return "mkl" if torch.backends.mkl.is_available() else "unknown"


def card_rate():
    """GFLOP/s of an 8192^3 product of random bf16, and GB/s of a copy, read and written."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    big = torch.empty(1 << 30, device="cuda", dtype=torch.float32)
    other = torch.empty_like(big)

    def seconds(work):
        times = []
        for i in range(-3, 10):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            end.synchronize()
            if i >= 0:
                times.append(start.elapsed_time(end) * 1e-3)
        return statistics.median(times)

    rates = {"peak_gflops": 2 * 8192.0**3 / seconds(lambda: a @ b) * 1e-9,
             "copy_gb_s": 2 * 4 * big.numel() / seconds(lambda: other.copy_(big)) * 1e-9}
    del a, b, big, other
    torch.cuda.empty_cache()
    return rates


def rss_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    torch.manual_seed(1)
    torch.set_num_threads(ARGS.threads)
    config = CONFIGS[ARGS.config]
    if ARGS.batch:
        config = config[:5] + (ARGS.batch,) + config[6:]
    card = {"card": torch.cuda.get_device_name(), **card_rate()} if ARGS.device == "cuda" else {}
    import_bytes = rss_bytes()
    step, seconds, loss = make_step(config), [], 0.0
    for i in range(-2, ARGS.steps):
        start = time.perf_counter()
        loss = step()
        if i >= 0:
            seconds.append(time.perf_counter() - start)
    median, tokens = statistics.median(seconds), config[4] * config[5]
    print(json.dumps({
        "config": ARGS.config, "dtype": ARGS.dtype, "threads": ARGS.threads, "steps": ARGS.steps,
        "device": ARGS.device, "batch": config[5], **card,
        "step_ms": median * 1e3, "step_ms_least": min(seconds) * 1e3,
        "tokens_per_s": tokens / median, "flops_per_token": flops_per_token(config),
        "gflops": flops_per_token(config) * tokens / median * 1e-9,
        "rss_bytes": rss_bytes(), "rss_bytes_before_model": import_bytes, "loss": loss,
        "torch": torch.__version__, "compiled": ARGS.compile,
        "blas": blas_name() if ARGS.device == "cpu" else "cublas",
    }, indent=2))


if __name__ == "__main__":
    main()
