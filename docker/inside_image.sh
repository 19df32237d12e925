# Runs inside a container with /bin/sh: converts, and writes results and digests to /results
# for test_image.sh to check. The image has neither jq nor bash. The argument is the image's name.
set -u
cd /tmp || exit 1
java=/usr/local/lib/cadmill/java

id -u >/results/user
# Directories that it may not read it may not change either.
find / -xdev -user "$(id -u)" -not -path '/results*' >/results/owned 2>/dev/null
touch /usr/local/bin/written 2>/results/read-only
cadmill doctor --json >/results/doctor.json
cadmill-converter --version >/results/worker
cadmill convert /in/gis/naturalearth_lowres.zip --to dxf -o out.dxf --json >/results/gdal.json 2>/dev/null
cadmill convert /in/mesh/rabbit.obj --to glb2 -o out.glb --json >/results/assimp.json 2>/dev/null
rm -f out.glb
cadmill convert /model.step --to glb --engine occt -o out.glb --json >/results/occt.json 2>/dev/null
rm -f out.glb

for name in rabbit.obj wuson_ply.zip; do
    for engine in assimp-jvm assimp-ffi; do
        file= result=/results/$name-$engine
        [ $engine = assimp-jvm ] || file=--engines-file=$java/engines.toml
        cadmill convert /in/mesh/$name --to glb2 --engine $engine $file -o out.glb --json >"$result.json" 2>/dev/null
        sha256sum out.glb >"$result.sha256" 2>/dev/null
        rm -f out.glb
    done
done

[ "$1" = worker-jvm ] || exit 0
(cd $java && sha256sum --quiet --check --strict SHA256SUMS) >/results/pins 2>&1
# With `on` a JVM that cannot use the archive does not start. The class path must be that of
# converter/src/engine/jvm.rs.
classes=$java/cadmill-bridge.jar
for jar in $java/assimp/*.jar; do classes=$classes:$jar; done
java -Xshare:on -XX:SharedArchiveFile=$java/assimp/assimp.jsa -XX:+UseSerialGC \
    -Djava.library.path=$java/assimp/natives -Dorg.lwjgl.librarypath=$java/assimp/natives \
    -cp "$classes" io.cadmill.bridge.Main describe >/results/archive 2>&1 && echo used >>/results/archive
