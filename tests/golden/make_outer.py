#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes outer.bin: two outer steps of one module in each form of outer.rescale, by numpy.

Usage: make_outer.py OUTPUT   (any numpy; the file in the tree came from 1.24)

Three contributions a step, whose lengths are 1 : 4 : 1/8; the second counts a quarter, as if a gate
had clipped it. Sums are in double; momentum and weights are rounded to fp32 after each step, as a
version keeps them. Inputs are not stored: value i of a tensor is a hash of i and the tensor's salt
that both sides compute exactly (`tensor`).

File: b"DPCOUTR1", then for none, sqrt and rda the weights and the momentum after the second step:
COUNT float32 values each, little-endian. tests/unit/coordinator/versions/test_rescale.c reads it.
"""
import math
import sys

import numpy

COUNT, STEPS = 300, 2
LR, MOMENTUM = 0.7, 0.9
WEIGHTS, SCALES, LENGTHS = (0.5, 0.3, 0.2), (1.0, 0.25, 1.0), (1.0, 4.0, 0.125)
SALT_THETA, SALT_DELTA = 1, 10


def tensor(salt):
    """Uniform in [-1/4, 1/4) in steps of 2^-17: murmur3's finalizer over 32-bit words."""
    x = (numpy.arange(COUNT, dtype=numpy.uint64) + salt * 0x9E3779B9) & 0xFFFFFFFF
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    x = x ^ (x >> 16)
    return (x >> 16) / 65536.0 * 0.5 - 0.25


def mean_delta(deltas):
    return sum(weight * scale * delta for weight, scale, delta in zip(WEIGHTS, SCALES, deltas))


def sqrt_delta(deltas):
    return mean_delta(deltas) / math.sqrt(sum(weight * weight for weight in WEIGHTS))


def rda_delta(deltas):
    """The mean of the lengths, in the mean of the directions."""
    lengths = [numpy.linalg.norm(delta) for delta in deltas]
    length = sum(weight * scale * one for weight, scale, one in zip(WEIGHTS, SCALES, lengths))
    way = mean_delta([delta / one for delta, one in zip(deltas, lengths)])
    return length * way / numpy.linalg.norm(way)


def run(form):
    theta, momentum = tensor(SALT_THETA), numpy.zeros(COUNT)
    for step in range(STEPS):
        deltas = [length * tensor(SALT_DELTA + len(WEIGHTS) * step + path)
                  for path, length in enumerate(LENGTHS)]
        delta = form(deltas)
        momentum = (MOMENTUM * momentum + delta).astype(numpy.float32).astype(numpy.float64)
        theta = (theta - LR * (delta + MOMENTUM * momentum)).astype(numpy.float32)
        theta = theta.astype(numpy.float64)
    return theta, momentum


def main():
    with open(sys.argv[1], "wb") as out:
        out.write(b"DPCOUTR1")
        for form in (mean_delta, sqrt_delta, rda_delta):
            for values in run(form):
                out.write(values.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
