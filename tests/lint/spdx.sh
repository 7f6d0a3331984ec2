#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every source says its licence in one of its first three lines.
. "$(dirname -- "$0")/lib.sh"

lint_folders="$lint_folders scripts systemd .ci"
sources=$(lint_files '*.c' '*.h' '*.cc' '*.cu' '*.inc' '*.proto' '*.sh' '*.awk' '*.py' '*.am' \
    '*.in' '*.service' '*.conf' run)
lint_need_files "$sources"
for file in Makefile.am configure.ac; do
    [ ! -f "$file" ] || sources="$sources $file"
done
# shellcheck disable=SC2086
exec awk '
    FNR == 1 { if (file != "" && !found) missing(file); file = FILENAME; found = 0 }
    FNR <= 3 && /SPDX-License-Identifier: Apache-2\.0/ { found = 1 }
    function missing(name) { print name ":1: no SPDX-License-Identifier line"; lost++ }
    END { if (file != "" && !found) missing(file); exit lost > 0 }' $sources
