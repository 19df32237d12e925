#!/usr/bin/env bash
# Installs Python programs into a virtual environment of their own: those of the tests
# into target/tools, or those that the first argument names into the second. Quick and
# silent when they are there.
set -eu

cd "$(dirname "$0")/.."
requirements=${1:-tests/requirements.txt}
tools=${2:-target/tools}
stamp=$tools/requirements.sha256

wanted=$(sha256sum <"$requirements")
[[ -f $stamp && $(<"$stamp") == "$wanted" ]] && exit

echo "setup: installing $(sed -n 's/==.*//p' "$requirements" | paste -sd' ') into $tools" >&2
# An environment that was left half-made is of no use.
rm -rf "$tools"
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
echo "$wanted" >"$stamp"
