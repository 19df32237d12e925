#!/usr/bin/env bash
# Installs the Python programs of the tests into a virtual environment of their own,
# target/tools. Quick and silent when what tests/requirements.txt names is there.
set -eu

cd "$(dirname "$0")/.."
requirements=tests/requirements.txt
tools=target/tools
stamp=$tools/requirements.sha256

wanted=$(sha256sum <"$requirements")
[[ -f $stamp && $(<"$stamp") == "$wanted" ]] && exit

echo "setup: installing $(sed -n 's/==.*//p' "$requirements" | paste -sd' ') into $tools" >&2
# An environment that was left half-made is of no use.
rm -rf "$tools"
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
echo "$wanted" >"$stamp"
