#!/usr/bin/env bash
# Installs packages of npm that the tests use: the zip writers that the archive reader is tested
# with into target/tools-node, or those that the directory in the first argument pins into the
# directory in the second. They are pinned by package-lock.json. Quick and silent if they are
# installed. Nothing of them is run while they are installed.
set -eu

cd "$(dirname "$0")/.."
pinned=${1:-tests/fixtures/writers}
tools=${2:-target/tools-node}
stamp=$tools/installed.sha256

wanted=$(cat "$pinned/package.json" "$pinned/package-lock.json" | sha256sum)
[[ -f $stamp && $(<"$stamp") == "$wanted" ]] && exit

echo "setup: installing the packages of $pinned/package.json into $tools" >&2
# An incomplete installation cannot be used.
rm -rf "$tools"
mkdir -p "$tools"
cp "$pinned/package.json" "$pinned/package-lock.json" "$tools"
npm ci --prefix "$tools" --loglevel=error --ignore-scripts --no-audit --no-fund >/dev/null
echo "$wanted" >"$stamp"
