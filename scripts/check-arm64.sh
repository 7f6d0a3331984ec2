#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Whether all builds and computes right on 64-bit Arm, by emulation on an x86-64 machine: a Debian of
# that kind, whose libraries the build takes, is made once; the programs are compiled for it without
# a warning, the unit tests run, and workers of both kinds train one experiment (tests/e2e/mixed.sh).
# Needs root, a network, and debootstrap, qemu-user-static, binfmt-support, gcc-aarch64-linux-gnu and
# g++-aarch64-linux-gnu.
#
#   scripts/check-arm64.sh [FOLDER]
#
# FOLDER (build-arm64) holds that Debian and both builds. The tests are slow: the processor is played.
set -eu
unset CDPATH OPENBLAS_CORETYPE
top=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$top/build-arm64}
suite=bookworm mirror=http://deb.debian.org/debian
kind=aarch64-linux-gnu

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

if [ $# -gt 1 ] || [ "${1#-}" != "${1:-}" ]; then
    sed -n 's/^#   //p' "$0" >&2
    exit 2
fi
[ "$(id -u)" -eq 0 ] || fail 'only root makes a system'
for tool in debootstrap qemu-aarch64-static update-binfmts $kind-gcc $kind-g++; do
    command -v $tool >/dev/null 2>&1 ||
        fail "there is no $tool: install debootstrap qemu-user-static binfmt-support g++-$kind"
done
update-binfmts --enable qemu-aarch64 >/dev/null 2>&1 || true
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
root=$folder/root

# --- The system.

packages=$(sed -n "/^build_packages=/,/'\$/p" "$top/scripts/install-deps.sh" |
    tr "\n'" '  ' | sed 's/build_packages=//; s/build-essential//; s/libdnnl-dev//')

make_root() {
    rm -rf "$root"
    debootstrap --arch=arm64 --variant=minbase --foreign $suite "$root" $mirror
    chroot "$root" /debootstrap/debootstrap --second-stage
    cp /etc/resolv.conf "$root/etc/"
    echo "deb $mirror $suite main" >"$root/etc/apt/sources.list"
    chroot "$root" apt-get update -q
    # shellcheck disable=SC2086
    chroot "$root" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends libc6-dev libcunit1-dev $packages
    # From outside its links lead astray. It is no machine any more from here on.
    find "$root/usr/lib" "$root/usr/include" "$root/etc/alternatives" -type l | while read -r link; do
        to=$(readlink "$link")
        case $to in /*) ln -sfn "$root$to" "$link" ;; esac
    done
}

if [ ! -e "$folder/made" ]; then
    echo "makes a Debian for 64-bit Arm in $root"
    make_root >"$folder/root.log" 2>&1 || fail "it was not made: $folder/root.log says why"
    touch "$folder/made"
fi

# --- The builds: for Arm, and for here beside it.

export QEMU_LD_PREFIX="$root"
build() { # FOLDER [WORD]... : what configure is told
    build=$1
    shift
    mkdir -p "$build"
    (
        cd "$build"
        [ -e Makefile ] || "$top/configure" --quiet --enable-werror "$@"
        make -j"$(nproc)"
    ) >"$build.log" 2>&1 || fail "it does not build: $build.log says why"
}

[ -x "$top/configure" ] || (cd "$top" && autoreconf -fi) >"$folder/autoreconf.log" 2>&1
echo 'builds'
build "$folder/here"
(
    libraries=$root/usr/lib/$kind
    export PKG_CONFIG_LIBDIR="$libraries/pkgconfig:$root/usr/share/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
    build "$folder/arm64" --host=$kind "CC=$kind-gcc --sysroot=$root" "CXX=$kind-g++ --sysroot=$root"
)

# --- The tests.

echo 'workers of both kinds'
(cd "$folder/here" && DIPACO_OTHER_BUILD=$folder/arm64 sh "$top/tests/e2e/mixed.sh")
echo 'the unit tests'
make -C "$folder/arm64" -j"$(nproc)" check-unit >"$folder/check.log" 2>&1 ||
    fail "not all passed: $folder/check.log says which"
sed -n 's/^# \(PASS\|SKIP\|FAIL\|ERROR\): */\1 /p' "$folder/check.log" | tail -n 4
