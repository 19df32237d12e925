#!/usr/bin/env bash
# Installs the missing Debian packages of those named as arguments, and checks for the tools
# that do not come from Debian. Quick and silent if nothing is missing.
set -eu

missing=()
for package in "$@"; do
    # Any JDK and any Node with npm are sufficient; they need not be Debian's.
    case $package in
        default-jdk-headless) command -v javac >/dev/null && continue ;;
        nodejs | npm) command -v npm >/dev/null && continue ;;
    esac
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [[ $status == "install ok installed" ]] || missing+=("$package")
done

if ((${#missing[@]})); then
    as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || {
            echo "setup: missing ${missing[*]}; install them as root: apt-get install ${missing[*]}" >&2
            exit 1
        }
        as_root=(sudo)
    fi
    echo "setup: installing ${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -q >/dev/null
    "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
fi

command -v cargo >/dev/null || {
    echo "setup: Rust is missing; install the stable toolchain, 1.95 or later" >&2
    exit 1
}
