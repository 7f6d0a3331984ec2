#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Who includes whom. Each folder's .may_include names the project folders whose headers it may
# include and, behind `third-party:`, the library headers that only the folders naming them include.
. "$(dirname -- "$0")/lib.sh"

rules=$(lint_files .may_include)
sources=$(lint_files '*.c' '*.h' '*.cc' '*.cu' '*.inc')
lint_need_files "$rules"
lint_need_files "$sources"
# shellcheck disable=SC2086
exec awk -f "$lint_here/layering.awk" $rules $sources
