#!/usr/bin/env bash
# Builds the image `cadmill`, or with jars `cadmill:jvm`, with buildah, podman or docker,
# whichever is installed. Arguments: the directory of the binaries, the base image, and for
# `cadmill:jvm` the directory that native-sys/java/build.sh made.
#
# IMAGE_TOOL names the tool, with its flags.
set -eu

binaries=$1 base=$2 java=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
top=$here/..
installed=/usr/local/lib/cadmill/java

read -ra tool <<<"${IMAGE_TOOL:-}"
for name in buildah podman docker; do
    ((${#tool[@]})) && break
    ! command -v "$name" >/dev/null || tool=("$name")
done
((${#tool[@]})) || {
    echo "image: neither buildah, podman nor docker is there; install one, e.g. apt-get install buildah" >&2
    exit 1
}

# The build context has only the needed files, so that no others can get into the image.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$binaries"/cadmill{,-engine-host,-converter} "$here/Dockerfile" "$context/"

# Copies the jars, with pins of all jars and libraries. Third-party ones must match
# native-sys/java/SHA256SUMS. The paths in engines.toml become those in the image.
take_jars() {
    [[ -f $java/stamp ]] || {
        echo "image: $java has no jars; run native-sys/java/build.sh first" >&2
        exit 1
    }
    mkdir -p "$context/java/assimp" "$context/archive"
    cp -p "$java/cadmill-bridge.jar" "$context/java/"
    cp -pR "$java"/assimp/*.jar "$java/assimp/natives" "$context/java/assimp/"
    (cd "$context/java/assimp" && sha256sum --quiet --check --ignore-missing --strict "$top/native-sys/java/SHA256SUMS")
    sed "s|\"$(cd "$java" && pwd)/|\"$installed/|" "$java/engines.toml" >"$context/java/engines.toml"
    (cd "$context/java" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS)
    chmod -R u=rwX,go=rX "$context/java"
    cp "$top/native-sys/java/archive.sh" "$context/archive/"
    cp "$top/tests/fixtures/real/mesh/cube_binary.ply" "$context/archive/mesh.ply"
}

stage=plain tag=cadmill
[[ -z $java ]] || { take_jars; stage=jvm tag=cadmill:jvm; }
"${tool[@]}" build --build-arg "BASE=$base" --target "$stage" --tag "$tag" --file "$context/Dockerfile" "$context"
