#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# scripts/check-card.sh over a build of stand-ins, called from elsewhere than the source.
set -u
script=$(CDPATH='' cd -- "${srcdir:-.}" && pwd)/scripts/check-card.sh
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
lost=0
mkdir -p "$work/bin" "$work/build/bench" "$work/build/tests/unit/ops" "$work/build/tests/unit/modules"

stand_in() { # FILE: the script comes on standard input
    {
        echo '#!/bin/sh'
        cat
    } >"$work/$1"
    chmod +x "$work/$1"
}

stand_in bin/compute-sanitizer </dev/null
for test in ops/test_ops_card modules/test_golden_card modules/test_path_card; do
    stand_in "build/tests/unit/$test" </dev/null
done
stand_in build/tests/unit/modules/test_golden_card <<'END'
[ -s "${DPC_GOLDEN_DIR:-none}/path.bin" ]
END

run() { # ARGUMENT...
    (
        cd "$work/build" || exit 99
        PATH=$work/bin:$PATH bash "$script" --build . --out results "$@"
    ) >"$work/out" 2>&1
    status=$?
}

expect() { # WHAT STATUS [TEXT]
    if [ "$status" -ne "$2" ] || { [ -n "${3:-}" ] && ! grep -qF -- "$3" "$work/out"; }; then
        echo "failed: $1: status $status; it said:"
        sed 's/^/    /' "$work/out"
        lost=1
    fi
}

run --quick
expect 'folders are those of the caller' 0 'passed: test_path_card'
[ -s "$work/build/results/ops-memcheck.status" ] || lost=1

stand_in bin/timeout <<END
[ "\$1" != -k ] || shift 2
shift
exec $(command -v timeout) 5 "\$@"
END
stand_in build/tests/unit/modules/test_path_card <<'END'
exec sleep 60
END
began=$(date +%s)
run --quick
expect 'a test that hangs' 1 'not finished in time: test_path_card'
expect 'the others beside it' 1 'passed: test_ops_card'
[ $(($(date +%s) - began)) -lt 50 ] || lost=1
stand_in build/tests/unit/modules/test_path_card </dev/null

# Figures are told before the sanitizer has its minutes, and do not wait for a step that hangs.
stand_in build/bench/bench_ops <<'END'
echo '{"peak_gflops": 7e5, "copy_gb_s": 4e3, "kernels": [{"op": "pack", "us": 1.0, "gb_s": 1e3, "of_memcpy": 0.25}]}'
END
stand_in build/bench/bench_step <<'END'
case "$*" in
*tf32*) exec sleep 60 ;;
esac
echo '{"step_ms": 21.8, "tokens_per_s": 376000, "gflops": 3e5, "peak_gflops": 7e5, "loss": 10.4}'
END
run --python no-such-python
expect 'no Python' 0 'passed: ops-memcheck'
if python=$(command -v python3); then
    stand_in bin/python <<END
[ "\$1" = - ] && exec $python "\$@"
END
    run --python python
    expect 'figures of kernels' 0 'copy 4000 GB/s'
    expect 'figures of a step' 0 'loss 10.4'
    expect 'a step that hangs' 0 'no figures: step-P-tf32-8 (status 124)'
    sed -n '/^== figures/,$p' "$work/out" | grep -q '^== kernels under compute-sanitizer' || lost=1
fi

# Where the golden vectors are is said by the environment, since the build may be from elsewhere.
if [ -x tests/unit/modules/test_golden ] &&
    DPC_GOLDEN_DIR=$work tests/unit/modules/test_golden >"$work/out" 2>&1; then
    echo 'failed: golden vectors were read from where the source was compiled'
    lost=1
fi
exit $lost
