#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches the quickstart's corpus: Debian's manual pages in English, German, French, Spanish and
# Polish, about 29 MB. Nothing is installed: containers often strip manual pages, so the packages
# are downloaded and unpacked into a folder. Safe to repeat: what is there stays.
#
#     scripts/fetch-corpus.sh [DIR]         # DIR: .cache/manpages below the source tree
#     dipaco data import DIR --out corpus/
set -eu

packages="manpages manpages-dev manpages-de manpages-fr manpages-es manpages-pl"
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
dir=${1:-$top/.cache/manpages}

fail() {
    echo "fetch-corpus: $*" >&2
    exit 1
}

for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null ||
        fail "$tool was not found; this corpus comes from Debian's archive. Any folder of text files can be imported in its place"
done

mkdir -p "$dir" || fail "could not make the folder \"$dir\""
dir=$(CDPATH='' cd -- "$dir" && pwd)

missing=
for package in $packages; do
    [ -d "$dir/$package" ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "corpus is there: $dir"
    exit 0
fi

# Hidden, so that an import of DIR does not see it; a run that was cut off leaves nothing else.
work=$dir/.incoming
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# As root, apt would drop to a user who cannot write here.
sandbox=
[ "$(id -u)" -ne 0 ] || sandbox="-o APT::Sandbox::User=root"

echo "downloading$missing"
# shellcheck disable=SC2086 # Both are lists of words.
if ! (cd "$work" && apt-get $sandbox -q download $missing) >"$work/apt.log" 2>&1; then
    tail -n 5 "$work/apt.log" >&2
    fail "could not download the packages. Is the network there? With no package lists yet, run \"apt-get update\" as root first, then this script again"
fi

for package in $missing; do
    deb=$(find "$work" -name "${package}_*.deb" | head -n 1)
    [ -n "$deb" ] || fail "apt-get brought no file for package $package"
    dpkg-deb -x "$deb" "$work/$package" || fail "could not unpack $deb"
    [ -d "$work/$package/usr/share/man" ] || fail "package $package holds no manual pages"
    # Only the pages: the packages' own changelogs are no part of the corpus.
    mv "$work/$package/usr/share/man" "$dir/$package"
done

rm -rf "$work"
echo "corpus: $(find "$dir" -type f -name '*.gz' | wc -l) pages in $dir"
