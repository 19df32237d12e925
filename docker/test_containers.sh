#!/usr/bin/env bash
# Runs the attacks of the end-to-end tests inside a container: not root, no capability,
# the engine's default seccomp profile, a read-only root. The tests are built on the
# host, which has the same Debian, and mounted read-only at the same path.
#
# The base image is made here by mmdebstrap, so that nothing is fetched but Debian
# packages. Needs root, podman, runc and mmdebstrap.
set -eu

cd "$(dirname "$0")/.."
image=localhost/cadmill-attacks
filters=${*:-attacks}
# One storage for all calls, apart from what the machine's user has.
podman=(podman --root /var/tmp/cadmill-containers/root --runroot /var/tmp/cadmill-containers/run
    --storage-driver vfs --runtime runc --cgroup-manager cgroupfs --events-backend none)

if ! "${podman[@]}" image exists "$image"; then
    echo "test-containers: making the image (some minutes)" >&2
    mmdebstrap --variant=minbase --include=libassimp5,libgdal32 bookworm - |
        "${podman[@]}" import - "$image" >/dev/null
fi

binary=$(cargo test --workspace --test end_to_end --no-run --locked --message-format json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*end_to_end-[^"]*\)".*/\1/p' | tail -1)
[[ -x $binary ]] || { echo "test-containers: the tests are not built" >&2; exit 1; }

# The libraries of the attacks are compiled on the host by a run of the tests; there is
# no compiler in the container.
"$binary" attacks::rig --quiet

# shellcheck disable=SC2086
exec "${podman[@]}" run --rm --network none --read-only --user 65534:65534 --cap-drop ALL \
    --security-opt no-new-privileges --ulimit nofile=20000:20000 --ulimit nproc=20000:20000 \
    --tmpfs /tmp:rw,mode=1777 --tmpfs /dev/shm:rw,mode=1777,size=4g \
    --volume "$PWD:$PWD:ro" --workdir "$PWD/cli" --env RUST_BACKTRACE=0 \
    "$image" "$binary" $filters
