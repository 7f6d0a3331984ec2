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

# Where the packages put what a build puts below its prefix.
install_into() { # NAME BUILD [VARIABLE=VALUE]...
    name=$1
    folder=$2
    shift 2
    make -s -C "$folder" install DESTDIR="$work/$name" prefix=/usr exec_prefix=/usr \
        libdir=/usr/lib/x86_64-linux-gnu docdir=/usr/share/doc/dipaco \
        systemdsystemunitdir=/lib/systemd/system sysusersdir=/usr/lib/sysusers.d \
        tmpfilesdir=/usr/lib/tmpfiles.d "$@" >"$work/log" 2>&1 ||
        { fail "make install, $name" "$work/log"; exit 1; }
    (cd "$work/$name" && find . -type f) | sed 's|^\./||' | sort >"$work/installed"
    [ -s "$work/installed" ] || { fail "nothing is installed, $name" "$work/log"; exit 1; }
}

packaged() { # LIST...: a line "FILE LIST" for each that is in a package
    for list; do
        while read -r path; do
            awk -v path="$path" -v list="${list##*/}" \
                '$0 == path || index($0, path "/") == 1 { print $0, list; found = 1 }
                 END { if (!found) print path, list >"/dev/stderr" }' "$work/installed"
        done <"$list"
    done
}

compare() { # NAME LIST...: what is installed with what is in packages
    name=$1
    shift
    packaged "$@" >"$work/packaged" 2>"$work/missing"
    [ ! -s "$work/missing" ] || fail "packages name what is not installed, $name" "$work/missing"
    cut -d ' ' -f 1 "$work/packaged" | sort | comm -3 - "$work/installed" >"$work/odd"
    [ ! -s "$work/odd" ] || fail "installed files are in no package, or in two, $name" "$work/odd"
}

# The packages that are made without being asked for, and all.
asked_for=$(awk -v RS= '/\nBuild-Profiles:/ { print $2 }' "$source/debian/control")
all='' plain=''
for list in "$source"/debian/*.install; do
    all="$all $list"
    case " $asked_for " in
    *" $(basename "$list" .install) "*) ;;
    *) plain="$plain $list" ;;
    esac
done
[ "$all" != "$plain" ] || { echo 'failed: no package is made on request'; lost=1; }

# This build as it is.
install_into build "$build"
case $(sed -n 's/^S\["DPC_CUDA_TRUE"\]=//p' "$build/config.status") in
'""') lists=$all ;;
*) lists=$plain ;;
esac
# shellcheck disable=SC2086
compare build $lists

# And as it were --with-cuda, in a folder of its own, with stand-ins for whatever compiles: only the
# names of the files count here. What was built among the sources stays out of it.
tree=$source
if [ "$source" = "$build" ]; then
    tree=$work/tree
    make -s distdir distdir="$tree" >"$work/log" 2>&1 || { fail 'make distdir' "$work/log"; exit 1; }
fi
mkdir "$work/cards"
sed -e 's|^S\["DPC_CUDA_TRUE"\]=.*|S["DPC_CUDA_TRUE"]=""|' \
    -e 's|^S\["DPC_CUDA_FALSE"\]=.*|S["DPC_CUDA_FALSE"]="#"|' \
    -e "s|^srcdir=.*|srcdir='$tree'|" "$build/config.status" >"$work/cards/config.status"
cat >"$work/stand-in" <<'END'
#!/bin/sh
# Makes what it is told to: behind -o, its dependencies behind -MF, or the archive `ar cr ARCHIVE`.
case $1 in
cr*) made=$2 ;;
*) made= ;;
esac
while [ $# -gt 1 ]; do
    case $1 in
    -o) made=$2 ;;
    -MF) : >"$2" ;;
    esac
    shift
done
[ -n "$made" ] || exit 1
printf '#!/bin/sh\n' >"$made"
chmod +x "$made"
END
chmod +x "$work/stand-in"
(cd "$work/cards" && sh ./config.status) >"$work/log" 2>&1 ||
    { fail 'config.status for cards' "$work/log"; exit 1; }
install_into with-cuda "$work/cards" CC="$work/stand-in" CXX="$work/stand-in" AR="$work/stand-in" \
    RANLIB=: NVCC="$work/stand-in" VPATH="$tree"
grep -q 'dipaco-ops-cuda\.so$' "$work/installed" || fail 'no plug-in is installed' "$work/installed"
# shellcheck disable=SC2086
compare with-cuda $all

for list in "$source"/debian/*.install; do
    package=${list##*/}
    package=${package%.install}
    grep -qx "Package: $package" "$source/debian/control" || fail "$package" "$source/debian/control"
done

# What is made on request alone is made by that request, and no request goes unheard.
profile=$(sed -n 's/^Build-Profiles: <\(.*\)>$/\1/p' "$source/debian/control")
for file in scripts/make-deb.sh debian/rules; do
    grep -qF "$profile" "$source/$file" || fail "the profile \"$profile\" is not in" "$source/$file"
done
sh "$source/scripts/make-deb.sh" --with-cuda="$work" "$work/debs" >"$work/out" 2>&1
status=$?
if [ $status != 1 ] || [ -e "$work/debs" ] ||
    ! grep -q "there is no $work/bin/nvcc: install" "$work/out"; then
    fail 'make-deb.sh without a CUDA toolkit' "$work/out"
fi

# build-essential is there on a machine that builds packages; debhelper brings autoconf and automake;
# certificates are for what the quickstart downloads.
sed -n "/^build_packages='/,/'\$/p" "$source/scripts/install-deps.sh" | tr -d "'" | tr ' ' '\n' |
    sed 's/^build_packages=//' |
    grep -vxE '|build-essential|autoconf|automake|ca-certificates' | sort >"$work/installs"
sed -n '/^Build-Depends:/,/^Standards-Version/p' "$source/debian/control" |
    sed 's/^Build-Depends://; s/(.*)//; s/\[.*\]//' | tr -d ', ' | grep -vE '^(|debhelper-compat|dh-sequence-.*|Standards.*)$' |
    sort >"$work/depends"
diff "$work/installs" "$work/depends" >"$work/out" || fail 'Build-Depends and install-deps.sh' "$work/out"

version=$(sed -n 's/^AC_INIT(\[dipaco\], \[\(.*\)\])$/\1/p' "$source/configure.ac")
head -n 1 "$source/debian/changelog" >"$work/out"
grep -qF "dipaco ($version)" "$work/out" || fail "debian/changelog is not of $version" "$work/out"
exit $lost
