#!/usr/bin/env bash
# Installs Python programs into a separate virtual environment: those of the tests into
# target/tools, or the requirements file in the first argument into the directory in the
# second. Quick and silent if they are installed.
set -eu

cd "$(dirname "$0")/.."
requirements=${1:-tests/requirements.txt}
tools=${2:-target/tools}
stamp=$tools/requirements.sha256

wanted=$(sha256sum <"$requirements")
[[ -f $stamp && $(<"$stamp") == "$wanted" ]] && exit

echo "setup: installing $(sed -n 's/==.*//p' "$requirements" | paste -sd' ') into $tools" >&2
# An incomplete environment cannot be used.
rm -rf "$tools"
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
echo "$wanted" >"$stamp"
