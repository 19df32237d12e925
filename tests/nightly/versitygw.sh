#!/usr/bin/env bash
# Compiles versitygw, a server of Amazon S3's protocol, which the tests of `make nightly` start, and
# prints the path of the program. The version and the SHA-256 of each module are pinned in go.mod
# and go.sum in tests/nightly/versitygw, those of the Go compiler in requirements.txt beside them.
#
# It takes minutes, so the program is kept outside of target/, which is deleted more often than the
# version changes: in $XDG_CACHE_HOME/cadmill, or ~/.cache/cadmill. Nothing else is kept. Quick and
# silent if it is there.
set -eu

cd "$(dirname "$0")/../.."
pinned=$PWD/tests/nightly/versitygw
version=$(sed -n 's/^\tgithub\.com\/versity\/versitygw v\([^ ]*\).*/\1/p' "$pinned/go.mod")
wanted=$(cat "$pinned/go.mod" "$pinned/go.sum" "$pinned/requirements.txt" | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cadmill/versitygw-$version-$wanted
program=$cache/versitygw

if [[ ! -x $program ]]; then
    echo "nightly: compiling versitygw $version into $cache, which takes minutes" >&2
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    docker/python_tools.sh "$pinned/requirements.txt" "$work/go"
    # The compiler is the pinned one, whatever go.mod asks for; every module is compared with
    # go.sum, so the public checksum database has nothing to add.
    env --chdir="$pinned" GOENV=off GOTOOLCHAIN=local GOWORK=off GOSUMDB=off CGO_ENABLED=0 \
        GOFLAGS='-mod=readonly -modcacherw -trimpath' GOPATH="$work/modules" GOCACHE="$work/cache" \
        "$work/go/bin/go" build -ldflags='-s -w' -o "$work/versitygw" github.com/versity/versitygw/cmd/versitygw
    # In one step, so that an interrupted build leaves nothing that looks like the program.
    mv "$work/versitygw" "$program"
fi
echo "$program"
