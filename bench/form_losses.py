#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What forms of few bits lose of real deltas, as a share of their squares: whole numbers, E2M1, E3M0,
NormalFloat, two bits, the sign, in blocks with a scale of least squares (base/codec.h), and the
largest of each 4,096, whose sizes are told in full. Outside the build, with numpy.

    bench/form_losses.py RUN/coordinator [BLOCK]

The deltas are the ten first fp32 tensors of the store, by name, whose root mean square is below 0.012:
versions are larger. Prints JSON.
"""
import json
import pathlib
import sys

import numpy

HEADER, DELTAS, RMS_MAX = 64, 10, 0.012
NF4 = [-1, -0.69619280, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.091050036, 0,
       0.079580300, 0.16093020, 0.24611230, 0.33791524, 0.44070983, 0.56261700, 0.72295684, 1]
BOOKS = {
    "int4": [k / 7 for k in range(-7, 8)],
    "e2m1": [s * m / 12 for s in (-1, 1) for m in (0, 1, 2, 3, 4, 6, 8, 12)],
    "e3m0": [0] + [s * 2.0**-k for s in (-1, 1) for k in range(7)],
    "nf4": NF4,
    "int8": [k / 127 for k in range(-127, 128)],
}


def deltas(store):
    found = []
    for path in sorted(store.rglob("*")):
        if path.is_file() and path.stat().st_size > 100000:
            with path.open("rb") as file:
                tensor = file.read(12) == b"DPCTENS1\0\0\0\0"
            values = numpy.fromfile(path, numpy.float32, offset=HEADER) if tensor else []
            if tensor and numpy.sqrt(numpy.mean(values.astype(float) ** 2)) < RMS_MAX:
                found.append(values.astype(float))
        if len(found) == DELTAS:
            break
    return found


def rest(rows, coded):
    squares = (coded**2).sum(1, keepdims=True)
    squares[squares == 0] = 1
    scale = (rows * coded).sum(1, keepdims=True) / squares
    return ((rows - scale * coded) ** 2).sum() / (rows**2).sum()


def rows_of(values, block):
    return values[: len(values) // block * block].reshape(-1, block)


def loss(values, block, book):
    rows = rows_of(values, block)
    largest = numpy.abs(rows).max(1, keepdims=True)
    largest[largest == 0] = 1
    book = numpy.unique(book)
    return rest(rows, book[numpy.searchsorted((book[1:] + book[:-1]) / 2, rows / largest)])


def two_bits(values, block):
    """Large or small and the sign: Max 1960, Quantizing for minimum distortion, table I."""
    rows = rows_of(values, block)
    large = numpy.abs(rows) > 0.9816 * numpy.sqrt((rows**2).mean(1, keepdims=True))
    return rest(rows, numpy.sign(rows) * numpy.where(large, 3.3358, 1))


def sign(values, block):
    rows = rows_of(values, block)
    return rest(rows, numpy.sign(rows))


def largest_of(values, kept):
    sizes = numpy.sort(rows_of(values, 4096) ** 2, 1)
    return 1 - sizes[:, -kept:].sum() / sizes.sum()


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    block = int(sys.argv[2]) if len(sys.argv) == 3 else 256
    found = deltas(pathlib.Path(sys.argv[1]))
    if not found:
        sys.exit(f"no deltas in {sys.argv[1]}: needed is the coordinator/ of a run with fp32 deltas")
    losses = {name: float(numpy.mean([loss(values, block, book) for values in found]))
              for name, book in BOOKS.items()}
    for form in (two_bits, sign):
        losses[form.__name__] = float(numpy.mean([form(values, block) for values in found]))
    for kept in (64, 256, 1024):
        losses[f"largest_{kept}"] = float(numpy.mean([largest_of(values, kept) for values in found]))
    print(json.dumps({"deltas": len(found), "block": block, **losses}))


main()
