#!/usr/bin/env bash
# Builds the programs without the feature `jvm` into target/without-jvm, for
# tests/end_to_end/jvm/not_built.rs, and then everything with it.
#
# Uses the target directory of all other builds, so that nothing is compiled a second time that does
# not depend on the feature: the example selects features of cadmill-core, and those that it has by
# default stay on. cargo writes the programs over those of the default build, so these are built at
# the end, even after a failure.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
build=("${CARGO:-cargo}" build --workspace --bins --locked)

trap '"${build[@]}" --tests --examples' EXIT
"${build[@]}" --example engine-host-unconfined --no-default-features --features cadmill-core/default
mkdir -p "$target/without-jvm"
for program in cadmill cadmill-engine-host cadmill-converter; do
    cp "$target/debug/$program" "$target/without-jvm/$program.fresh"
    mv "$target/without-jvm/$program.fresh" "$target/without-jvm/$program"
done
