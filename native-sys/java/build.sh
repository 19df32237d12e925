#!/usr/bin/env bash
# Builds the Java side of the JVM bridge and lays it out for the programs:
#
#   OUT/cadmill-bridge.jar    the interface and the bridge, for every JVM engine
#   OUT/assimp/*.jar          the engine `assimp-jvm`: our jar and those of LWJGL
#   OUT/assimp/natives/*.so   the libraries out of LWJGL's jars
#   OUT/assimp/assimp.jsa     an archive of the classes, for a faster start (AppCDS)
#   OUT/engines.toml          declares `assimp-ffi`, the same libassimp.so bound directly
#
# Argument: OUT, which is `target/java` without one. Does nothing when all of it is newer than what it
# is made of. The jars of others come from Maven Central, pinned by version in pom.xml and by SHA-256 in
# SHA256SUMS; a jar that is another one is not used.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
out=${1:-${CARGO_TARGET_DIR:-$top/target}/java}
mkdir -p "$out"
out=$(cd "$out" && pwd)

case $(uname -m) in
    x86_64) natives=natives-linux arch=x64 ;;
    aarch64) natives=natives-linux-arm64 arch=arm64 ;;
    *)
        echo "java: LWJGL has no libraries that are pinned here for $(uname -m); assimp-jvm is not built" >&2
        exit 0
        ;;
esac

# Sources, the place and the JDK: an archive of classes is good for one JDK and one class path.
stamp=$(
    cd "$here"
    { find . -name target -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
      java -version 2>&1
      echo "$out $natives"
    } | sha256sum | cut -d ' ' -f 1
)
[[ ! -f $out/stamp || $(<"$out/stamp") != "$stamp" ]] || exit 0

for tool in mvn javac unzip; do
    command -v "$tool" >/dev/null || {
        echo "java: $tool is missing; run \`make setup\`, or install the packages maven, default-jdk-headless, unzip" >&2
        exit 1
    }
done

echo "java: building the bridge and assimp-jvm" >&2
rm -f "$out/stamp"
mvn --quiet --batch-mode -Dstyle.color=never --file "$here/pom.xml" -Dlwjgl.natives="$natives" -Dcadmill.build="$out/maven" package

# Checked before anything of it is used.
(cd "$out/maven/assimp/third-party" && sha256sum --quiet --check --ignore-missing --strict "$here/SHA256SUMS") || {
    echo "java: a jar is not the one that native-sys/java/SHA256SUMS pins" >&2
    exit 1
}
for jar in "$out"/maven/assimp/third-party/*.jar; do
    grep -q "  $(basename "$jar")\$" "$here/SHA256SUMS" || {
        echo "java: $(basename "$jar") is not pinned in native-sys/java/SHA256SUMS" >&2
        exit 1
    }
done

# Replaced as a whole: a process may be using the one that is there.
fresh=$out/assimp.fresh
rm -rf "$fresh"
mkdir -p "$fresh/natives"
for jar in "$out"/maven/assimp/third-party/*.jar; do
    case $jar in
        *"-$natives.jar") unzip -q -o -j "$jar" "linux/$arch/*.so" -d "$fresh/natives" ;;
        *) cp "$jar" "$fresh/" ;;
    esac
done
cp "$out/maven/assimp/cadmill-assimp.jar" "$fresh/"
chmod -R u=rwX,go=rX "$fresh"
cp "$out/maven/bridge/cadmill-bridge.jar" "$out/cadmill-bridge.jar.fresh"
mv "$out/cadmill-bridge.jar.fresh" "$out/cadmill-bridge.jar"
rm -rf "$out/assimp"
mv "$fresh" "$out/assimp"

library=$out/assimp/natives/libassimp.so
cat >"$out/engines.toml" <<TOML
# Written by native-sys/java/build.sh: the library out of LWJGL's jar, bound directly.
[[engine]]
name = "assimp-ffi"
kind = "assimp"
library = "$library"
needs = ["$out/assimp/natives/libdraco.so"]
sha256 = "$(sha256sum "$library" | cut -d ' ' -f 1)"
TOML

"$here/archive.sh" "$out" "$top/tests/fixtures/real/mesh/cube_binary.ply"
printf '%s' "$stamp" >"$out/stamp"
