#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each header compiles alone, and twice in a row. The makefile passes CC and DPC_HEADER_FLAGS.
. "$(dirname -- "$0")/lib.sh"

headers=$(lint_files '*.h')
lint_need_files "$headers"
lost=0
for header in $headers; do
    case $header in
    # CUDA's headers, played: they are C++ in part.
    tests/unit/ops/cuda_cpu/*) continue ;;
    tests/*) [ "${DPC_HAVE_CUNIT:-yes}" = yes ] || continue ;;
    esac
    # The flags are words.
    # shellcheck disable=SC2086
    if ! printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
        ${CC:-cc} -I. ${DPC_HEADER_FLAGS:-} -Wall -Wextra -Werror -fsyntax-only -x c -; then
        echo "$header:1: does not compile alone"
        lost=1
    fi
done
exit $lost
