#!/usr/bin/env bash
# The main job on real files: a zipped map to CAD, meshes to mesh and CAD formats.
# Arguments: the cadmill binary, the directory of real fixtures, the directory for results.
set -eu

cadmill=$1 real=$2 out=$3
mkdir -p "$out"

convert() {
    local input=$1 format=$2 output=$3
    shift 3
    echo "+ cadmill convert $input --to $format -o $output $*"
    "$cadmill" convert "$input" --to "$format" -o "$output" "$@"
    echo
}

"$cadmill" --version
echo
# The map of the world (Natural Earth), a zipped shapefile, to DXF with GDAL.
convert "$real/gis/naturalearth_lowres.zip" dxf "$out/countries.dxf"
# The same to a shapefile in another projection: several files, so a zip archive.
convert "$real/gis/naturalearth_lowres.zip" shp "$out/countries-mercator.shp" \
    --opt t_srs=EPSG:3857 --opt "where=continent <> 'Antarctica'" --opt select=name,continent,iso_a3
# A zipped mesh with materials to binary glTF, STL and STEP with Assimp.
convert "$real/mesh/logo3d_obj.zip" glb "$out/logo.glb"
convert "$real/mesh/logo3d_obj.zip" stlb "$out/logo.stl"
convert "$real/mesh/openscad_projection_stl.zip" stp "$out/projection.stp"
# What a crash of a native library looks like from outside: an answer, not an accident.
echo "+ cadmill convert $real/hostile/moon_aborts_assimp.3mf --to glb -o $out/moon.glb"
code=0
"$cadmill" convert "$real/hostile/moon_aborts_assimp.3mf" --to glb -o "$out/moon.glb" || code=$?
echo "(exit code $code; nothing was written, and cadmill goes on)"
test "$code" -eq 14
echo
echo "The results lie in $out:"
ls -l "$out"
