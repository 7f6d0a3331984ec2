# SPDX-License-Identifier: Apache-2.0
# Reads .may_include files first, then sources. A .may_include holds one folder a line (which stands
# for the folders below it too), and at most one line of each of
#   third-party: HEADER...   a header, a prefix ending in "/", or a suffix behind "*"
#   system: HEADER...        where given, the only system headers that this folder may include
#   never: HEADER...         headers that it may not include, although their folder is allowed
# The nearest .may_include at or above a file counts for it.

BEGIN {
    # C17, POSIX and Linux, and as much of C++ as is used: free for all. Everything else in <> belongs to somebody.
    count = split("assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h " \
        "locale.h math.h setjmp.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h " \
        "stdint.h stdio.h stdlib.h stdnoreturn.h string.h strings.h tgmath.h threads.h time.h " \
        "uchar.h wchar.h wctype.h aio.h dirent.h dlfcn.h fcntl.h fnmatch.h ftw.h getopt.h glob.h " \
        "grp.h langinfo.h libgen.h netdb.h poll.h pthread.h pwd.h regex.h sched.h semaphore.h " \
        "spawn.h syslog.h termios.h unistd.h utime.h endian.h byteswap.h err.h malloc.h pty.h " \
        "cpuid.h immintrin.h x86intrin.h ucontext.h algorithm cstring exception functional new random string unordered_map vector sys/ arpa/ net/ netinet/ linux/ asm/", names, " ")
    for (i = 1; i <= count; i++)
        system_names[names[i]] = 1
    lost = 0
}

function complain(text) {
    print text
    lost++
}

function folder_part(path) {
    return sub(/\/[^\/]*$/, "", path) ? path : "."
}

# The folder whose .may_include counts for `path`; "" when there is none.
function owner(path) {
    while ((path = folder_part(path)) != ".")
        if (path in known)
            return path
    return ""
}

function below(path, folder) {
    return path == folder || index(path, folder "/") == 1
}

function matches(header, pattern) {
    if (substr(pattern, 1, 1) == "*") {
        pattern = substr(pattern, 2)
        return length(header) >= length(pattern) &&
            substr(header, length(header) - length(pattern) + 1) == pattern
    }
    if (pattern ~ /\/$/)
        return index(header, pattern) == 1
    return header == pattern
}

function in_list(header, list,    words, n, i) {
    n = split(list, words, " ")
    for (i = 1; i <= n; i++)
        if (matches(header, words[i]))
            return 1
    return 0
}

function is_system(header,    top) {
    if (header in system_names)
        return 1
    top = header
    return sub(/\/.*/, "/", top) && top in system_names
}

function names_of_claimants(header,    folder, text) {
    text = ""
    for (folder in third)
        if (in_list(header, third[folder]))
            text = text " " folder "/"
    return text
}

function check_third_party(header,    claimants) {
    if (in_list(header, third[here]))
        return 1
    claimants = names_of_claimants(header)
    if (claimants == "")
        return 0
    complain(FILENAME ":" FNR ": " here "/ may not include " header ": only" claimants " may")
    return 1
}

function check_system(header) {
    if (check_third_party(header))
        return
    if (!is_system(header))
        complain(FILENAME ":" FNR ": <" header "> is no C, POSIX or Linux header and no .may_include names it as third-party")
    else if ((here in pure) && !in_list(header, pure[here]))
        complain(FILENAME ":" FNR ": <" header "> is not among the system headers that " here "/.may_include allows")
}

function check_project(header,    target, words, n, i) {
    if (header ~ /\.pb-c\.h$/) {
        if (!check_third_party(header))
            complain(FILENAME ":" FNR ": no .may_include claims " header)
        return
    }
    target = owner(header)
    if (target == "") {
        complain(FILENAME ":" FNR ": \"" header "\" does not begin with a folder that has a .may_include (write paths from the root)")
        return
    }
    if (in_list(header, never[here]))
        complain(FILENAME ":" FNR ": " here "/ may not include " header ": " here "/.may_include says never")
    if (FILENAME ~ /\.h$/)
        header_edges[FILENAME] = header_edges[FILENAME] " " header
    if (target == here)
        return
    n = split(may[here], words, " ")
    for (i = 1; i <= n; i++)
        if (below(target, words[i]))
            return
    complain(FILENAME ":" FNR ": " here "/ may not include " header ": " here "/.may_include does not name " target "/")
}

# Coordinator and worker meet in proto/; no .may_include can allow otherwise.
function check_pinned(folder, entry) {
    if ((below(folder, "coordinator") && below(entry, "worker")) ||
        (below(folder, "worker") && below(entry, "coordinator")) ||
        (below(folder, "cli") && (below(entry, "worker") || below(entry, "coordinator"))))
        complain(FILENAME ":" FNR ": " folder "/ may never include " entry "/")
}

FNR == 1 {
    rules = FILENAME ~ /(^|\/)\.may_include$/
    if (rules) {
        here = folder_part(FILENAME)
        known[here] = 1
        may[here] = ""
        third[here] = ""
        never[here] = ""
    } else {
        here = owner(FILENAME)
        if (here == "")
            complain(FILENAME ":1: no .may_include in this folder or above it")
    }
}

rules {
    sub(/#.*/, "")
    if ($1 ~ /:$/) {
        kind = $1
        $1 = ""
        if (kind == "third-party:")
            third[here] = third[here] $0
        else if (kind == "system:")
            pure[here] = pure[here] $0
        else if (kind == "never:")
            never[here] = never[here] $0
        else
            complain(FILENAME ":" FNR ": " kind " is not known: third-party:, system: or never:")
    } else {
        for (i = 1; i <= NF; i++) {
            check_pinned(here, $i)
            may[here] = may[here] " " $i
        }
    }
    next
}

here != "" && /^[ \t]*#[ \t]*include[ \t]*["<]/ {
    header = $0
    sub(/^[ \t]*#[ \t]*include[ \t]*/, "", header)
    quote = substr(header, 1, 1)
    header = substr(header, 2)
    sub(/[">].*/, "", header)
    if (quote == "<")
        check_system(header)
    else
        check_project(header)
}

# Depth first; `colour` is 1 on the way down and 2 when done. The trail names the whole cycle.
function visit(node, edges, trail, what,    words, n, i, start) {
    if (colour[what, node] == 2)
        return
    if (colour[what, node] == 1) {
        start = index(trail " ", " " node " ")
        trail = substr(trail, start + 1) " " node
        gsub(/ /, " -> ", trail)
        complain(what " cycle: " trail)
        return
    }
    colour[what, node] = 1
    n = split(edges[node], words, " ")
    for (i = 1; i <= n; i++)
        visit(words[i], edges, trail " " node, what)
    colour[what, node] = 2
}

END {
    for (folder in known) {
        n = split(may[folder], words, " ")
        for (i = 1; i <= n; i++)
            for (target in known)
                if (target != folder && below(target, words[i]))
                    folder_edges[folder] = folder_edges[folder] " " target
    }
    for (folder in known)
        visit(folder, folder_edges, "", "folder")
    for (header in header_edges)
        all_headers[header] = 1
    for (header in all_headers)
        visit(header, header_edges, "", "header")
    exit lost > 0
}
