#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# scripts/fetch-corpus.sh with stand-ins for apt-get and dpkg-deb: "packages" are empty files, and
# unpacking one makes a folder of one page and a changelog.
set -u
script=$(CDPATH='' cd -- "${srcdir:-.}" && pwd)/scripts/fetch-corpus.sh
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
lost=0
corpus=$work/corpus

mkdir "$work/bin"
# Nothing but these can be found, whatever this machine has.
for tool in sh dirname cat rm mkdir mv find head tail wc id mktemp gzip awk; do
    ln -s "$(command -v $tool)" "$work/bin/$tool"
done

stand_in() { # NAME: the script comes on standard input
    {
        echo '#!/bin/sh'
        echo "work=$work"
        cat
    } >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}

run() { # ARGUMENT...
    : >"$work/calls"
    PATH=$work/bin sh "$script" "$@" "$corpus" >"$work/out" 2>&1
    status=$?
}

fail() { # WHAT
    echo "failed: $1: status $status; it said:"
    sed 's/^/    /' "$work/out" "$work/calls"
    lost=1
}

run
{ [ "$status" -eq 1 ] && grep -q 'apt-get was not found' "$work/out"; } || fail 'no Debian'

stand_in apt-get <<'END'
echo "$*" >>"$work/calls"
if [ -e "$work/offline" ]; then
    echo 'E: Unable to locate package manpages'
    exit 100
fi
download=
for word; do
    [ -z "$download" ] || : >"${word}_1_all.deb"
    [ "$word" != download ] || download=yes
done
END
stand_in dpkg-deb <<'END'
[ ! -e "$work/damaged" ] || exit 2
mkdir -p "$3/usr/share/man/man1" "$3/usr/share/doc"
: >"$3/usr/share/man/man1/page.1.gz"
: >"$3/usr/share/doc/changelog.gz"
package=${2##*/}
texts=$3/usr/share/doc/${package%%_*}/Documentation
mkdir -p "$texts/sub" "$texts/translations/zh"
printf '.. SPDX-License-Identifier: GPL-2.0\n\n=====\nTitle\n=====\n\nText.\n' |
    gzip >"$texts/sub/one.rst.gz"
printf 'Two\n' | gzip >"$texts/two.rst.gz"
printf '.. toctree::\n' | gzip >"$texts/index.rst.gz"
: >"$texts/conf.py.gz"
: >"$texts/translations/zh/one.rst.gz"
END

: >"$work/offline"
run
{ [ "$status" -eq 1 ] && grep -q 'apt-get update' "$work/out" &&
    grep -q 'Unable to locate' "$work/out"; } || fail 'no network'
rm "$work/offline"

: >"$work/damaged"
run
{ [ "$status" -eq 1 ] && grep -q 'could not unpack' "$work/out" &&
    [ -z "$(find "$corpus" -type f)" ]; } || fail 'a damaged package'
rm "$work/damaged"

run
{ [ "$status" -eq 0 ] && grep -q 'corpus: 6 documents' "$work/out" &&
    [ -e "$corpus/manpages-pl/man1/page.1.gz" ] &&
    [ -z "$(find "$corpus" -name '*.deb' -o -name 'changelog*')" ]; } || fail 'a first run'

run
{ [ "$status" -eq 0 ] && [ ! -s "$work/calls" ]; } || fail 'all is there'

rm -r "$corpus/manpages-fr"
run
{ [ "$status" -eq 0 ] && grep -q 'download manpages-fr$' "$work/calls" &&
    [ -e "$corpus/manpages-fr/man1/page.1.gz" ]; } || fail 'one is missing'

corpus=$work/english
run --english
{ [ "$status" -eq 0 ] && grep -q 'download linux-doc-6.[0-9]*$' "$work/calls" &&
    grep -q 'corpus: 2 documents' "$work/out"; } || fail 'English'
[ "$(cd "$corpus"/linux-doc-* && find . -type f | sort | tr '\n' ' ')" = \
    './sub/one.rst.txt ./two.rst.txt ' ] || fail 'only its texts'
[ "$(cat "$corpus"/linux-doc-*/sub/one.rst.txt)" = "$(printf 'Title\n=====\n\nText.')" ] ||
    fail 'a text begins with its first line'

run --german
{ [ "$status" -eq 1 ] && grep -q 'does not know --german' "$work/out"; } || fail 'an option'
exit $lost
