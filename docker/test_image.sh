#!/usr/bin/env bash
# Converts with the images, and inspects them. Arguments: a directory with real files, then
# the command that runs an image, with all its flags. The user is that of the image.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
real=$1
run=("${@:2}" --volume "$real:/in:ro" --volume "$here:/checks:ro")
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
checks=0

passed() {
    checks=$((checks + 1))
    echo "image $1: $2"
}

fail() {
    echo "image $1: FAILED: $2" >&2
    exit 1
}

# Fails unless the JSON of a conversion satisfies the filter.
says() { jq -e "$3" "$results/$1/$2.json" >/dev/null || fail "$1" "$2 says $(jq -c .error "$results/$1/$2.json")"; }

for kind in plain jvm; do
    tag=latest
    [[ $kind == plain ]] || tag=jvm
    mkdir -m 777 "$results/$kind"
    "${run[@]}" --volume "$results/$kind:/results" --entrypoint /bin/sh "localhost/cadmill:$tag" /checks/inside_image.sh $kind

    [[ $(<"$results/$kind/user") == 65534 ]] || fail $kind "runs as $(<"$results/$kind/user")"
    [[ ! -s $results/$kind/owned || -z $(grep -v '^/tmp$\|^/dev\|^/proc' "$results/$kind/owned") ]] ||
        fail $kind "its user owns $(head -3 "$results/$kind/owned")"
    grep -q 'Read-only file system' "$results/$kind/read-only" || fail $kind "the root can be written to"
    passed $kind "runs as nobody, who owns no file, on a root that cannot be written to"
    says $kind doctor '.sufficient and .engine.capabilities == 0 and (.engine.own_uid | not)'
    passed $kind "is confined to $(jq -r .level "$results/$kind/doctor.json")"
    grep -q "$(jq -r '.cadmill | split(" ")[0]' "$results/$kind/gdal.json")" "$results/$kind/worker" || fail $kind "has no worker"
    says $kind gdal '.outcome == "converted" and .output.bytes > 1000'
    passed $kind "has the worker, and converts with GDAL"
done

for name in rabbit.obj wuson_ply.zip; do
    says plain $name-assimp-jvm '.error.code == "engine.library_missing" and .error.exit_code == 11'
    says jvm $name-assimp-jvm '.outcome == "converted" and .engine.name == "assimp-jvm"'
    says jvm $name-assimp-ffi '.outcome == "converted" and .engine.name == "assimp-ffi"'
    [[ -s $results/jvm/$name-assimp-jvm.sha256 ]] || fail jvm "no output"
    cmp -s "$results/jvm/$name-assimp-"{jvm,ffi}.sha256 || fail jvm "$name: other bytes through the jar than through the library"
    passed jvm "converts $name, to the same bytes through the jar and through the library"
done
passed plain "refuses engines in Java"
[[ ! -s $results/jvm/pins ]] || fail jvm "a jar is not the pinned one: $(<"$results/jvm/pins")"
passed jvm "has the jars and libraries that are pinned"
grep -q '^used$' "$results/jvm/archive" || fail jvm "the archive of classes is not used: $(<"$results/jvm/archive")"
passed jvm "has an archive of classes that fits"
echo "images: $checks checks passed"
