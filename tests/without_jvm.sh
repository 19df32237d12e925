#!/usr/bin/env bash
# Builds the programs without the feature `jvm` and lays them into target/without-jvm, for
# tests/end_to_end/jvm/not_built.rs.
#
# In the same target directory as everything else: of the dependencies nothing is compiled
# a second time. The example is there for the features that it selects of cadmill-core, so
# that this is not compiled again either. cargo puts the programs where those of the default
# build lie: a build that follows puts these back, as in `make test`.
set -eu

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}

"${CARGO:-cargo}" build --workspace --bins --example engine-host-unconfined --no-default-features --locked
mkdir -p "$target/without-jvm"
for program in cadmill cadmill-engine-host cadmill-converter; do
    cp "$target/debug/$program" "$target/without-jvm/$program.fresh"
    mv "$target/without-jvm/$program.fresh" "$target/without-jvm/$program"
done
