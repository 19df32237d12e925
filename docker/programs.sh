#!/usr/bin/env bash
# Collects what the images are made of: /bin, /plugins, /crates, /java and /archive in a new directory.
#
# Arguments: the architecture as Docker names it, the directory, and optionally a directory with binaries. Without it
# the binaries are compiled with the profile of docker/image.toml. For arm64 there are the API and the cleanup only.
set -euo pipefail

cd "$(dirname "$0")/.."
architecture=$1 out=$2 binaries=${3:-}
target=${CARGO_TARGET_DIR:-target}
installed=/usr/local/lib/cadmill/java
mkdir -p "$out"
out=$(cd "$out" && pwd)

case $architecture in
    amd64) triple=x86_64-unknown-linux-gnu programs=(cadmill cadmill-api cadmill-cleanup cadmill-engine-host) ;;
    arm64)
        triple=aarch64-unknown-linux-gnu programs=(cadmill-api cadmill-cleanup)
        # The C compiler of the one crate in C, and the linker.
        if [[ $(uname -m) != aarch64 ]]; then
            command -v aarch64-linux-gnu-gcc >/dev/null || {
                echo "programs: for arm64 install gcc-aarch64-linux-gnu and libc6-dev-arm64-cross" >&2
                exit 1
            }
            ! command -v rustup >/dev/null || rustup --quiet target add "$triple" 2>/dev/null || {
                echo "programs: the standard library of Rust for $triple is not there" >&2
                exit 1
            }
            export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
            export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
        fi
        ;;
    *) echo "programs: no programs for $architecture" >&2; exit 1 ;;
esac

compile() {
    # Without Node the programs have a page that says how to build it.
    ! command -v npm >/dev/null || docker/page.sh
    local selected=()
    for name in "${programs[@]}"; do selected+=(--bin "$name"); done
    "${CARGO:-cargo}" build --config docker/image.toml --profile image --locked --workspace --target "$triple" "${selected[@]}"
    binaries=$target/$triple/image
}

[[ -n $binaries ]] || compile
mkdir "$out/bin" "$out/crates"
strip=strip
[[ $architecture == amd64 || $(uname -m) == aarch64 ]] || strip=aarch64-linux-gnu-strip
for name in "${programs[@]}"; do
    "$strip" --strip-all -o "$out/bin/$name" "$binaries/$name"
    chmod 755 "$out/bin/$name"
done
docker/crates.py "$triple" "$out/crates"

[[ $architecture == amd64 ]] || exit 0
native-sys/plugins/occt/build.sh
mkdir "$out/plugins"
cp "$target/plugins/libcadmill-occt.so" "$out/plugins/"

# The jars, with pins of all jars and libraries. Third-party ones must match native-sys/java/SHA256SUMS.
# The paths in engines.toml become those in the image.
native-sys/java/build.sh
java=$(cd "$target/java" && pwd)
mkdir -p "$out/java/assimp" "$out/archive"
cp -p "$java/cadmill-bridge.jar" "$out/java/"
cp -pR "$java"/assimp/*.jar "$java/assimp/natives" "$out/java/assimp/"
pins=$PWD/native-sys/java/SHA256SUMS
(cd "$out/java/assimp" && sha256sum --quiet --check --ignore-missing --strict "$pins")
sed "s|\"$java/|\"$installed/|" "$java/engines.toml" >"$out/java/engines.toml"
(cd "$out/java" && find . -type f ! -name SHA256SUMS -print0 | LC_ALL=C sort -z | xargs -0 sha256sum >SHA256SUMS)
chmod -R u=rwX,go=rX "$out/java"
cp native-sys/java/archive.sh "$out/archive/"
cp tests/fixtures/real/mesh/cube_binary.ply "$out/archive/mesh.ply"
