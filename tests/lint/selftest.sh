#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each lint can fail: it is run over a tiny good tree, which must pass, and over the same tree with
# one fault, which it must name.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
tree=$work/tree
lost=0
ran=0

header() { # PATH GUARD [LINE]...
    header_path=$tree/$1
    mkdir -p "$(dirname "$header_path")"
    {
        printf '/* SPDX-License-Identifier: Apache-2.0 */\n#ifndef %s\n#define %s\n' "$2" "$2"
        shift 2
        [ $# -eq 0 ] || printf '%s\n' "$@"
        echo '#endif'
    } >"$header_path"
}

source_file() { # PATH LINE...
    source_path=$tree/$1
    mkdir -p "$(dirname "$source_path")"
    shift
    {
        echo '/* SPDX-License-Identifier: Apache-2.0 */'
        printf '%s\n' "$@"
    } >"$source_path"
}

lines() { # COUNT
    awk -v count="$1" 'BEGIN { for (i = 0; i < count; i++) print "    ;" }'
}

good_tree() {
    rm -rf "$tree"
    mkdir -p "$tree/base" "$tree/data" "$tree/coordinator" "$tree/worker" "$tree/tests/lint"
    printf 'base\nthird-party: yaml.h\n' >"$tree/base/.may_include"
    printf '# a comment\nbase data\nthird-party: curl/\n' >"$tree/data/.may_include"
    printf 'base\n' >"$tree/coordinator/.may_include"
    printf 'base data\nsystem: stdint.h\n' >"$tree/worker/.may_include"
    header base/a.h BASE_A_H '#include <stddef.h>' 'size_t dpc_a(void);'
    header data/b.h DATA_B_H '#include "base/a.h"'
    header coordinator/c.h COORDINATOR_C_H 'int dpc_c(void);'
    header worker/d.h WORKER_D_H '#include <stdint.h>' '#include "data/b.h"'
    source_file base/a.c '#include "base/a.h"' '#include <yaml.h>' '/* gets( atoi( */' \
        'static const char *text = "strcpy(";' 'size_t' 'dpc_a(void)' '{' \
        '    ops->free(1);' '    dpc_free(text);' '}'
}

# expect LINT PASS|TEXT WHAT: the lint over $tree passes, or fails and says TEXT.
expect() {
    ran=$((ran + 1))
    "$here/$1.sh" "$tree" >"$work/out" 2>&1
    status=$?
    if [ "$2" = PASS ]; then
        [ $status -eq 0 ] && return
    else
        [ $status -eq 1 ] && grep -qF -- "$2" "$work/out" && return
    fi
    echo "$1: $3: status $status, expected: $2; it said:"
    sed 's/^/    /' "$work/out"
    lost=$((lost + 1))
}

good_tree
for lint in layering headers banned-calls spdx lengths; do
    expect $lint PASS 'a good tree'
done

good_tree
source_file data/b.c '#include "coordinator/c.h"'
expect layering 'data/b.c:2: data/ may not include coordinator/c.h' 'a folder that is not named'

good_tree
source_file data/b.c '#include <yaml.h>'
expect layering 'data/b.c:2: data/ may not include yaml.h: only base/ may' "another folder's library"

good_tree
source_file data/b.c '#include <hwloc.h>'
expect layering '<hwloc.h> is no C, POSIX or Linux header' 'a library that nobody claims'

good_tree
source_file data/b.c '#include "proto/wire.pb-c.h"'
expect layering 'no .may_include claims proto/wire.pb-c.h' 'a generated header that nobody claims'

good_tree
source_file worker/d.c '# include <stdio.h>'
expect layering 'worker/d.c:2: <stdio.h> is not among the system headers' 'a folder with few system headers'

good_tree
echo 'never: base/a.h' >>"$tree/worker/.may_include"
source_file worker/d.c '#include "base/a.h"'
expect layering 'worker/d.c:2: worker/ may not include base/a.h' 'a header that is ruled out'

good_tree
echo 'thirdparty: zmq.h' >>"$tree/data/.may_include"
expect layering 'data/.may_include:4: thirdparty: is not known' 'a misspelled kind of line'

good_tree
source_file data/b.c '#include "b.h"'
expect layering '"b.h" does not begin with a folder' 'a path that is not from the root'

good_tree
source_file tests/t.c '#include "base/a.h"'
expect layering 'tests/t.c:1: no .may_include' 'a folder without rules'

good_tree
echo worker >>"$tree/coordinator/.may_include"
expect layering 'coordinator/ may never include worker/' 'the coordinator and the worker'

good_tree
echo data >>"$tree/base/.may_include"
expect layering 'folder cycle: ' 'folders in a ring'

good_tree
header base/a.h BASE_A_H '#include "base/e.h"'
header base/e.h BASE_E_H '#include "base/a.h"'
expect layering 'header cycle: ' 'headers in a ring'

good_tree
header base/e.h BASE_E_H 'size_t dpc_e(void);'
expect headers 'base/e.h:1: does not compile alone' 'a header that lacks an include'

good_tree
printf '/* SPDX-License-Identifier: Apache-2.0 */\nstruct e { int a; };\n' >"$tree/base/e.h"
expect headers 'base/e.h:1: does not compile alone' 'a header without a guard'

for call in strcpy strcat sprintf vsprintf atoi atol atof gets strtok malloc calloc realloc free \
    strdup exit rand; do
    good_tree
    source_file data/b.c '/* strlcpy' '*/ int' 'f(void)' '{' "    return $call (1);" '}'
    expect banned-calls "data/b.c:6: $call() is not used here" 'a banned call'
done

good_tree
source_file base/alloc.c 'void *p = malloc(1);'
source_file worker/main.c 'int x = exit(1);'
expect banned-calls PASS 'allocation in base/alloc.c, exit in a main'

good_tree
echo 'int x;' >"$tree/base/e.c"
expect spdx 'base/e.c:1: no SPDX' 'a source without a licence'

good_tree
source_file base/e.c "$(lines 900)"
expect lengths 'base/e.c:1: the file has 901 lines' 'a long file'
echo 'base/e.c 901' >"$tree/tests/lint/lengths.ratchet"
expect lengths PASS 'a long file on the list'
echo 'base/e.c 902' >"$tree/tests/lint/lengths.ratchet"
expect lengths 'lower its entry' 'a long file that shrank'
echo 'base/e.c 900' >"$tree/tests/lint/lengths.ratchet"
expect lengths 'lengths.ratchet allows it 900' 'a long file that grew'
source_file base/e.c 'int x;'
expect lengths 'take it out of lengths.ratchet' 'a file that is short enough now'
rm "$tree/base/e.c"
expect lengths 'there is no base/e.c any more' 'a file that is gone'

good_tree
source_file base/e.c 'int' 'dpc_long(int x)' '{' "$(lines 70)" '}'
expect lengths PASS 'a function of 70 lines'
source_file base/e.c 'int' 'dpc_long(int x,' '         int y)' '{' "$(lines 71)" '}'
expect lengths 'dpc_long() has 71 lines' 'a long function'
echo 'base/e.c:dpc_long 71' >"$tree/tests/lint/lengths.ratchet"
expect lengths PASS 'a long function on the list'

if command -v git >/dev/null 2>&1; then
    good_tree
    git -C "$tree" init -q && git -C "$tree" add -A
    expect generated PASS 'a clean checkout'
    source_file proto/wire.pb-c.h 'int x;'
    git -C "$tree" add -A
    expect generated 'proto/wire.pb-c.h:1: is made by a build' 'a generated file that is tracked'
fi

echo "$ran cases, $lost failed"
[ $lost -eq 0 ]
