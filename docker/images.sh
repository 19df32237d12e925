#!/usr/bin/env bash
# Builds images with podman, buildah or docker, and prints their sizes. Arguments: targets of docker/Dockerfile, each
# of which becomes localhost/cadmill-TARGET (`all` becomes localhost/cadmill); without any, all of them.
#
#   BASE        the base image, best with its digest; without it docker/base.sh makes one
#   PROGRAMS    what docker/programs.sh collected, target/images/amd64 without it; or `source`, which compiles the
#               programs in the build of the images
#   ARCH        amd64 or arm64; with arm64 there are only `api` and `cleanup`, with the tag arm64
#   TAG         tag of the images, latest without it
#   IMAGE_TOOL  the command that builds, with its flags
#   BUILD_FLAGS more flags of its `build`
#   CA_BUNDLE   certificates with which the builds download, where a proxy ends TLS; SSL_CERT_FILE or PIP_CERT without
#               it. It gets into no image.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
# Nothing of a build needs namespaces of its own, which not every machine allows; Docker does not read this.
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
. docker/tool.sh
architecture=${ARCH:-amd64}
programs=${PROGRAMS:-target/images/$architecture}
tag=${TAG:-latest}
[[ $architecture == amd64 || -n ${TAG:-} ]] || tag=$architecture
targets=("$@")
((${#targets[@]})) || case $architecture in
    amd64) targets=(api cleanup worker worker-cad worker-jvm all emulators) ;;
    *) targets=(api cleanup) ;;
esac
read -ra flags <<<"${BUILD_FLAGS:-}"

base=${BASE:-}
[[ -n $base ]] || { docker/base.sh; base=localhost/cadmill-base; }
case $base in
    localhost/* | *@sha256:*) ;;
    *) echo "images: warning: $base has no digest, so that it may be another image tomorrow" >&2 ;;
esac

# The context has only what is needed, so that nothing else can get into an image.
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
if [[ $programs == source ]]; then
    git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents --no-dereference --target-directory "$context" --
    flags+=(--build-arg PROGRAMS=source)
else
    [[ -d $programs/bin ]] || { echo "images: $programs has no programs; run \`make images\`, or docker/programs.sh first" >&2; exit 1; }
    mkdir -p "$context/prebuilt" "$context/tests/aws"
    cp -R --preserve=mode,timestamps "$programs" "$context/prebuilt/$architecture"
    cp -R docker "$context/"
    cp tests/requirements.txt "$context/tests/"
    cp tests/aws/{emulator,template}.py "$context/tests/aws/"
    mkdir -p "$context/crates/stores/src/conformance"
    cp crates/stores/src/conformance/moto_server.py "$context/crates/stores/src/conformance/"
    flags+=(--build-arg PROGRAMS=prebuilt)
fi
bundle=${CA_BUNDLE:-${SSL_CERT_FILE:-${PIP_CERT:-}}}
[[ -z $bundle ]] || cp "$bundle" "$context/docker/ca-bundle.crt"

revision=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
# That of the commit, so that the same commit makes the same labels.
created=$(git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo unknown)

for target in "${targets[@]}"; do
    name=localhost/cadmill-$target
    [[ $target != all ]] || name=localhost/cadmill
    log=$context.log
    # Buildah gives the architecture to the image with the first flag, and Docker with the second.
    platform=()
    [[ $architecture == amd64 ]] || platform=(--platform "linux/$architecture" --build-arg "BUILDPLATFORM=linux/$(dpkg --print-architecture)")
    echo "images: building $name:$tag" >&2
    "${build[@]}" "${flags[@]}" "${platform[@]}" --build-arg "BASE=$base" --build-arg "TARGETARCH=$architecture" \
        --build-arg "REVISION=$revision" --build-arg "CADMILL_REVISION=$revision" --build-arg "VERSION=$version" \
        --build-arg "CREATED=$created" --target "$target" --tag "$name:$tag" --file "$context/docker/Dockerfile" \
        "$context" >"$log" 2>&1 || { tail -60 "$log" >&2; rm -f "$log"; echo "images: $name was not built" >&2; exit 1; }
    rm -f "$log"
done

without=$(size_of "$base")
printf '%-28s %10s %18s\n' image size 'without the base'
for target in "${targets[@]}"; do
    name=localhost/cadmill-$target of_base=$without
    [[ $target != all ]] || name=localhost/cadmill
    case $target in api | cleanup) of_base=0 ;; esac
    size=$(size_of "$name:$tag")
    printf '%-28s %7.1f MB %15.1f MB\n' "${name#localhost/}:$tag" "$((size / 100000))e-1" "$(((size - of_base) / 100000))e-1"
done
