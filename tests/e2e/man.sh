#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each option that a program's --help lists stands in its man page, and the other way round.
. "$(dirname "$0")/lib.sh"
man=$source/../../docs/man

# Words that begin with --, one a line, sorted.
options_in() {
    grep -oE -e '--[a-z][a-z-]*' | sort -u
}

page_options() { # PAGE
    # A reference to another program's option has no line of its own.
    sed -n -e 's/\\-/-/g' -e '/^\.B[IR]* /p' "$1" | options_in
}

help_of() { # PROGRAM
    "$1" --help
    case $1 in
    dipaco | dipacoctl)
        for subcommand in $("$1" --help | sed -n 's/^  \([a-z]*\) \([a-z]*\) .*/\1+\2/p; s/^  \([a-z]*\)  .*/\1/p; s/^  \([a-z]*\) [A-Z[].*/\1/p' | sort -u); do
            # shellcheck disable=SC2046
            "$1" $(echo "$subcommand" | tr + ' ') --help || echo "no help for $subcommand" >&2
        done
        ;;
    esac
}

for page in dipaco.1 dipacoctl.1 dipaco-coordinator.8 dipaco-worker.8; do
    program=${page%.*}
    help_of "$program" | options_in >"$program.help"
    page_options "$man/$page" >"$program.page"
    check "$program lists options" [ "$(wc -l <"$program.help")" -ge 3 ]
    diff "$program.help" "$program.page" >"$program.diff" || sed 's/^/    /' "$program.diff"
    check "$page and $program --help agree" [ ! -s "$program.diff" ]
    if command -v groff >/dev/null 2>&1; then
        groff -man -ww -z "$man/$page" 2>"$program.warnings"
        sed 's/^/    /' "$program.warnings"
        check "$page has no warnings" [ ! -s "$program.warnings" ]
    fi
done

# The page of the experiment file is made from the table of keys.
page=$build/docs/man/dipaco-experiment.5
check 'the experiment page names keys' grep -q '^\.B outer.momentum' "$page"
if command -v groff >/dev/null 2>&1; then
    groff -man -ww -z "$page" 2>experiment.warnings
    sed 's/^/    /' experiment.warnings
    check 'the experiment page has no warnings' [ ! -s experiment.warnings ]
fi

finish
