#!/usr/bin/env bash
# The main job on real files, with the components used in production: a server, uploads
# directly to the store, an event, a worker, a download; all on this machine. Arguments: the
# cadmill binary, the directory of real fixtures, the directory for results. With SERVE=1 it serves at
# the end until it is interrupted.
set -eu

cadmill=$1 real=$2 out=$3
mkdir -p "$out"
# Client uploads stay here until they are purged: in memory, and deleted with the demo.
data=$(mktemp -d /dev/shm/cadmill-demo.XXXXXX)
log=$data/serve.log
server=

stop() {
    if [[ -n $server ]]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" || { echo "the server did not end well:" >&2; cat "$log" >&2; exit 1; }
        server=
    fi
}
trap 'stop; rm -rf "$data"' EXIT

"$cadmill" --version
echo
start() {
    echo "+ cadmill serve --listen 127.0.0.1:0 --data $data/store"
    : >"$log"
    "$cadmill" serve --listen 127.0.0.1:0 --data "$data/store" 2>>"$log" &
    server=$!
    for _ in $(seq 200); do
        url=$(sed -n 's/^listening on //p' "$log")
        [[ -n $url ]] && break
        kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 1; }
        sleep 0.1
    done
    echo "listening on ${url:?the server did not start}"
}

start
export CADMILL_SERVER=$url
echo

submit() {
    local input=$1 format=$2 output=$3
    shift 3
    echo "+ cadmill submit $input --to $format -o $output${*:+ $*}"
    "$cadmill" submit "$input" --to "$format" -o "$output" "$@"
    echo
}

# The map of the world (Natural Earth), a zipped shapefile, to DXF with GDAL.
submit "$real/gis/naturalearth_lowres.zip" dxf "$out/countries.dxf"
# The same to a shapefile in another projection: several files, so the result is a zip archive.
submit "$real/gis/naturalearth_lowres.zip" shp "$out/countries-mercator.shp.zip" \
    --opt t_srs=EPSG:3857 --opt "where=continent <> 'Antarctica'" --opt select=name,continent,iso_a3
# A zipped mesh with materials to binary glTF, STL and STEP with Assimp.
submit "$real/mesh/logo3d_obj.zip" glb "$out/logo.glb"
submit "$real/mesh/logo3d_obj.zip" stlb "$out/logo.stl"
submit "$real/mesh/openscad_projection_stl.zip" stp "$out/projection.stp"
# A crash of a native library, as the client sees it: a reported failure, and the server keeps
# running.
echo "+ cadmill submit $real/hostile/moon_aborts_assimp.3mf --to glb -o $out/moon.glb"
code=0
"$cadmill" submit "$real/hostile/moon_aborts_assimp.3mf" --to glb -o "$out/moon.glb" || code=$?
echo "(exit code $code; nothing was written, and the server goes on)"
test "$code" -eq 14
echo

stop
echo "the server has ended; what it says of the first job:"
first=$(grep -o 'job.id=[0-9a-f-]*' "$log" | head -1)
grep "$first" "$log"
echo
echo "The same without a server, for one file:"
echo "+ cadmill convert $real/gis/naturalearth_lowres.zip --to dxf -o $out/countries-direct.dxf"
"$cadmill" convert "$real/gis/naturalearth_lowres.zip" --to dxf -o "$out/countries-direct.dxf" 2>/dev/null
cmp "$out/countries.dxf" "$out/countries-direct.dxf" 2>/dev/null && echo "(the same bytes)"
echo
echo "The results lie in $out:"
ls -l "$out"
echo
if [[ ${SERVE:-} == 1 ]]; then
    start
    echo "The page is at $url/app/ until you press Ctrl-C."
    trap 'exit 0' INT TERM
    trap 'trap "" INT TERM; stop; rm -rf "$data"' EXIT
    wait "$server"
else
    echo "The page for people is at /app/ of a server: \`make demo SERVE=1\` serves it until you press Ctrl-C."
fi
