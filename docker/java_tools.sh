#!/usr/bin/env bash
# Installs jars that the tests use, and what they depend on: Commons Compress, which the archive
# reader is tested with, into target/tools-java, or what the directory in the first argument pins
# into the directory in the second. They are pinned by version in pom.xml and by SHA-256 in
# SHA256SUMS. Quick and silent if they are installed.
set -eu

cd "$(dirname "$0")/.."
pinned=${1:-tests/fixtures/writers}
tools=${2:-target/tools-java}
stamp=$tools/installed.sha256

wanted=$(cat "$pinned/pom.xml" "$pinned/SHA256SUMS" | sha256sum)
[[ -f $stamp && $(<"$stamp") == "$wanted" ]] && exit

echo "setup: installing the jars of $pinned/pom.xml into $tools" >&2
# An incomplete installation cannot be used.
rm -rf "$tools"
mvn --quiet --batch-mode -Dstyle.color=never --file "$pinned/pom.xml" \
    dependency:copy-dependencies -DoutputDirectory="$PWD/$tools"
# The jars that are pinned, each of them, and no other.
(cd "$tools" && sha256sum --quiet --check --strict "../../$pinned/SHA256SUMS") || {
    echo "setup: a jar is not the one that $pinned/SHA256SUMS pins" >&2
    exit 1
}
for jar in "$tools"/*.jar; do
    grep -q "  $(basename "$jar")\$" "$pinned/SHA256SUMS" || {
        echo "setup: $(basename "$jar") is not pinned in $pinned/SHA256SUMS" >&2
        exit 1
    }
done
echo "$wanted" >"$stamp"
