#!/usr/bin/env bash
# Builds the page of the API into api/page/dist, from packages of npm that package-lock.json pins.
# Quick and silent if it was built from these sources. Nothing of a package is run while it is installed.
set -eu

cd "$(dirname "$0")/.."
tools=target/page-node
stamp=api/page/dist/built.sha256

wanted=$(find api/page -path api/page/dist -prune -o -path api/page/tests -prune -o -type f -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
[[ -f $stamp && $(<"$stamp") == "$wanted" ]] && exit

docker/node_tools.sh api/page "$tools"
echo "page: building api/page/dist" >&2
NODE_PATH=$PWD/$tools/node_modules node api/page/build.mjs
echo "$wanted" >"$stamp"
