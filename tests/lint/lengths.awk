# SPDX-License-Identifier: Apache-2.0
# Reads lengths.ratchet, then sources. The house's format makes functions easy to see: the braces of
# a body, and only they, stand alone in column 1; the name begins a line above.

BEGIN {
    FILE_LINES_MAX = 900
    FUNCTION_LINES_MAX = 70
    lost = 0
}

function complain(text) {
    print text
    lost++
}

# `key` is "path" or "path:function".
function judge(key, lines, most, where, what) {
    if (key in allowed) {
        seen[key] = 1
        if (lines > allowed[key])
            complain(where ": " what " has " lines " lines, and lengths.ratchet allows it " allowed[key] ": split it")
        else if (lines <= most)
            complain(where ": " what " is short enough now: take it out of lengths.ratchet")
        else if (lines < allowed[key])
            complain(where ": " what " has only " lines " lines now: lower its entry in lengths.ratchet")
    } else if (lines > most) {
        complain(where ": " what " has " lines " lines, more than " most ": split it")
    }
}

function end_file() {
    if (file != "")
        judge(file, lines_of_file, FILE_LINES_MAX, file ":1", "the file")
}

FILENAME ~ /lengths\.ratchet$/ {
    sub(/#.*/, "")
    if (NF == 2)
        allowed[$1] = $2 + 0
    else if (NF != 0)
        complain(FILENAME ":" FNR ": write \"path LINES\" or \"path:function LINES\"")
    next
}

FNR == 1 {
    end_file()
    file = FILENAME
    name = ""
    start = 0
}

{
    lines_of_file = FNR
}

/^[A-Za-z_][A-Za-z0-9_ *]*\(/ {
    name = $0
    sub(/[ \t]*\(.*/, "", name)
    sub(/.*[ *]/, "", name)
}

/^\{/ {
    start = FNR
}

/^\}/ && start {
    judge(FILENAME ":" name, FNR - start - 1, FUNCTION_LINES_MAX, FILENAME ":" start, name "()")
    start = 0
}

END {
    end_file()
    for (key in allowed)
        if (!(key in seen))
            complain("lengths.ratchet: there is no " key " any more: take it out")
    exit lost > 0
}
