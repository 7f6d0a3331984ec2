#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Nothing that a build makes is tracked. Needs a git checkout: skipped in a release.
. "$(dirname -- "$0")/lib.sh"

if [ ! -e .git ] || ! command -v git >/dev/null 2>&1; then
    echo "not a git checkout, or no git: nothing to look at"
    exit 77
fi
tracked=$(git -c safe.directory='*' ls-files) || exit 99
lint_need_files "$tracked"
echo "$tracked" | awk '
    /\.pb-c\.[ch]$/ || /\.([oa]|so|log|trs|gcno|gcda|tar\.gz|pyc|deb|whl)$/ || /~$/ ||
    /(^|\/)(Makefile|Makefile\.in|configure|aclocal\.m4|config\.(h|h\.in|log|status)|stamp-h1|\.dirstamp)$/ ||
    /(^|\/)(build[^\/]*|autom4te\.cache|\.deps|__pycache__|\.cache)\// {
        print $0 ":1: is made by a build or fetched for one, and must not be tracked"
        lost++
    }
    END { exit lost > 0 }'
