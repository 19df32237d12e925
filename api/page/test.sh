#!/usr/bin/env bash
# Checks the types of the page and runs its tests, each file in one process of Node.
set -eu

cd "$(dirname "$0")/../.."
export NODE_PATH=$PWD/target/page-node/node_modules
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
"$NODE_PATH/.bin/tsc" --project api/page/tsconfig.json
"$NODE_PATH/.bin/esbuild" api/page/tests/*.test.ts --bundle --platform=node --format=esm --outdir="$made" \
    --out-extension:.js=.mjs --log-level=warning
node --test "$made"/*.mjs
