#!/usr/bin/env bash
# convert.sh CADMILL DIRECTORY: one conversion with each engine, with defaults.
set -eu

cadmill=$1
out=$2
real=$(dirname "$0")/../fixtures/real

# one ENGINE INPUT FORMAT
one() {
    "$cadmill" convert "$real/$2" --engine "$1" --to "$3" -o "$out/$1.$3" >/dev/null 2>"$out/log" || {
        cat "$out/log" >&2
        exit 1
    }
    rm "$out/log"
    [[ -s $out/$1.$3 ]]
}

one assimp mesh/rabbit.obj stl
one gdal gis/naturalearth_lowres.zip geojson
one assimp-jvm mesh/rabbit.obj stl
