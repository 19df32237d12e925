#!/usr/bin/env bash
# Unpacks Debian's Prometheus with its promtool, which the tests of the metrics use, into
# target/prometheus. It is not installed: the package would start a server on this machine. Quick and
# silent if it is there.
set -eu

cd "$(dirname "$0")/.."
place=target/prometheus

[[ -x $place/usr/bin/promtool ]] && exit

echo "setup: unpacking the Debian package prometheus into $place" >&2
rm -rf "$place.new"
mkdir -p "$place.new" "$place"
if ! (cd "$place.new" && apt-get download -q prometheus >/dev/null 2>&1); then
    as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get update -q >/dev/null
    (cd "$place.new" && apt-get download -q prometheus >/dev/null)
fi
dpkg-deb -x "$place.new"/prometheus_*.deb "$place.new/files"
rm -rf "$place"
# In one step, so that an interrupted run leaves nothing that looks whole.
mv "$place.new/files" "$place"
rm -rf "$place.new"
