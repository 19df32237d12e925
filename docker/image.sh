#!/usr/bin/env bash
# Builds the image `cadmill` from the release binaries, with buildah, podman or
# docker, whichever is there. Arguments: the directory of the binaries, the base image.
set -eu

binaries=$1 base=$2
here=$(cd "$(dirname "$0")" && pwd)

for tool in buildah podman docker; do
    command -v "$tool" >/dev/null && break
    tool=
done
[[ -n $tool ]] || {
    echo "image: neither buildah, podman nor docker is there; install one, e.g. apt-get install buildah" >&2
    exit 1
}

# A context of three files, so that nothing else can get into the image.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$binaries/cadmill" "$binaries/cadmill-engine-host" "$here/Dockerfile" "$context/"

"$tool" build --build-arg "BASE=$base" --tag cadmill --file "$context/Dockerfile" "$context"
