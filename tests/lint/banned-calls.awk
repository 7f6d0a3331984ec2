# SPDX-License-Identifier: Apache-2.0
# Behind code.awk.

BEGIN {
    count = split("strcpy strcat sprintf vsprintf atoi atol atoll atof gets strtok alloca rand", names, " ")
    for (i = 1; i <= count; i++)
        banned[names[i]] = "everywhere"
    instead["strcpy"] = instead["strcat"] = instead["sprintf"] = instead["vsprintf"] = "snprintf or base/buf.h"
    instead["atoi"] = instead["atol"] = instead["atoll"] = "strtol and a check of where it stopped"
    instead["atof"] = "strtod and a check of where it stopped"
    instead["gets"] = "fgets"
    instead["strtok"] = "strtok_r or strcspn"
    instead["alloca"] = "a fixed array or base/alloc.h"
    instead["rand"] = "base/rng.h"
    count = split("malloc calloc realloc reallocarray free strdup strndup aligned_alloc posix_memalign asprintf vasprintf", names, " ")
    for (i = 1; i <= count; i++) {
        banned[names[i]] = "alloc"
        instead[names[i]] = "base/alloc.h"
    }
    banned["exit"] = "main"
    instead["exit"] = "an error code (only programs end the process)"
    lost = 0
}

function allowed(rule) {
    if (rule == "alloc")
        return FILENAME == "base/alloc.c"
    if (rule == "main")
        return FILENAME ~ /^(cli|tests|bench)\// || FILENAME ~ /\/main[^\/]*\.c$/
    return 0
}

{
    rest = dpc_code($0)
    before = ""
    while (match(rest, /[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/)) {
        name = substr(rest, RSTART, RLENGTH - 1)
        sub(/[ \t]+$/, "", name)
        before = RSTART > 1 ? substr(rest, RSTART - 1, 1) : ""
        # `ops->free(` and `buf.free(` call a member, not libc.
        if ((name in banned) && before !~ /[.>]/ && !allowed(banned[name])) {
            print FILENAME ":" FNR ": " name "() is not used here: take " instead[name]
            lost++
        }
        rest = substr(rest, RSTART + RLENGTH)
    }
}

END {
    exit lost > 0
}
