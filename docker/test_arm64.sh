#!/usr/bin/env bash
# Starts the images of the API and the cleanup for ARM under qemu-user, and has them answer a request. Arguments: the
# command of podman, with its flags. The stores are the emulators, whose image is
# of this machine.
set -eu

podman=("$@")
qemu=$(command -v qemu-aarch64-static) || { echo "arm64: qemu-aarch64-static is missing; install qemu-user-static" >&2; exit 1; }
started=()
finish() {
    ((${#started[@]} == 0)) || "${podman[@]}" rm --force --time 0 "${started[@]}" >/dev/null 2>&1
}
trap finish EXIT

confined=(--detach --read-only --cap-drop ALL --security-opt no-new-privileges)
# All in one network of loopback alone.
emulators=$("${podman[@]}" run "${confined[@]}" --network none --tmpfs /tmp:rw,mode=1777,size=256m localhost/cadmill-emulators)
started=("$emulators")
url=http://127.0.0.1:5000
settings=(--env CADMILL_BACKEND=aws --env CADMILL_AWS_REGION=us-east-1 --env CADMILL_AWS_ENDPOINT=$url
    --env CADMILL_S3_PATH_STYLE=true --env CADMILL_S3_BUCKET=bucket --env CADMILL_DYNAMODB_TABLE=table
    --env CADMILL_SQS_QUEUE_URL=$url/123456789012/queue --env CADMILL_SQS_DEAD_LETTER_URL=$url/123456789012/deadletterqueue
    --env CADMILL_AUDIT_SINKS=stdout --env AWS_ACCESS_KEY_ID=test --env AWS_SECRET_ACCESS_KEY=secret
    --env CADMILL_API_AUTH=tokens --env "CADMILL_API_TOKENS=me:$(openssl rand -hex 32)")

# Fails when the container ends before the command succeeds.
answers() {
    local container=$1
    shift
    for _ in $(seq 60); do
        ! "$@" >/dev/null 2>&1 || return 0
        [[ $("${podman[@]}" inspect --format '{{.State.Running}}' "$container") == true ]] || break
        sleep 1
    done
    "${podman[@]}" logs "$container" >&2
    return 1
}
answers "$emulators" "${podman[@]}" healthcheck run "$emulators"

# The API is ready when there is a cleanup.
for kind in cleanup api; do
    image=localhost/cadmill-$kind:arm64 program=/usr/local/bin/cadmill-$kind
    [[ $("${podman[@]}" image inspect --format '{{.Architecture}}' "$image") == arm64 ]] || { echo "arm64: $image is not for ARM" >&2; exit 1; }
    container=$("${podman[@]}" run "${confined[@]}" --network "container:$emulators" --volume "$qemu:/qemu:ro" \
        "${settings[@]}" --entrypoint /qemu "$image" "$program")
    started+=("$container")
    "${podman[@]}" exec "$container" /qemu "$program" --version | grep -q aarch64 || { echo "arm64: $program is not for ARM" >&2; exit 1; }
    # The second asks its stores.
    answers "$container" "${podman[@]}" exec "$container" /qemu "$program" healthcheck
    answers "$container" "${podman[@]}" exec "$container" /qemu "$program" healthcheck --ready
    echo "image $kind: starts on ARM, and answers with its stores"
done
for container in "${started[@]:1}"; do
    "${podman[@]}" stop --time 60 "$container" >/dev/null
    code=$("${podman[@]}" inspect --format '{{.State.ExitCode}}' "$container")
    [[ $code == 0 ]] || { "${podman[@]}" logs "$container" >&2; echo "arm64: a program ended with $code" >&2; exit 1; }
done
echo "images for ARM: stopped by SIGTERM"
