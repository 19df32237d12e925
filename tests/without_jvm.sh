#!/usr/bin/env bash
# Builds the programs without the feature `jvm` and lays them into target/without-jvm, for
# tests/end_to_end/jvm/not_built.rs.
#
# In the same target directory as everything else: of the dependencies nothing is compiled
# a second time. The example is there for the features that it selects of cadmill-core, so
# that this is not compiled again either. cargo puts the programs where those of the default
# build lie, so that these are put back in the end, whatever happens.
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
