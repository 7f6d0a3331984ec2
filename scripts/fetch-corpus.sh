#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches a corpus from Debian's archive. Nothing is installed: containers often strip manual pages
# and documentation, so packages are downloaded and unpacked into a folder. Safe to repeat: what is
# there stays.
#
#     scripts/fetch-corpus.sh [DIR]             # the quickstart's: manual pages in English, German,
#                                               # French, Spanish and Polish, about 29 MB; DIR:
#                                               # .cache/manpages below the source tree
#     scripts/fetch-corpus.sh --english [DIR]   # one language: the kernel's documentation, about
#                                               # 21 MB of reStructuredText; DIR: .cache/kernel-docs
#     dipaco data import DIR --out corpus/
set -eu

fail() {
    echo "fetch-corpus: $*" >&2
    exit 1
}

# --- What a package gives: its part of DIR, and nothing else of it, such as changelogs.

take_pages() { # PACKAGE
    [ -d "$work/$1/usr/share/man" ] || fail "package $1 holds no manual pages"
    mv "$work/$1/usr/share/man" "$dir/$1"
}

# The first bytes of a document choose its route, and half of the files begin with the same line
# about their licence: a text begins with its first line that is no comment, rule or empty.
without_head='
FNR == 1 { if (out) close(out); out = FILENAME ".txt"; begun = 0 }
!begun && (/^ *$/ || /^\.\./ || /^[-=#*~^_+."]+ *$/) { next }
{ begun = 1; print > out }'

take_documents() { # PACKAGE
    texts=$work/$1/usr/share/doc/$1/Documentation
    [ -d "$texts" ] || fail "package $1 holds no documentation"
    rm -rf "$texts/translations"
    find "$texts" -name '*.rst.gz' -type f -exec gzip -d {} + || fail "could not unpack $1's texts"
    find "$texts" -name '*.rst' -type f -exec awk "$without_head" {} + ||
        fail "could not read $1's texts"
    find "$texts" ! -name '*.rst.txt' ! -type d -exec rm -f {} +
    mv "$texts" "$dir/$1"
}

# --- In order.

top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
packages="manpages manpages-dev manpages-de manpages-fr manpages-es manpages-pl"
take=take_pages
suffix=.gz
dir=$top/.cache/manpages
if [ "${1:-}" = --english ]; then
    shift
    packages=linux-doc-6.1
    case $(cat /etc/debian_version 2>/dev/null) in
    13*) packages=linux-doc-6.12 ;; # and so another corpus
    esac
    take=take_documents
    suffix=.rst.txt
    dir=$top/.cache/kernel-docs
fi
case ${1:-} in
-*) fail "does not know $1: it takes --english and a folder" ;;
esac
dir=${1:-$dir}

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
    "$take" "$package"
done

rm -rf "$work"
echo "corpus: $(find "$dir" -type f -name "*$suffix" | wc -l) documents in $dir"
