#!/usr/bin/env bash
# Fuzzes the archive reader for FUZZ_SECONDS on one core, while third-party readers check the
# archives that it accepts. Fails on a crash, on a disagreement, or if nothing was accepted.
# Writes to the directory in the first argument.
set -euo pipefail
cd "$(dirname "$0")"

target=$(rustc -vV | sed -n 's/^host: //p')
# The lints of `make test` are those of the stable compiler.
unset RUSTC_WORKSPACE_WRAPPER

# libFuzzer's instrumentation: the flags of cargo-fuzz, without a sanitizer, because the reader
# has no unsafe code.
passes="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
passes+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
passes+=" -Cllvm-args=-sanitizer-coverage-pc-table"
passes+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
CARGO_TARGET_DIR=target RUSTFLAGS="$passes --cfg fuzzing -Ccodegen-units=1" \
    cargo +nightly build --profile fuzz --bin archive --locked --target "$target" 2>&1

mkdir -p target/java
javac -d target/java Oracle.java

out=$(realpath -m "${1:-target/fuzz-run}")
seconds=${FUZZ_SECONDS:-1800}
mkdir -p "$out"/{corpus,accepted,disagreed,crashes}
# That of the last run would end the oracle before it has seen an archive of this one.
rm -f "$out/done"
python3 oracle.py "$out" target/java &
oracle=$!
trap 'kill $oracle 2>/dev/null || true' EXIT

status=0
CADMILL_FUZZ_ACCEPTED=$out/accepted CADMILL_FUZZ_CORPUS=$out/corpus "target/$target/fuzz/archive" -max_total_time="$seconds" -max_len=65536 -timeout=10 \
    -print_final_stats=1 -artifact_prefix="$out/crashes/" "$out/corpus" || status=$?
touch "$out/done"
wait $oracle || status=1
trap - EXIT
exit $status
