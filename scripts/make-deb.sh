#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes Debian packages of what git tracks here (of changed files, as they are now), for the release
# that it runs on:
#
#     scripts/make-deb.sh [--with-cuda[=DIR]] [FOLDER]
#
# installs what that needs, builds in a copy, and puts dipaco-worker, dipaco-coordinator, dipaco and
# dipaco-common (.deb) into FOLDER, build-deb by default. Tests are not run.
#
# --with-cuda: also dipaco-worker-cuda, the plug-in for NVIDIA cards, with the CUDA toolkit in DIR,
# /usr/local/cuda by default. With CUDA_ARCHS=90 in the environment it is for one kind of card.
set -eu

usage() {
    sed -n '3,12s/^# \{0,1\}//p' "$0"
}

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

unset CDPATH
cuda='' profiles=''
while :; do
    case ${1:-} in
    -h | --help)
        usage
        exit 0
        ;;
    --with-cuda) cuda=/usr/local/cuda ;;
    --with-cuda=?*) cuda=${1#*=} ;;
    -*)
        usage >&2
        exit 2
        ;;
    *) break ;;
    esac
    shift
done
if [ -n "$cuda" ]; then
    [ -x "$cuda/bin/nvcc" ] ||
        fail "there is no $cuda/bin/nvcc: install the CUDA toolkit and give --with-cuda=DIR," \
            "or leave --with-cuda out"
    CUDA_DIR=$(cd "$cuda" && pwd)
    export CUDA_DIR
    profiles=pkg.dipaco.cuda
fi
into=${1:-$(dirname "$0")/../build-deb}
mkdir -p "$into"
into=$(cd "$into" && pwd)
cd "$(dirname "$0")/.."
scripts/install-deps.sh --deb
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || fail 'this is no git checkout'

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/dipaco"
git ls-files -z | tar --null --files-from=- -cf - | tar -C "$work/dipaco" -xf -
cd "$work/dipaco"
DEB_BUILD_PROFILES="${DEB_BUILD_PROFILES:-} $profiles" \
    DEB_BUILD_OPTIONS="noautodbgsym parallel=$(nproc)" \
    dpkg-buildpackage --build=binary --no-sign
rm -f "$into"/dipaco*.deb
mv "$work"/*.deb "$into"
echo
for package in "$into"/*.deb; do
    echo "$package"
done
