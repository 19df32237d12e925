#!/usr/bin/env bash
# share.sh PLACE PATH... -- COMMAND...: in a private mount namespace, mounts this machine's
# file systems, including those of the PATHs, read-only below PLACE/root, and executes COMMAND.
# Pseudo file systems, such as /proc, are left out.
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
    # A mount point hidden by another mount does not exist here.
    [[ -d $place/root$point && ! -L $place/root$point ]] || continue
    mount --bind "$point" "$place/root$point"
    mount -o remount,bind,ro "$place/root$point"
done
exec "$@"
