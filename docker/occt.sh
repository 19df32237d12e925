#!/bin/sh
# Installs the libraries of OpenCASCADE that the plugin is linked with, in the build of an image. Debian's packages depend
# on drivers for graphics as well, 270 MB with LLVM, that no library in use is linked with: those are
# removed again, and the packages that stay lose their dependencies, so that apt works in images on top of this one.
#
# Argument: the plugin.
set -eu

plugin=$1
installed() { dpkg-query -W -f '${Package}\n' | LC_ALL=C sort; }

before=$(mktemp) needed=$(mktemp)
installed >"$before"
apt-get update -q
apt-get install -y -q --no-install-recommends libocct-data-exchange-7.6
# The packages of the libraries that the loader opens. A file may be known by either of its two paths.
LC_ALL=C ldd "$plugin" | awk '$2 == "=>" && $3 == "not" { print "occt: " $1 " is not there" >"/dev/stderr"; failed = 1 }
    $3 ~ /^\// { print $3 } END { exit failed }' >"$needed.paths"
while read -r path; do
    real=$(readlink -f "$path")
    dpkg-query -S "$real" 2>/dev/null || dpkg-query -S "${real#/usr}" 2>/dev/null
done <"$needed.paths" | cut -d: -f1 | LC_ALL=C sort -u >"$needed"
unused=$(installed | LC_ALL=C comm -13 "$before" - | LC_ALL=C comm -23 - "$needed")
# shellcheck disable=SC2086
dpkg --purge --force-depends $unused 2>/dev/null
# What came with OpenCASCADE and stays.
installed | LC_ALL=C comm -13 "$before" - >"$needed"
awk 'BEGIN { FS = "\n"; ORS = "\n\n" } NR == FNR { kept["Package: " $1] = 1; next }
    { if ($1 in kept) gsub(/\n(Pre-Depends|Depends|Recommends|Suggests):[^\n]*/, "") } { print }' \
    "$needed" RS= /var/lib/dpkg/status >"$before"
cat "$before" >/var/lib/dpkg/status
apt-get check -q
! LC_ALL=C ldd "$plugin" | grep 'not found'
rm -rf "$before" "$needed" "$needed.paths" /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt
