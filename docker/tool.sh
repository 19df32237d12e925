# Sourced: sets `tool`, the command that builds and keeps images, as an array with its flags, and `kind`, one of podman,
# buildah and docker. IMAGE_TOOL names another command, with its flags.

read -ra tool <<<"${IMAGE_TOOL:-}"
for name in podman buildah docker; do
    ((${#tool[@]})) && break
    # A client of Docker without a server builds nothing.
    if command -v "$name" >/dev/null && { [[ $name != docker ]] || docker info >/dev/null 2>&1; }; then
        tool=("$name")
    fi
done
((${#tool[@]})) || {
    echo "images: neither podman, buildah nor docker is there; install one, e.g. apt-get install podman buildah" >&2
    exit 1
}
kind=$(basename "${tool[0]}")
# Images of OCI's own format have no health check.
build=("${tool[@]}" build)
[[ $kind == docker ]] || build+=(--format docker --layers)

# Size of an image in bytes.
size_of() {
    case $kind in
        buildah) "${tool[@]}" inspect --type image --format '{{.FromImageID}}' "$1" >/dev/null &&
            "${tool[@]}" images --json "$1" | jq -r '.[0].size' | sed -E 's/ ?([KMGT]?)B$/\1/' | numfmt --from=si ;;
        *) "${tool[@]}" image inspect --format '{{.Size}}' "$1" ;;
    esac
}
