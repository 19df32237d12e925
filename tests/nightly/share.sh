#!/usr/bin/env bash
# share.sh PLACE PATH... -- COMMAND...: in a mount namespace of its own, makes PLACE/root a
# read-only view of this machine's file systems, those of the PATHs included, and becomes
# COMMAND. What is no file system of files, as /proc, is left out.
set -eu

place=$1
shift
paths=()
while [[ $1 != -- ]]; do
    paths+=("$1")
    shift
done
shift

mapfile -t points < <({
    findmnt --real -rno TARGET
    for path in "${paths[@]}"; do findmnt -rno TARGET -T "$path"; done
} | sort -u)

mkdir -p "$place/root"
for point in "${points[@]}"; do
    # A mount point that lies in what another one hides is not there.
    [[ -d $place/root$point && ! -L $place/root$point ]] || continue
    mount --bind "$point" "$place/root$point"
    mount -o remount,bind,ro "$place/root$point"
done
exec "$@"
