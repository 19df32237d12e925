#!/usr/bin/env bash
# Builds the programs without the feature `jvm` into target/without-jvm, for
# tests/end_to_end/jvm/not_built.rs.
#
# Uses the target directory of all other builds, so that no dependency is compiled a second
# time. The example is built as well because it selects features of cadmill-core, which would
# otherwise be compiled again. cargo writes the programs over those of the default build, so
# these are rebuilt at the end, even after a failure.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
build=("${CARGO:-cargo}" build --workspace --bins --example engine-host-unconfined --locked)

trap '"${build[@]}"' EXIT
"${build[@]}" --no-default-features
mkdir -p "$target/without-jvm"
for program in cadmill cadmill-engine-host cadmill-converter; do
    cp "$target/debug/$program" "$target/without-jvm/$program.fresh"
    mv "$target/without-jvm/$program.fresh" "$target/without-jvm/$program"
done
