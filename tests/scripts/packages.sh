#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The Debian packages without debhelper: each file of `make install` is in one package, each package
# names no file that there is not, and what they are built with is what scripts/install-deps.sh
# installs.
set -u
build=$PWD
source=$(CDPATH='' cd -- "${srcdir:-.}" && pwd)
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
lost=0

fail() { # WHAT FILE
    echo "failed: $1"
    sed 's/^/    /' "$2"
    lost=1
}

# Where the packages put what this build puts below its prefix.
make -s -C "$build" install DESTDIR="$work/all" prefix=/usr exec_prefix=/usr \
    docdir=/usr/share/doc/dipaco systemdsystemunitdir=/lib/systemd/system \
    sysusersdir=/usr/lib/sysusers.d tmpfilesdir=/usr/lib/tmpfiles.d >"$work/log" 2>&1 ||
    { fail 'make install' "$work/log"; exit 1; }
(cd "$work/all" && find . -type f ! -name 'dipaco-ops-cuda.so') | sed 's|^\./||' | sort >"$work/installed"
[ -s "$work/installed" ] || { fail 'nothing is installed' "$work/log"; exit 1; }

packaged() { # a line "FILE PACKAGE" for each that is in a package
    for list in "$source"/debian/*.install; do
        while read -r path; do
            awk -v path="$path" -v list="${list##*/}" \
                '$0 == path || index($0, path "/") == 1 { print $0, list; found = 1 }
                 END { if (!found) print path, list >"/dev/stderr" }' "$work/installed"
        done <"$list"
    done
}
packaged >"$work/packaged" 2>"$work/missing"
[ ! -s "$work/missing" ] || fail 'packages name what is not installed' "$work/missing"
cut -d ' ' -f 1 "$work/packaged" | sort | comm -3 - "$work/installed" >"$work/odd"
[ ! -s "$work/odd" ] || fail 'installed files are in no package, or in two' "$work/odd"

for list in "$source"/debian/*.install; do
    package=${list##*/}
    package=${package%.install}
    grep -qx "Package: $package" "$source/debian/control" || fail "$package" "$source/debian/control"
done

# build-essential is there on a machine that builds packages; debhelper brings autoconf and automake;
# certificates are for what the quickstart downloads.
sed -n "/^build_packages='/,/'\$/p" "$source/scripts/install-deps.sh" | tr -d "'" | tr ' ' '\n' |
    sed 's/^build_packages=//' |
    grep -vxE '|build-essential|autoconf|automake|ca-certificates' | sort >"$work/installs"
sed -n '/^Build-Depends:/,/^Standards-Version/p' "$source/debian/control" |
    sed 's/^Build-Depends://; s/(.*)//' | tr -d ', ' | grep -vE '^(|debhelper-compat|dh-sequence-.*|Standards.*)$' |
    sort >"$work/depends"
diff "$work/installs" "$work/depends" >"$work/out" || fail 'Build-Depends and install-deps.sh' "$work/out"

version=$(sed -n 's/^AC_INIT(\[dipaco\], \[\(.*\)\])$/\1/p' "$source/configure.ac")
head -n 1 "$source/debian/changelog" >"$work/out"
grep -qF "dipaco ($version)" "$work/out" || fail "debian/changelog is not of $version" "$work/out"
exit $lost
