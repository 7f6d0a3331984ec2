#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Files of at most 900 lines, functions of at most 70. lengths.ratchet lists what is longer, with the
# length that it may have; an entry goes down or away, never up.
. "$(dirname -- "$0")/lib.sh"

sources=$(lint_files '*.c' '*.h' '*.cc' '*.cu' '*.inc')
lint_need_files "$sources"
ratchet=tests/lint/lengths.ratchet
[ -f "$ratchet" ] || ratchet=
# shellcheck disable=SC2086
exec awk -f "$lint_here/lengths.awk" $ratchet $sources
