#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that the build and the quickstart need; with --tests also those that
# only the tests need, with --deb those of scripts/make-deb.sh. Safe to repeat: it touches neither network nor packages when all are there.
set -eu

# libprotobuf-dev: pkg-config asks for it behind sentencepiece, whose package of Debian 13 does not.
build_packages='build-essential pkg-config autoconf automake
    libzmq3-dev librocksdb-dev libprotobuf-c-dev protobuf-c-compiler libopenblas-dev libdnnl-dev libyaml-dev
    libjansson-dev libssl-dev zlib1g-dev libzstd-dev libcurl4-openssl-dev libsystemd-dev
    libmicrohttpd-dev libsentencepiece-dev libprotobuf-dev ca-certificates'
# git: the lint of tracked files. systemd: systemd-analyze. curl: tests/e2e/http.sh.
test_packages='libcunit1-dev git systemd curl'
deb_packages='debhelper git'

usage() {
    echo "usage: ${0##*/} [--tests | --deb]"
}

case ${1:-} in
'') packages=$build_packages ;;
--tests) packages="$build_packages $test_packages" ;;
--deb) packages="$build_packages $deb_packages" ;;
-h | --help)
    usage
    exit 0
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
# One line, for messages.
# shellcheck disable=SC2086,SC2116
packages=$(echo $packages)

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

installed() { # PACKAGE
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt() {
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q \
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1
}

for tool in dpkg-query apt-get; do
    command -v $tool >/dev/null 2>&1 ||
        fail "there is no $tool, so this is no Debian: install what these packages hold by other means: $packages"
done

missing=
for package in $packages; do
    installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
missing=${missing# }

sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 ||
        fail "only root may install packages, and there is no sudo: as root, run apt-get install $missing"
    sudo='sudo --'
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "installing: $missing"
apt update || {
    cat "$log" >&2
    echo "${0##*/}: could not refresh the package lists; trying with those at hand" >&2
}
# shellcheck disable=SC2086
if ! apt install -y --no-install-recommends $missing; then
    # Together they fail or succeed as one; one by one shows which it is.
    for package in $missing; do
        if ! apt install -y --no-install-recommends "$package"; then
            cat "$log" >&2
            fail "could not install the package $package: the reason stands above"
        fi
    done
fi
for package in $missing; do
    installed "$package" || fail "the package $package is not installed, although apt-get said nothing"
done
