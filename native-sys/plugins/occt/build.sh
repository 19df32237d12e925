#!/usr/bin/env bash
# Builds the OpenCASCADE plugin, OUT/libcadmill-occt.so, with cmake, into OUT-build.
#
# Argument: OUT, which is `target/plugins` without one. Does nothing when it is newer than what it is made of.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
out=${1:-${CARGO_TARGET_DIR:-$top/target}/plugins}
mkdir -p "$out"
out=$(cd "$out" && pwd)

# Sources, the compiler, the library and the place.
stamp=$(
    cd "$here"
    { find . ../../include -type f -print0 | sort -z | xargs -0 sha256sum
      c++ --version | head -1
      dpkg-query -W libocct-data-exchange-dev 2>/dev/null || true
      echo "$out"
    } | sha256sum | cut -d ' ' -f 1
)
[[ ! -f $out/libcadmill-occt.so || ! -f $out-build/stamp || $(<"$out-build/stamp") != "$stamp" ]] || exit 0

for tool in cmake c++ make; do
    command -v $tool >/dev/null || {
        echo "occt: $tool is missing; run \`make setup\`, or install cmake, g++, make and libocct-data-exchange-dev" >&2
        exit 1
    }
done
echo "occt: building libcadmill-occt.so" >&2
rm -f "$out-build/stamp"
log=$out-build.log
# CMake refuses what it made for a source directory that has moved since.
grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$here" "$out-build/CMakeCache.txt" 2>/dev/null || rm -rf "$out-build"
mkdir -p "$out-build"
if ! { cmake -S "$here" -B "$out-build" -G "Unix Makefiles" && cmake --build "$out-build" -j "$(nproc)"; } >"$log" 2>&1; then
    tail -40 "$log" >&2
    echo "occt: the build failed; all of it is in $log" >&2
    exit 1
fi
# Replaced in one step: a test or a worker may be using it.
cp "$out-build/libcadmill-occt.so" "$out/.libcadmill-occt.so.$$"
strip --strip-unneeded "$out/.libcadmill-occt.so.$$"
mv "$out/.libcadmill-occt.so.$$" "$out/libcadmill-occt.so"
echo "$stamp" >"$out-build/stamp"
