#!/usr/bin/env bash
# Builds both images, converts with them, and runs the attacks and the misbehaviours of the
# end-to-end tests inside the one with Java: not root, no capability, the container engine's
# default seccomp profile, a read-only root, no network. The tests are built on the host,
# which has the same Debian, and mounted read-only at the same path.
#
# mmdebstrap makes the base image here, so that only Debian packages are fetched. Needs root, podman, runc, buildah and mmdebstrap.
set -euo pipefail

cd "$(dirname "$0")/.."
base=localhost/cadmill-base
filters=${*:-attacks jvm::confined jvm::installation jvm::tiers}
# One storage for all calls, separate from that of the machine's user.
storage=(--root /var/tmp/cadmill-containers/root --runroot /var/tmp/cadmill-containers/run --storage-driver vfs)
podman=(podman "${storage[@]}" --runtime runc --cgroup-manager cgroupfs --events-backend none)
run=("${podman[@]}" run --rm --network none --read-only --cap-drop ALL
    --security-opt no-new-privileges --ulimit nofile=20000:20000 --ulimit nproc=20000:20000
    --tmpfs /tmp:rw,mode=1777 --tmpfs /dev/shm:rw,mode=1777,size=4g)

binary=$(cargo test --workspace --test end_to_end --no-run --locked --message-format json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*end_to_end-[^"]*\)".*/\1/p' | tail -1 || true)
[[ -x $binary ]] || { echo "test-containers: the tests are not built" >&2; exit 1; }

if ! "${podman[@]}" image exists "$base"; then
    echo "test-containers: making the base image" >&2
    mmdebstrap --variant=minbase bookworm - | "${podman[@]}" import - "$base" >/dev/null
fi
echo "test-containers: building the images (some minutes)" >&2
# Cached layers provide the packages that were installed before.
export IMAGE_TOOL="buildah ${storage[*]}" BUILDAH_ISOLATION=chroot BUILDAH_LAYERS=true
docker/image.sh target/debug "$base" >/dev/null
docker/image.sh target/debug "$base" target/java >/dev/null

docker/test_image.sh "$PWD/tests/fixtures/real" "${run[@]}"

# The libraries and classes of the attacks are compiled on the host by a run of the
# tests; there is no compiler in the container.
"$binary" attacks::rig jvm::doubles --quiet

told=$(mktemp)
trap 'rm -f "$told"' EXIT
attacked=("${run[@]}" --user 65534:65534 --entrypoint "$binary"
    --volume "$PWD:$PWD:ro" --workdir "$PWD/cli" --env RUST_BACKTRACE=0)
# shellcheck disable=SC2086
"${attacked[@]}" localhost/cadmill:jvm $filters --include-ignored --skip attacks::outside --skip attacks::peak \
    --show-output | tee "$told"
# Measures the storage and memory of the attacks from outside, by a tmpfs mounted for the test
# and by the container's control group; therefore sequentially.
if [[ $# -eq 0 ]]; then
    "${attacked[@]}" --tmpfs /memory/1200:rw,mode=1777,size=1200m --tmpfs /memory/104:rw,mode=1777,size=104m \
        --env CADMILL_TEST_MEMORY=/memory localhost/cadmill:jvm attacks::outside attacks::peak \
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
