#!/usr/bin/env bash
# Builds the archive of classes of `assimp-jvm` (AppCDS) by a conversion that loads them. The archive is
# good for one JDK and for jars of the same paths, sizes and times: where any of them changes, it is built
# again, or it is ignored.
#
# Arguments: the directory that build.sh made, a small mesh.
set -eu

out=$1 mesh=$2
java=java
for home in "${CADMILL_JAVA_HOME:-}" "${JAVA_HOME:-}"; do
    [[ -z $home ]] || { java=$home/bin/java; break; }
done

# The class path of converter/src/engine/jvm.rs: the bridge, then the jars by name.
classes=$out/cadmill-bridge.jar
for jar in "$out"/assimp/*.jar; do
    classes+=:$jar
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$java" -XX:ArchiveClassesAtExit="$scratch/assimp.jsa" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Djava.library.path="$out/assimp/natives" -Dorg.lwjgl.librarypath="$out/assimp/natives" \
    -cp "$classes" io.cadmill.bridge.Main convert "$mesh" "$scratch/out.glb" glb2 >"$scratch/log" 2>&1 || {
    cat "$scratch/log" >&2
    echo "java: the archive of classes could not be built; assimp-jvm starts without it" >&2
    exit 0
}
cp "$scratch/assimp.jsa" "$out/assimp/assimp.jsa.fresh"
mv "$out/assimp/assimp.jsa.fresh" "$out/assimp/assimp.jsa"
