#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Calls that the house does without, each with what stands in for it.
. "$(dirname -- "$0")/lib.sh"

sources=$(lint_files '*.c' '*.h' '*.cc' '*.cu' '*.inc')
lint_need_files "$sources"
# shellcheck disable=SC2086
exec awk -f "$lint_here/code.awk" -f "$lint_here/banned-calls.awk" $sources
