#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds from nothing and runs every check: warnings as errors, make check with the lints, and the
# unit tests once more under AddressSanitizer and UBSan. Where nvcc is, the plug-in for cards is built
# too. With CHECK_FULL=1, or CI set, also make distcheck. Ends with "N passed, N failed": automake's
# tests plus each of the steps that builds.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
# It would silently take other, slower kernels, with other bits.
unset OPENBLAS_CORETYPE
jobs=${CHECK_JOBS:-$(nproc)}
passed=0
failed=0

say() {
    printf '\n== %s (%d s)\n' "$*" "$SECONDS"
}

# Counts the results of one build tree's last `make check`.
count_results() { # BUILD
    local good bad
    good=$(find "$1" -name '*.trs' -exec cat {} + | grep -cE '^:test-result: (PASS|XFAIL)') || true
    bad=$(find "$1" -name '*.trs' -exec cat {} + | grep -cE '^:test-result: (FAIL|XPASS|ERROR)') || true
    if [ $((good + bad)) -eq 0 ]; then
        echo "no test ran in $1" >&2
        bad=1
        test_status=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
}

# A step that either works or counts as one failure and ends the run.
step() { # WORDS COMMAND...
    local words=$1
    shift
    say "$words"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: $words" >&2
        exit 1
    fi
}

# Automake says where the logs lie; on a build machine nobody can look there.
show_failures() { # BUILD
    find "$1" -name test-suite.log -exec cat {} +
}

run_tests() { # BUILD TARGET
    say "make $2 in $1"
    find "$1" -name '*.trs' -delete
    if ! make -C "$1" -j"$jobs" -k "$2"; then
        test_status=1
        show_failures "$1"
    fi
    count_results "$1"
}

distcheck() {
    if ! make -C build-check -j"$jobs" distcheck; then
        show_failures build-check/dipaco-*/_build
        return 1
    fi
}

closing_line() {
    # A make that failed without a failed test still is a failure.
    [ "$1" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    printf '\n%d passed, %d failed\n' "$passed" "$failed"
}
trap 'closing_line $?' EXIT

configure_in() { # BUILD OPTION...
    local build=$1
    shift
    rm -rf "$build"
    mkdir -p "$build"
    (cd "$build" && ../configure --quiet --enable-werror "$@")
}

# Machine code for the oldest and the newest of its cards: all of them take minutes.
cuda=
cuda_make=
# A toolkit without cuBLAS, as Debian splits it, does not do.
nvcc=$(PATH=/usr/local/cuda/bin:$PATH command -v nvcc) || nvcc=
if [ -n "$nvcc" ] && [ -e "${nvcc%/bin/nvcc}/include/cublasLt.h" ]; then
    cuda=--with-cuda=${nvcc%/bin/nvcc}
    cuda_make='CUDA_ARCHS=75 90'
fi

test_status=0
step 'install packages' scripts/install-deps.sh --tests
step 'autoreconf' autoreconf -fi
step 'configure' configure_in build-check $cuda
step 'make' make -C build-check -j"$jobs" ${cuda_make:+"$cuda_make"}
if [ -x build-check/dipaco ]; then
    build-check/dipaco version
fi
run_tests build-check check

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
step 'configure with sanitizers' configure_in build-check-sanitizers \
    --enable-sanitizers=address,undefined CFLAGS='-O1 -g'
run_tests build-check-sanitizers check-unit

if [ "${CHECK_FULL:-0}" = 1 ] || [ -n "${CI:-}" ]; then
    step 'make distcheck' distcheck
fi
exit $test_status
