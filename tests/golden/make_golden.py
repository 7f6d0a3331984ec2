#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes path.bin: what PyTorch computes for two small paths, in double precision.

Usage: make_golden.py OUTPUT   (any PyTorch from 1.13 on; the file in the tree came from 1.13)

The model is written out here from its formulas (Llama's block: RMSNorm, rotary positions in Hugging
Face's half-rotation form, causal attention, SwiGLU), so that it shares nothing with the C code.
Gradients come from autograd, the optimizer is torch.optim.AdamW, clipping clip_grad_norm_.

Weights are not stored: weight i of a path is a hash of i that both sides compute exactly (`weights`).

File: b"DPCGOLD1", then sections until the end of the file: name (24 bytes, zero-padded), type (u32:
0 int32, 1 float32), count (u32), values; little-endian. tests/unit/modules/test_golden.c reads it.
"""
import math
import struct
import sys

import numpy
import torch

DIM, HEADS, FFN, VOCAB, CONTEXT = 32, 4, 24, 32, 16
BATCH, STEPS, BLOCKS, PREFIX = 4, 10, 2, 5
LR, LR_END, WARMUP, TOTAL = 1e-2, 0.1, 3, 12
BETAS, EPSILON, DECAY, CLIP = (0.9, 0.99), 1e-8, 0.1, 1.5
ROPE_BASE, NORM_EPSILON = 10000.0, 1e-5
HEAD_DIM = DIM // HEADS


def hashed(indices, salt):
    """murmur3's finalizer over 32-bit words."""
    x = (indices.astype(numpy.uint64) + salt * 0x9E3779B9) & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    return x ^ (x >> 16)


def shapes(tied):
    """Names, shapes and decay of a path's tensors in the order of base/layout.h."""
    rows = [("embedding", (VOCAB, DIM))]
    for block in range(BLOCKS):
        rows += [(f"{block}.norm_attention", (DIM,)), (f"{block}.qkv", (3 * DIM, DIM)),
                 (f"{block}.attention_out", (DIM, DIM)), (f"{block}.norm_ffn", (DIM,)),
                 (f"{block}.gate_up", (2 * FFN, DIM)), (f"{block}.down", (DIM, FFN))]
    rows.append(("norm_final", (DIM,)))
    if not tied:
        rows.append(("head", (VOCAB, DIM)))
    return rows


def weights(tied):
    """Uniform in [-1/4, 1/4) in steps of 2^-17, norms 1 more: all exact in fp32."""
    tensors, at = {}, 0
    for name, shape in shapes(tied):
        count = math.prod(shape)
        values = (hashed(numpy.arange(at, at + count), 1) >> 16) / 65536.0 * 0.5 - 0.25
        if len(shape) == 1:
            values += 1.0
        tensors[name] = torch.tensor(values.reshape(shape), requires_grad=True)
        at += count
    return tensors


def rms_norm(x, gain):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + NORM_EPSILON) * gain


def rotate(x):
    """x: [B, T, H, D]."""
    half = HEAD_DIM // 2
    frequencies = ROPE_BASE ** (-torch.arange(half, dtype=x.dtype) * 2 / HEAD_DIM)
    angles = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * frequencies
    cosines = torch.cat([angles.cos()] * 2, -1)[:, None, :]
    sines = torch.cat([angles.sin()] * 2, -1)[:, None, :]
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * cosines + turned * sines


def attention(x, qkv):
    B, T, _ = x.shape
    q, k, v = (part.reshape(B, T, HEADS, HEAD_DIM) for part in (x @ qkv.T).split(DIM, -1))
    scores = torch.einsum("bihd,bjhd->bhij", rotate(q), rotate(k)) / math.sqrt(HEAD_DIM)
    scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -math.inf)
    return torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v).reshape(B, T, DIM)


def hidden(w, tokens):
    """The residual stream after the last block."""
    x = w["embedding"][tokens]
    for block in range(BLOCKS):
        part = {name: w[f"{block}.{name}"] for name in
                ("norm_attention", "qkv", "attention_out", "norm_ffn", "gate_up", "down")}
        normed = rms_norm(x, part["norm_attention"])
        x = x + attention(normed, part["qkv"]) @ part["attention_out"].T
        gate, up = (rms_norm(x, part["norm_ffn"]) @ part["gate_up"].T).split(FFN, -1)
        x = x + (torch.nn.functional.silu(gate) * up) @ part["down"].T
    return x


def logits(w, tokens):
    return rms_norm(hidden(w, tokens), w["norm_final"]) @ w.get("head", w["embedding"]).T


def losses(w, tokens, targets):
    """[B, T]; 0 where masked."""
    return torch.nn.functional.cross_entropy(logits(w, tokens).transpose(1, 2), targets,
                                             ignore_index=-1, reduction="none")


def mean_loss(w, tokens, targets):
    return losses(w, tokens, targets).sum() / (targets >= 0).sum()


def learning_rate(step):
    if step < WARMUP:
        return LR * (step + 1) / WARMUP
    share = (1 + math.cos(math.pi * (step - WARMUP) / (TOTAL - WARMUP))) / 2
    return LR * (LR_END + (1 - LR_END) * share)


def flat(tensors):
    return numpy.concatenate([tensor.detach().numpy().ravel() for tensor in tensors])


def batches():
    """Tokens [STEPS, B, T] and the tokens that follow, masked over each sequence's prefix but for
    the first sequence of a batch."""
    count = STEPS * BATCH * (CONTEXT + 1)
    drawn = (hashed(numpy.arange(count), 2) % VOCAB).astype(numpy.int64)
    drawn = torch.tensor(drawn.reshape(STEPS, BATCH, CONTEXT + 1))
    tokens, targets = drawn[..., :-1].clone(), drawn[..., 1:].clone()
    targets[:, 1:, :PREFIX] = -1
    return tokens, targets


def train(w, tokens, targets):
    matrices = [tensor for tensor in w.values() if tensor.dim() == 2]
    norms = [tensor for tensor in w.values() if tensor.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY},
                                   {"params": norms, "weight_decay": 0.0}],
                                  lr=LR, betas=BETAS, eps=EPSILON)
    means, sizes, rates = [], [], []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.zero_grad()
        loss = mean_loss(w, tokens[step], targets[step])
        loss.backward()
        sizes.append(float(torch.nn.utils.clip_grad_norm_(w.values(), CLIP)))
        optimizer.step()
        means.append(float(loss))
        rates.append(learning_rate(step))
    return means, sizes, rates


def sections(tied):
    w = weights(tied)
    tokens, targets = batches()
    lengths = [1, 5, 16, 9]
    each = losses(w, tokens[0], targets[0])
    mean_loss(w, tokens[0], targets[0]).backward()
    stream = hidden(w, tokens[0])
    yield "tokens", tokens.numpy().astype("<i4")
    yield "targets", targets.numpy().astype("<i4")
    yield "loss_sums", each.sum(-1).detach().numpy()
    yield "logits", logits(w, tokens[0])[0, -1].detach().numpy()
    yield "lengths", numpy.array(lengths, dtype="<i4")
    yield "features", torch.stack([stream[b, :n].mean(0)
                                   for b, n in enumerate(lengths)]).detach().numpy()
    yield "grads", flat(tensor.grad for tensor in w.values())
    before = flat(w.values())
    means, sizes, rates = train(w, tokens, targets)
    yield "mean_losses", numpy.array(means)
    yield "norms", numpy.array(sizes)
    yield "rates", numpy.array(rates)
    yield "moves", flat(w.values()) - before


def write(out, name, values):
    integer = values.dtype == numpy.dtype("<i4")
    out.write(struct.pack("<24sII", name.encode(), 0 if integer else 1, values.size))
    out.write((values if integer else values.astype("<f4")).tobytes())


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    with open(sys.argv[1], "wb") as out:
        out.write(b"DPCGOLD1")
        for case, tied in (("tied", True), ("untied", False)):
            for name, values in sections(tied):
                write(out, f"{case}.{name}", values)


if __name__ == "__main__":
    main()
