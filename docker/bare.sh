#!/bin/sh
# Makes the root of an image that has one program and what it needs, and neither shell nor package
# manager: the program, the C library, the certificates, and the bill of materials. Runs in the build of the image, in
# Debian; the image may be of another architecture, since nothing of it is run.
#
# Arguments: the name of the image, its architecture as Docker names it, the directory of the programs, the new root.
set -eu

image=$1 architecture=$2 programs=$3 root=$4
here=$(cd "$(dirname "$0")" && pwd)
program=cadmill-$image

mkdir -p "$root"/etc/ssl/certs "$root"/usr/local/bin "$root"/usr/local/share/cadmill "$root"/usr/share/doc "$root"/usr/lib \
    "$root"/tmp "$root"/work
chmod 1777 "$root/tmp"
ln -s usr/lib "$root/lib"
cp "$programs/bin/$program" "$root/usr/local/bin/"
cp "$programs/crates/$image.json" "$root/usr/local/share/cadmill/crates.json"

# The libraries come from packages of the image's architecture, which are unpacked and not installed. ca-certificates
# is installed here, because its bundle is made by its installation.
dpkg --add-architecture "$architecture"
apt-get update -q >/dev/null
apt-get install -y -q --no-install-recommends ca-certificates >/dev/null
unpacked=$(mktemp -d)
chmod 755 "$unpacked"
cd "$unpacked"
apt-get download -q "libc6:$architecture" "libgcc-s1:$architecture" >/dev/null 2>&1
set -- "ca-certificates=$(dpkg-query -W -f '${Version}' ca-certificates)=all"
for file in *.deb; do
    dpkg-deb -x "$file" files
    set -- "$@" "$(dpkg-deb -W --showformat '${Package}=${Version}=${Architecture}' "$file")"
done

case $architecture in
    amd64) triplet=x86_64-linux-gnu loader=ld-linux-x86-64.so.2 ;;
    arm64) triplet=aarch64-linux-gnu loader=ld-linux-aarch64.so.1 ;;
    *) echo "bare: no images for $architecture" >&2; exit 1 ;;
esac
libraries=$root/usr/lib/$triplet
mkdir -p "$libraries"
# What the programs name, and what the C library opens by itself to look up names; a program that names another one
# does not start, which the tests of the images show.
for library in libc.so.6 libm.so.6 libgcc_s.so.1 libnss_dns.so.2 libnss_files.so.2 libresolv.so.2 "$loader"; do
    cp -L "$(find files -name "$library" | head -1)" "$libraries/"
done
# Where programs name the loader.
case $architecture in
    amd64) mkdir "$root/usr/lib64" && ln -s usr/lib64 "$root/lib64" && ln -s "../lib/$triplet/$loader" "$root/usr/lib64/$loader" ;;
    arm64) ln -s "$triplet/$loader" "$root/usr/lib/$loader" ;;
esac
for package in libc6 libgcc-s1; do
    mkdir -p "$root/usr/share/doc/$package"
    cp -L files/usr/share/doc/$package/copyright "$root/usr/share/doc/$package/" 2>/dev/null ||
        cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/"
done
mkdir -p "$root/usr/share/doc/ca-certificates"
cp /usr/share/doc/ca-certificates/copyright "$root/usr/share/doc/ca-certificates/"

cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'root:x:0:0:root:/:/nonexistent\nnobody:x:65534:65534:nobody:/nonexistent:/nonexistent\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
# Without this /etc/hosts would be read after the name servers.
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

"$here/sbom.sh" "$image" "$root" "$@"
rm -rf "$root/usr/local/share/cadmill/crates.json" "$unpacked"
