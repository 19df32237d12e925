# Sourced: `podman` and `podman-compose` with settings and a storage for tests, apart from those of this machine's user:
# runc, which knows each version of control groups, and limits that a machine allows on which this user may not raise its own.

containers=${CADMILL_CONTAINERS:-/var/tmp/cadmill-containers}
mkdir -p "$containers"
driver=overlay
# On a file system that overlay cannot lie on each container is a copy.
if [[ $(stat -f -c %T "$containers") == overlayfs ]]; then
    driver=vfs
    echo "containers: $containers is on an overlay; the driver vfs takes much more room" >&2
fi
descriptors=$(ulimit -Hn) processes=$(ulimit -Hu)
[[ $descriptors != unlimited && $descriptors -lt 20000 ]] || descriptors=20000
[[ $processes != unlimited && $processes -lt 20000 ]] || processes=20000
cat >"$containers/containers.conf" <<END
[containers]
default_ulimits = ["nofile=$descriptors:$descriptors", "nproc=$processes:$processes"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
END
cat >"$containers/storage.conf" <<END
[storage]
driver = "$driver"
graphroot = "$containers/$driver"
runroot = "$containers/$driver-run"
END
export CONTAINERS_CONF=$containers/containers.conf CONTAINERS_STORAGE_CONF=$containers/storage.conf
# In the build nothing is started as root in namespaces of its own, which not every machine allows.
export BUILDAH_ISOLATION=chroot IMAGE_TOOL=podman

# Fails with what this machine cannot do, so that no test passes without it.
require_containers() {
    local image=$1 status
    status=$(podman run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges --memory 64m \
        --user 65534:65534 --entrypoint /bin/sh "$image" -c \
        'cat /proc/self/status; cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true') || {
        echo "containers: podman cannot run a container with dropped capabilities and a memory limit here" >&2
        return 1
    }
    grep -q '^Seccomp:[[:space:]]*2' <<<"$status" || { echo "containers: no seccomp filter is on containers here" >&2; return 1; }
    grep -q '^CapEff:[[:space:]]*0000000000000000' <<<"$status" || { echo "containers: capabilities are not dropped here" >&2; return 1; }
    grep -q '^67108864$' <<<"$status" || { echo "containers: containers have no memory limit here" >&2; return 1; }
}
