#!/usr/bin/env bash
# Compiles a crate of the workspace with clippy's driver: it does what rustc does, and lints
# meanwhile. `cargo clippy` would check every dependency a second time, which takes five minutes
# from an empty target directory. For RUSTC_WORKSPACE_WRAPPER, see `make test`.
#
# Not sh: dash drops the variables CARGO_BIN_EXE_*, whose names have hyphens.
exec clippy-driver "$@" -D warnings
