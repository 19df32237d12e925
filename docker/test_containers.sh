#!/usr/bin/env bash
# Builds the images of the programs of a debug build, and shows that they work: each by itself (test_image.sh), all
# together with docker/compose.yaml and faults (test_compose.py), and the attacks and misbehaviours of the end-to-end tests
# inside the one with Java: not root, no capability, the container engine's default seccomp profile, a read-only root, no
# network. The tests are built on the host, which has the same Debian, and mounted read-only at the same path.
#
#   PARTS="images compose attacks" test_containers.sh [FILTER OF TESTS...]
#
# Two more parts are not among these: arm64 compiles the API and the cleanup for ARM, and starts their images under
# qemu-user; sizes runs the largest job of docs/DEPLOY-AWS.md in two sizes of its table (test_sizes.py), and takes 12 GiB of
# memory and of disk.
#
# mmdebstrap makes the base image here, so that only Debian packages are fetched. Needs root, podman, podman-compose, runc,
# buildah, netavark, aardvark-dns and mmdebstrap. What this machine cannot do fails.
# PROGRAMS has the programs of the images, if they are not to be made of target/debug.
set -euo pipefail

cd "$(dirname "$0")/.."
parts=" ${PARTS:-images compose attacks} "
filters=${*:-attacks jvm::confined jvm::installation jvm::tiers}
. docker/containers.sh
models=target/models-node/node_modules/occt-import-js/test/testfiles

if [[ -z ${PROGRAMS:-} ]]; then
    PROGRAMS=target/images-debug
    rm -rf "$PROGRAMS"
    docker/programs.sh amd64 "$PROGRAMS" target/debug
fi
export PROGRAMS
echo "test-containers: building the images (some minutes)" >&2
# One is enough for the sizes.
images=() image=localhost/cadmill-worker
[[ $parts != " sizes " ]] || images=(all) image=localhost/cadmill
docker/images.sh "${images[@]}"
require_containers "$image"

if [[ $parts == *" images "* ]]; then
    docker/test_image.sh "$PWD/tests/fixtures/real" "$(realpath "$models/cube-units/cube-mm.step")" latest podman 2> >(grep -v 'get systemd connection' >&2)
fi
if [[ $parts == *" compose "* ]]; then
    target/tools/bin/python3 docker/test_compose.py
fi
if [[ $parts == *" sizes "* ]]; then
    target/tools/bin/python3 docker/test_sizes.py
fi
if [[ $parts == *" arm64 "* ]]; then
    rm -rf target/images/arm64
    docker/programs.sh arm64 target/images/arm64
    ARCH=arm64 PROGRAMS=target/images/arm64 docker/images.sh
    docker/test_arm64.sh podman
fi
[[ $parts == *" attacks "* ]] || exit 0

binary=$(cargo test --workspace --test end_to_end --no-run --locked --message-format json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*end_to_end-[^"]*\)".*/\1/p' | tail -1 || true)
[[ -x $binary ]] || { echo "test-containers: the tests are not built" >&2; exit 1; }
# The libraries and classes of the attacks are compiled on the host by a run of the
# tests; there is no compiler in the container.
"$binary" attacks::rig jvm::doubles --quiet

told=$(mktemp)
trap 'rm -f "$told"' EXIT
attacked=(podman run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges
    --tmpfs /tmp:rw,mode=1777 --tmpfs /dev/shm:rw,mode=1777,size=4g --user 65534:65534 --entrypoint "$binary"
    --volume "$PWD:$PWD:ro" --workdir "$PWD/cli" --env RUST_BACKTRACE=0
    # These are of the image; the tests have their own.
    --env CADMILL_WORKSPACE= --env CADMILL_METRICS_LISTEN=)
# Where parts of target are elsewhere.
for link in target target/*; do
    [[ ! -L $link ]] || attacked+=(--volume "$(realpath "$link"):$(realpath "$link"):ro")
done
# shellcheck disable=SC2086
"${attacked[@]}" localhost/cadmill-worker-jvm $filters --include-ignored --skip attacks::outside --skip attacks::peak \
    --show-output | tee "$told"
# Measures the storage and memory of the attacks from outside, by a tmpfs mounted for the test
# and by the container's control group; therefore sequentially.
if [[ $# -eq 0 ]]; then
    "${attacked[@]}" --tmpfs /memory/1200:rw,mode=1777,size=1200m --tmpfs /memory/104:rw,mode=1777,size=104m \
        --env CADMILL_TEST_MEMORY=/memory localhost/cadmill-worker-jvm attacks::outside attacks::peak \
        --include-ignored --show-output --test-threads 1 | tee -a "$told"
fi

# A test that cannot run here prints `skipped` and passes; these are listed. The tests that run
# the table of attacks must not be skipped: each prints the number of its attacks.
grep -E '^skipped: ' "$told" | sort | uniq -c || true
if [[ $# -eq 0 ]]; then
    made=$(grep -cE '^[a-z]+ (Confined|LandlockAbi2|Unconfined|WithoutLandlock) (Native|Java|Plugin): [1-9][0-9]* attacks, 0 wrong$' "$told")
    wanted=$("$binary" --list attacks:: | grep -cE '(each_attack|only_those)_[a-z0-9_]*: test$')
    echo "test-containers: the table of attacks in $made of $wanted modes"
    [[ $made -eq $wanted && $wanted -ge 112 ]]
fi
