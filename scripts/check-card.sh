#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Everything that needs a graphics card, in one go, since such a machine is often lent by the minute:
# builds the plug-in, runs the card's tests, times kernels and whole steps, and PyTorch beside them
# where python3 has it; last, since it takes longest, runs the kernels' tests under compute-sanitizer
# too, where that runs. Exit 0: all tests passed; 77: no card.
#
#   scripts/check-card.sh [--build DIR] [--out DIR] [--quick] [--python PYTHON]
#
# --build: programs that were built before (configure --with-cuda; make; make check-card-programs)
# --out: where logs and the benchmarks' JSON go; default card-results
# --quick: tests alone
set -eu
unset CDPATH
unset OPENBLAS_CORETYPE
build= out=card-results quick=no python=python3
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2; shift ;;
    --out) out=$2; shift ;;
    --python) python=$2; shift ;;
    --quick) quick=yes ;;
    *) sed -n 's/^#   //p' "$0" >&2; exit 2 ;;
    esac
    shift
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
[ -z "$build" ] || build=$(cd "$build" && pwd)
cd "$(dirname "$0")/.."
failed=0

say() {
    printf '\n== %s (%d s)\n' "$*" "$SECONDS"
}

if [ -z "$build" ]; then
    build=build-card
    say "build in $build"
    [ -x configure ] || autoreconf -fi
    mkdir -p "$build"
    (cd "$build" && ../configure --quiet --enable-werror --with-cuda)
    make -C "$build" -j"$(nproc)"
    make -C "$build" -j"$(nproc)" check-card-programs
fi
build=$(cd "$build" && pwd)
export DPC_CARD_PLUGIN=$build/dipaco-ops-cuda.so
export DPC_GOLDEN_DIR=$PWD/tests/golden # a build from elsewhere knows another place
tests="tests/unit/ops/test_ops_card tests/unit/modules/test_golden_card tests/unit/modules/test_path_card"

# The tests, which wait for the CPU's reference most of the time, run beside each other.
names=
trap 'pkill -P "$(jobs -p | paste -sd,)"; exit 130' INT TERM
begin_test() { # NAME COMMAND...
    local name=$1
    shift
    names="$names $name"
    rm -f "$out/$name.status"
    (
        status=0
        cd "$build" && "$@" >"$out/$name.log" 2>&1 || status=$?
        echo "$status" >"$out/$name.status"
    ) &
}

end_test() { # NAME
    local name=$1 status
    status=$(cat "$out/$name.status" 2>/dev/null || true)
    status=${status:-1}
    if [ "$status" -eq 77 ] && [ "${name#ops-}" = "$name" ]; then
        cat "$out/$name.log"
        exit 77
    elif [ "$status" -eq 77 ]; then
        echo "does not run here: $name"
    elif [ "$status" -eq 0 ]; then
        echo "passed: $name"
    else
        failed=$((failed + 1))
        case $status in 124 | 137) echo "not finished in time: $name" ;; esac
        echo "failed: $name (status $status)"
        grep -vE '^ *$|CUnit|cunit.source|^  *[0-9]+\. ' "$out/$name.log" | head -60
    fi
}

end_tests() {
    wait
    for name in $names; do
        end_test "$name"
    done
    names=
}

# A kernel that hangs shall not take the words about all others with it.
say 'tests on the card'
for test in $tests; do
    begin_test "$(basename "$test")" timeout -k 10 480 "./$test"
done
end_tests

bench() { # NAME COMMAND...
    local name=$1
    shift
    timeout -k 10 240 "$@" >"$out/$name.json" 2>"$out/$name.err" ||
        { echo "no figures: $name (status $?)"; tail -3 "$out/$name.err"; }
}

if [ "$quick" = no ]; then
    say 'kernels'
    for dtype in bf16 fp32; do
        bench "ops-P-$dtype" "$build/bench/bench_ops" --config P --dtype "$dtype" --ops cuda
    done
    say 'steps'
    for batch in 8 16 64; do
        bench "step-P-bf16-$batch" "$build/bench/bench_step" --config P --dtype bf16 --ops cuda \
            --batch "$batch" --json
        if "$python" -c 'import torch' 2>/dev/null; then
            bench "torch-P-bf16-$batch" "$python" bench/reference_torch.py --config P --dtype bf16 \
                --device cuda --batch "$batch" --compile
        fi
        bench "step-P-bf16-$batch-again" "$build/bench/bench_step" --config P --dtype bf16 \
            --ops cuda --batch "$batch" --json
    done
    bench step-P-tf32-8 "$build/bench/bench_step" --config P --ops cuda+tf32 --batch 8 --json
    bench step-P-fp32-8 "$build/bench/bench_step" --config P --ops cuda --batch 8 --json
    for config in quickstart A B; do
        bench "step-$config-bf16" "$build/bench/bench_step" --config "$config" --dtype bf16 \
            --ops cuda --steps 100 --json
    done
    say 'figures'
    "$python" - "$out" <<'TABLE' || echo 'no table of them'
import glob, json, os, sys
for name in sorted(glob.glob(os.path.join(sys.argv[1], "*.json"))):
    try:
        row = json.load(open(name))
    except ValueError:
        continue
    label = os.path.basename(name)[:-5]
    if "kernels" in row:
        print(f"{label}: product {row['peak_gflops'] / 1e3:.0f} TFLOP/s, copy {row['copy_gb_s']:.0f} GB/s")
        for k in row["kernels"]:
            rate = f"{k['gflops'] / 1e3:8.1f} TFLOP/s" if "gflops" in k else f"{k['gb_s']:8.0f} GB/s   "
            host = f"host {k['host_us']:7.1f} us" if "host_us" in k else ""
            print(f"    {k['op']:34} {k['us']:10.1f} us {rate} {100 * k.get('of_peak', k.get('of_memcpy', 0)):5.1f} %  {host}")
    else:
        print(f"{label:26} {row['step_ms']:9.2f} ms {row['tokens_per_s']:10.0f} tokens/s "
              f"{row['gflops'] / 1e3:7.1f} of {row.get('peak_gflops', 0) / 1e3:6.1f} TFLOP/s "
              f"{100 * row['gflops'] / max(row.get('peak_gflops', 0), 1):5.1f} %  loss {row['loss']:.4f}")
TABLE
fi

# Products of a warpgroup are looked at by memcheck and synccheck alone. Some machines that lend a
# card refuse the tool.
sanitized() { # TOOL
    local status=0
    DPC_TEST_SMALL=1 timeout -k 10 300 compute-sanitizer --tool "$1" --error-exitcode 9 \
        tests/unit/ops/test_ops_card || status=$?
    ! grep -q 'Device not supported' "$out/ops-$1.log" || status=77
    return $status
}

say 'kernels under compute-sanitizer'
PATH=$PATH:/usr/local/cuda/bin # where configure looks, too
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck synccheck racecheck; do
        begin_test "ops-$tool" sanitized "$tool"
    done
    end_tests
else
    echo 'no compute-sanitizer here'
fi

say "$failed failed"
[ "$failed" -eq 0 ]
