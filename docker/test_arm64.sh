#!/usr/bin/env bash
# Starts the images of the API and the cleanup for ARM under qemu-user, and has them answer a request. Arguments: the
# command of podman, with its flags. There are no stores: a program is alive without them.
set -eu

podman=("$@")
qemu=$(command -v qemu-aarch64-static) || { echo "arm64: qemu-aarch64-static is missing; install qemu-user-static" >&2; exit 1; }
settings=(--env CADMILL_BACKEND=aws --env CADMILL_AWS_REGION=us-east-1 --env CADMILL_AWS_ENDPOINT=http://127.0.0.1:9
    --env CADMILL_S3_BUCKET=bucket --env CADMILL_DYNAMODB_TABLE=table --env CADMILL_SQS_QUEUE_URL=http://127.0.0.1:9/1/queue
    --env CADMILL_SQS_DEAD_LETTER_URL=http://127.0.0.1:9/1/dead --env CADMILL_AUDIT_SINKS=stdout --env AWS_ACCESS_KEY_ID=test
    --env AWS_SECRET_ACCESS_KEY=secret --env CADMILL_API_AUTH=tokens --env "CADMILL_API_TOKENS=me:$(openssl rand -hex 32)")

for kind in api cleanup; do
    image=localhost/cadmill-$kind:arm64 program=/usr/local/bin/cadmill-$kind
    [[ $("${podman[@]}" image inspect --format '{{.Architecture}}' "$image") == arm64 ]] || { echo "arm64: $image is not for ARM" >&2; exit 1; }
    container=$("${podman[@]}" run --detach --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
        --volume "$qemu:/qemu:ro" "${settings[@]}" --entrypoint /qemu "$image" "$program")
    trap '"${podman[@]}" rm --force --time 0 "$container" >/dev/null 2>&1' EXIT
    "${podman[@]}" exec "$container" /qemu "$program" --version | grep -q aarch64 || { echo "arm64: $program is not for ARM" >&2; exit 1; }
    healthy=
    for _ in $(seq 120); do
        if "${podman[@]}" exec "$container" /qemu "$program" healthcheck >/dev/null 2>&1; then healthy=1; break; fi
        sleep 1
    done
    [[ $healthy ]] || { "${podman[@]}" logs "$container" >&2; echo "arm64: $program does not answer" >&2; exit 1; }
    "${podman[@]}" stop --time 60 "$container" >/dev/null
    code=$("${podman[@]}" inspect --format '{{.State.ExitCode}}' "$container")
    [[ $code == 0 ]] || { "${podman[@]}" logs "$container" >&2; echo "arm64: $program ended with $code" >&2; exit 1; }
    "${podman[@]}" rm "$container" >/dev/null
    trap - EXIT
    echo "image $kind: starts on ARM, answers, and stops"
done
