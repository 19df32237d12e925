#!/usr/bin/env bash
# Runs the images, and inspects them. Arguments: a directory with real files, a model in STEP, the tag of the images,
# then the command of podman, with its flags. The user is that of the image.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
real=$1 model=$2 tag=$3
podman=("${@:4}")
run=("${podman[@]}" run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges
    --tmpfs /tmp:rw,mode=1777 --tmpfs /work:rw,mode=1777,size=2g,nosuid,nodev,noexec)
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

# What an orchestrator and a reader of images see.
described() {
    local image=$1 name=$2
    "${podman[@]}" image inspect "$name" >"$results/inspect.json"
    jq -e '.[0] | .Config.User == "65534:65534" and .Config.StopSignal == "SIGTERM" and ((.Healthcheck // .HealthCheck // .Config.Healthcheck).Test | length >= 3)' \
        "$results/inspect.json" >/dev/null || fail "$image" "user, stop signal or health check: $(jq -c '.[0].Config' "$results/inspect.json")"
    jq -e '.[0].Config.Labels | to_entries | map(select(.key | startswith("org.opencontainers.image."))) | length >= 6 and all(.value != "unknown" and .value != "")' \
        "$results/inspect.json" >/dev/null || fail "$image" "labels: $(jq -c '.[0].Config.Labels' "$results/inspect.json")"
    passed "$image" "has a user, a stop signal, a health check and labels"
    local container
    container=$("${podman[@]}" create "$name" 2>/dev/null)
    "${podman[@]}" export "$container" >"$results/root.tar"
    "${podman[@]}" rm "$container" >/dev/null 2>&1
    tar -tf "$results/root.tar" | sed 's|^\./||' >"$results/files"
    tar -xOf "$results/root.tar" usr/local/share/cadmill/sbom.cdx.json >"$results/sbom.json" || fail "$image" "no bill of materials"
    jq -e '.bomFormat == "CycloneDX" and ([.components[].purl // empty] | any(startswith("pkg:cargo/tokio@")) and any(startswith("pkg:deb/debian/libc6@")))
        and ([.components[] | select(.purl // "" | startswith("pkg:cargo/")) | select(.name | startswith("cadmill") | not)] | all(.hashes[0].content | length == 64))' \
        "$results/sbom.json" >/dev/null || fail "$image" "the bill of materials is not complete"
    passed "$image" "has a bill of materials of $(jq '.components | length' "$results/sbom.json") components"
}

for kind in api cleanup; do
    name=localhost/cadmill-$kind:$tag
    described $kind "$name"
    # Also none that is a link or has another name: the only file that can be run is the program.
    tar -tvf "$results/root.tar" | awk '$1 ~ /^-..x/ { print $6 }' | sed 's|^\./||' | grep -v '/ld-linux\|\.so\.' >"$results/run" || true
    [[ $(<"$results/run") == usr/local/bin/cadmill-$kind ]] || fail $kind "has programs: $(head -5 "$results/run")"
    ! "${run[@]}" --entrypoint /bin/sh "$name" -c true >/dev/null 2>&1 || fail $kind "has a shell"
    passed $kind "has one program, and no shell"
    "${run[@]}" "$name" --version 2>/dev/null | grep -q "^cadmill-$kind " || fail $kind "does not start"
    code=0
    "${run[@]}" "$name" healthcheck >/dev/null 2>&1 || code=$?
    [[ $code == 1 ]] || fail $kind "the health check of a server that is not there ends with $code"
    passed $kind "starts, and is not healthy without a server"
done

for kind in worker worker-cad worker-jvm; do
    mkdir -m 777 "$results/$kind"
    name=localhost/cadmill-$kind:$tag
    described $kind "$name"
    # A package that dpkg has is in the bill of materials.
    for package in libgdal32 libassimp5; do
        jq -e --arg name $package '[.components[].name] | index($name)' "$results/sbom.json" >/dev/null || fail $kind "the bill of materials lacks $package"
    done
    "${run[@]}" --volume "$real:/in:ro" --volume "$model:/model.step:ro" --volume "$here:/checks:ro" \
        --volume "$results/$kind:/results" --entrypoint /bin/sh \
        "$name" /checks/inside_image.sh $kind 2>/dev/null

    [[ $(<"$results/$kind/user") == 65534 ]] || fail $kind "runs as $(<"$results/$kind/user")"
    [[ ! -s $results/$kind/owned || -z $(grep -v '^/tmp$\|^/work$\|^/dev\|^/proc' "$results/$kind/owned") ]] ||
        fail $kind "its user owns $(head -3 "$results/$kind/owned")"
    grep -q 'Read-only file system' "$results/$kind/read-only" || fail $kind "the root can be written to"
    passed $kind "runs as nobody, who owns no file, on a root that cannot be written to"
    says $kind doctor '.sufficient and .engine.capabilities == 0 and (.engine.own_uid | not)'
    passed $kind "is confined to $(jq -r .level "$results/$kind/doctor.json")"
    grep -q "$(jq -r '.cadmill | split(" ")[0]' "$results/$kind/gdal.json")" "$results/$kind/worker" || fail $kind "has no worker"
    says $kind gdal '.outcome == "converted" and .output.bytes > 1000'
    says $kind assimp '.outcome == "converted" and .output.bytes > 1000'
    passed $kind "has the worker, and converts with GDAL and Assimp"
    if [[ $kind == worker-cad ]]; then
        says $kind occt '.outcome == "converted" and .engine.name == "occt"'
        passed $kind "converts with OpenCASCADE"
    else
        says $kind occt '.error.code == "engine.library_missing"'
        passed $kind "refuses OpenCASCADE, which it has not"
    fi
done

for name in rabbit.obj wuson_ply.zip; do
    says worker $name-assimp-jvm '.error.code == "engine.library_missing" and .error.exit_code == 11'
    says worker-jvm $name-assimp-jvm '.outcome == "converted" and .engine.name == "assimp-jvm"'
    says worker-jvm $name-assimp-ffi '.outcome == "converted" and .engine.name == "assimp-ffi"'
    [[ -s $results/worker-jvm/$name-assimp-jvm.sha256 ]] || fail worker-jvm "no output"
    cmp -s "$results/worker-jvm/$name-assimp-"{jvm,ffi}.sha256 || fail worker-jvm "$name: other bytes through the jar than through the library"
    passed worker-jvm "converts $name, to the same bytes through the jar and through the library"
done
passed worker "refuses engines in Java"
[[ ! -s $results/worker-jvm/pins ]] || fail worker-jvm "a jar is not the pinned one: $(<"$results/worker-jvm/pins")"
passed worker-jvm "has the jars and libraries that are pinned"
grep -q '^used$' "$results/worker-jvm/archive" || fail worker-jvm "the archive of classes is not used: $(<"$results/worker-jvm/archive")"
passed worker-jvm "has an archive of classes that fits"

# Everything in one container, with the health check of the image.
described all "localhost/cadmill:$tag"
token=$(openssl rand -hex 32)
container=$("${run[@]}" --detach --tmpfs /data:rw,mode=1777,size=1g --env CADMILL_S3_PUBLIC_ENDPOINT=http://127.0.0.1:8081 \
    --env CADMILL_API_AUTH=tokens --env "CADMILL_API_TOKENS=me:$(printf %s "$token" | sha256sum | cut -d' ' -f1)" \
    --env "CADMILL_TOKEN=$token" --volume "$real:/in:ro" "localhost/cadmill:$tag" 2>/dev/null)
healthy=
for _ in $(seq 60); do
    if "${podman[@]}" healthcheck run "$container" >/dev/null 2>&1; then healthy=1; break; fi
    sleep 1
done
[[ $healthy ]] || { "${podman[@]}" logs "$container" >&2; fail all "does not become healthy"; }
"${podman[@]}" exec "$container" cadmill submit /in/gis/naturalearth_lowres.zip --to dxf -o /tmp/out.dxf >"$results/submitted" 2>&1 ||
    { cat "$results/submitted" >&2; fail all "converts nothing"; }
"${podman[@]}" stop --time 60 "$container" >/dev/null 2>&1
passed all "serves, is healthy, and converts what is submitted"
echo "images: $checks checks passed"
