#!/bin/sh
# Installs what compiles the programs, in the stage `source` of the Dockerfile. Argument: the architecture of
# the programs. Rust is the release that the repository is tested with.
set -eu

rust=1.95.0 rustup=1.29.0
case $(uname -m) in
    x86_64) digest=4acc9acc76d5079515b46346a485974457b5a79893cfb01112423c89aeb5aa10 ;;
    aarch64) digest=9732d6c5e2a098d3521fca8145d826ae0aaa067ef2385ead08e6feac88fa5792 ;;
    *) echo "toolchain: no Rust for $(uname -m)" >&2; exit 1 ;;
esac
case $1 in
    amd64) target=x86_64-unknown-linux-gnu packages="libassimp-dev libgdal-dev libocct-data-exchange-dev default-jdk-headless maven g++" ;;
    arm64) target=aarch64-unknown-linux-gnu packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;;
    *) echo "toolchain: no programs for $1" >&2; exit 1 ;;
esac
# The packages of Java make links beside manuals, which the base has not.
mkdir -p /usr/share/man/man1
apt-get update -q >/dev/null
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends ca-certificates curl gcc libc6-dev \
    libclang-dev cmake make python3 $packages >/dev/null
# For all programs that download here, Maven's Java as well.
bundle=$(cd "$(dirname "$0")" && pwd)/ca-bundle.crt
if [ -f "$bundle" ]; then
    awk '/BEGIN CERTIFICATE/ { file = sprintf("/usr/local/share/ca-certificates/bundle-%03d.crt", ++count) } file { print >file }
        /END CERTIFICATE/ { close(file); file = "" }' "$bundle"
    update-ca-certificates >/dev/null 2>&1
fi
curl -sSf -o /tmp/rustup-init "https://static.rust-lang.org/rustup/archive/$rustup/$(uname -m)-unknown-linux-gnu/rustup-init"
echo "$digest  /tmp/rustup-init" | sha256sum --quiet --check --strict
chmod +x /tmp/rustup-init
CARGO_HOME=/opt/cargo RUSTUP_HOME=/opt/rustup /tmp/rustup-init -y --quiet --no-modify-path --profile minimal \
    --default-toolchain "$rust" --target "$target"
rm /tmp/rustup-init
