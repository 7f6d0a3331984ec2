# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What the lints share. Each is called as `LINT [ROOT]`, where ROOT is a source tree (default: the
# tree under test, $srcdir), prints `path:line: what is wrong` for each finding and exits 1 on any.
# Sourced, never run. POSIX sh and awk only (mawk is Debian's awk: no \<, no gensub, no {n,m}).

# The folders that hold sources. Never the root itself: under `make distcheck` the build tree lies
# inside the source tree.
lint_folders='base proto storage ops modules data routing coordinator worker cli tests bench'

LC_ALL=C
export LC_ALL
lint_here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 99
cd -- "${1:-${srcdir:-.}}" || exit 99

# Prints the files below the listed folders whose names match one of the patterns, without what a
# build makes there.
lint_files() {
    lint_expression=
    for lint_pattern in "$@"; do
        lint_expression="$lint_expression -o -name $lint_pattern"
    done
    lint_present=
    for lint_folder in $lint_folders; do
        [ ! -d "$lint_folder" ] || lint_present="$lint_present $lint_folder"
    done
    [ -n "$lint_present" ] || return 0
    # The words are split on purpose; the patterns must reach find as they are.
    (
        set -f
        # shellcheck disable=SC2086
        find $lint_present -type f \( -false $lint_expression \) ! -name '*.pb-c.[ch]' | sort
    )
}

# A lint that looked at nothing has not passed.
lint_need_files() {
    if [ -z "$1" ]; then
        echo "no files to look at in $(pwd)" >&2
        exit 99
    fi
}
