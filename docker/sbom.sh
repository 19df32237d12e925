#!/bin/sh
# Writes the software bill of materials of an image, CycloneDX 1.5 in JSON, into
# /usr/local/share/cadmill/sbom.cdx.json. Runs in the build of the image.
#
# Arguments: the name of the image; without more, the packages are those that dpkg has installed.
# Otherwise a directory that becomes the root of the image, and the packages in it, each as
# NAME=VERSION=ARCHITECTURE. The crates are in crates.json, which docker/crates.py made: components with
# commas between, or nothing.
set -eu

image=$1 root=${2:-}
[ $# -le 1 ] && shift || shift 2
place=$root/usr/local/share/cadmill
sbom=$place/sbom.cdx.json

packages() {
    if [ -z "$root" ]; then
        dpkg-query -W -f '${db:Status-Status}=${Package}=${Version}=${Architecture}\n' | sed -n 's/^installed=//p'
    else
        printf '%s\n' "$@"
    fi
}

# In a package URL `+` and `:` are escaped.
{
    printf '{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,'
    printf '"metadata":{"component":{"type":"container","name":"cadmill-%s"}},"components":[\n' "$image"
    packages "$@" | LC_ALL=C sort | awk -F= '{
        version = $2; gsub(/\+/, "%2B", version); gsub(/:/, "%3A", version)
        name = $1; gsub(/\+/, "%2B", name)
        printf "%s{\"type\":\"library\",\"name\":\"%s\",\"version\":\"%s\",\"purl\":\"pkg:deb/debian/%s@%s?arch=%s&distro=debian-12\"}",
            (NR > 1 ? ",\n" : ""), $1, $2, name, version, $3
    }'
    if [ -s "$place/crates.json" ]; then
        echo ,
        cat "$place/crates.json"
    fi
    # What is in jars, by their digests.
    jars=$root/usr/local/lib/cadmill/java
    if [ -f "$jars/SHA256SUMS" ]; then
        sed -n 's|^\([0-9a-f]\{64\}\)  \./\(.*\.jar\)$|,{"type":"file","name":"\2","hashes":[{"alg":"SHA-256","content":"\1"}]}|p' "$jars/SHA256SUMS"
    fi
    echo ']}'
} >"$sbom.new"
mv "$sbom.new" "$sbom"
