#!/usr/bin/env bash
# Makes the base image localhost/cadmill-base of Debian's packages with mmdebstrap, for machines without a registry: like
# debian:bookworm-slim. Needs root. Does nothing if it is there.
#
# DEBIAN_MIRROR names another mirror, e.g. http://snapshot.debian.org/archive/debian/20261101T000000Z, with which
# the versions of all packages in the images are those of that day.
set -euo pipefail

. "$(dirname "$0")/tool.sh"
base=localhost/cadmill-base

! "${tool[@]}" inspect --type image "$base" >/dev/null 2>&1 || exit 0
echo "images: making the base image" >&2
"$(dirname "$0")/setup.sh" mmdebstrap
archive=$(mktemp --suffix .tar)
trap 'rm -f "$archive"' EXIT
# Licences stay; translations, manuals and other documents do not, now and in the images on top of it.
slim=()
for path in man locale info lintian linda 'doc/*'; do slim+=(--dpkgopt="path-exclude=/usr/share/$path/*"); done
slim+=(--dpkgopt='path-include=/usr/share/doc/*/copyright')
# With merged directories as every Debian has them since 12, without the program that merges them, which needs Perl.
mmdebstrap --quiet --variant=minbase --include=usr-is-merged --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr "${slim[@]}" --aptopt='APT::Install-Recommends "false"' \
    bookworm "$archive" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
case $kind in
    buildah)
        container=$("${tool[@]}" from scratch)
        "${tool[@]}" add "$container" "$archive" / >/dev/null
        "${tool[@]}" commit --rm "$container" "$base" >/dev/null
        ;;
    *) "${tool[@]}" import "$archive" "$base" >/dev/null ;;
esac
