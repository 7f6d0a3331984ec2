#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh Debian 12 to a trained modular model on this machine: installs the packages, builds,
# fetches a corpus, and trains with one coordinator and two workers.
#
#     scripts/quickstart.sh [FOLDER_OF_TEXT] [OPTION OF dipaco run]...
#
# FOLDER_OF_TEXT holds documents of your own, each file one. It is imported once, and again with
# --fresh, which also begins the run anew. Interrupted, the same command goes on.
set -eu

usage() {
    sed -n '3,9s/^# \{0,1\}//p' "$0"
}

case ${1:-} in
-h | --help)
    usage
    exit 0
    ;;
esac

fail() {
    echo "quickstart: $*" >&2
    exit 1
}

say() {
    printf '\n== %s\n' "$*"
}

unset CDPATH
folder=
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    [ -d "$1" ] || fail "there is no folder \"$1\""
    folder=$(cd "$1" && pwd)
    shift
fi
cd "$(dirname "$0")/.."
root=$PWD
fresh=
for word in "$@"; do
    [ "$word" != --fresh ] || fresh=yes
done
# It would quietly choose other, slower kernels, which give other bits.
unset OPENBLAS_CORETYPE

say 'packages'
scripts/install-deps.sh

say 'build'
[ -x configure ] || autoreconf -fi
mkdir -p build
if [ ! -f build/config.status ]; then
    (cd build && ../configure --quiet CFLAGS="${CFLAGS:--O2}")
fi
make -C build -j"$(nproc)" --no-print-directory
dipaco=$root/build/dipaco
"$dipaco" version

# A corpus appears whole or not at all.
import() { # FOLDER CORPUS
    rm -rf "$2.new"
    "$dipaco" data import "$1" --out "$2.new"
    rm -rf "$2"
    mv "$2.new" "$2"
}

# What an experiment may be called: at most 63 of a-z, 0-9, _ and -, a letter first.
name_of() { # FOLDER
    local words hash
    words=$(printf '%s' "${1##*/}" | LC_ALL=C tr 'A-Z' 'a-z' | LC_ALL=C tr -c 'a-z0-9_-' - | cut -c 1-40)
    hash=$(printf '%s' "$1" | sha256sum | cut -c 1-8)
    case $words in
    [a-z]*) ;;
    *) words=docs-$words ;;
    esac
    echo "$words-$hash"
}

# The corpus comes through apt, whose package lists may be missing (slim images) or old.
fetch_corpus() {
    scripts/fetch-corpus.sh && return
    echo 'once more, with fresh package lists'
    if [ "$(id -u)" -eq 0 ]; then
        apt-get -q update
    else
        sudo -- apt-get -q update
    fi
    scripts/fetch-corpus.sh
}

say 'corpus'
mkdir -p .cache
if [ -z "$folder" ]; then
    name=quickstart
    experiment=examples/quickstart.yaml
    if [ ! -d .cache/corpus ]; then
        fetch_corpus
        import .cache/manpages .cache/corpus
    fi
else
    # The name says which folder, so that two of them do not meet in one run.
    name=$(name_of "$folder")
    mkdir -p ".cache/$name"
    if [ ! -d ".cache/$name/corpus" ] || [ -n "$fresh" ]; then
        import "$folder" ".cache/$name/corpus"
    else
        echo ".cache/$name/corpus was imported before; --fresh imports again and begins anew"
    fi
    experiment=.cache/$name/experiment.yaml
    # Without its discriminative phase: a tenth of the documents would have to be 50 for each path.
    sed -e "s|^experiment:.*|experiment: $name|" -e 's|corpus: *[^,}]*|corpus: corpus|' \
        -e 's|, phases: 1, phase_rounds: 2||' -e 's|router: 0.1|router: 0.04|' \
        examples/quickstart.yaml >"$experiment"
fi

say 'training'
exec "$dipaco" run "$experiment" --dir ".cache/runs/$name" "$@"
