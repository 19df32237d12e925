#!/usr/bin/env bash
# Runs cadmill on Debian 12's own kernel, 6.1: `cadmill doctor`, one conversion with each
# engine and the whole table of attacks, with defaults, as root and as an unprivileged user.
# Also boots once with Landlock left out of `lsm=`, where `doctor` must say what to boot with.
#
# That kernel has Landlock ABI 2, like those of Fargate and of the ECS AMI. The machine that
# runs the other tests usually has a newer kernel. So this one is booted in qemu, with KVM
# where that works and otherwise with emulation, which is slower but equivalent. Its root is
# the root of this machine, read-only, over virtiofs (Debian's cloud kernel has no 9p); writes
# go to tmpfs and are lost when the guest ends.
#
# Needs root, and the packages of `make nightly`. The kernel package is unpacked into
# target/nightly and not installed. Bounded by NIGHTLY_SECONDS (3300). NIGHTLY_ATTACKS is for
# work on this script: filters of the tests to run instead of `attacks`.
set -eu

cd "$(dirname "$0")/../.."
repository=$PWD
target=$(realpath "${CARGO_TARGET_DIR:-target}")
place=$target/nightly
seconds=${NIGHTLY_SECONDS:-3300}
memory=4G

say() { echo "nightly: $*" >&2; }
die() { say "$*"; exit 1; }

((EUID == 0)) || die "needs root, to share this machine's files with the guest"
mkdir -p "$place"

# The newest kernel package that linux-image-cloud-amd64 depends on.
newest() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-6\.1\..*\)/\1/p'; }
package=$(newest)
[[ $package ]] || { apt-get update -q >/dev/null; package=$(newest); }
[[ $package ]] || die "linux-image-cloud-amd64 is not a kernel 6.1 here; this needs the packages of Debian 12"
version=${package#linux-image-}
kernel=$place/$package
if [[ ! -e $kernel/boot/vmlinuz-$version ]]; then
    say "fetching $package"
    rm -rf "$place"/linux-image-*
    (cd "$place" && apt-get download -q "$package" >/dev/null && dpkg-deb -x "$package"_*.deb "$package.new")
    rm "$place/$package"_*.deb
    mv "$kernel.new" "$kernel"
fi

# Both versions of virtiofsd are outside PATH: that of qemu 7.2, and the later one.
for virtiofsd in /usr/lib/qemu/virtiofsd /usr/libexec/virtiofsd; do
    [[ -x $virtiofsd ]] && break
done
[[ -x $virtiofsd ]] || die "there is no virtiofsd"

tests=$("${CARGO:-cargo}" test --workspace --test end_to_end --no-run --locked --message-format json 2>/dev/null |
    sed -n 's/.*"executable":"\([^"]*end_to_end-[^"]*\)".*/\1/p' | tail -1)
[[ -x $tests ]] || die "the tests are not built"

work=$(mktemp -d -p "$place" run.XXXXXX)
started=()
end() {
    ((${#started[@]} == 0)) || kill "${started[@]}" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM

# The libraries and classes of the attacks are compiled here: the guest cannot write.
"$tests" attacks::rig jvm::doubles --quiet >/dev/null || die "the attacks cannot be built"

# The output of each engine on this machine; the guest must produce the same bytes.
mkdir "$work/expected"
tests/nightly/convert.sh "$target/debug/cadmill" "$work/expected" || die "this machine does not convert"

# The initramfs: a shell, the modules that the root file system needs, and the parameters.
first=$work/first
mkdir -p "$first"/{bin,proc,sys,dev,root}
cp /bin/busybox "$first/bin/"
cp tests/nightly/init "$first/init"
modules=lib/modules/$version
for name in virtio_pci virtio_pci_modern_dev virtio_pci_legacy_dev virtio virtio_ring fuse virtiofs; do
    file=$(cd "$kernel" && find "$modules/kernel" -name "$name.ko")
    [[ $file ]] || die "$package has no module $name"
    install -D -m 644 "$kernel/$file" "$first/$file"
done
cp "$kernel/$modules"/modules.{order,builtin,builtin.modinfo} "$first/$modules/"
busybox depmod -b "$first" "$version"
{
    printf 'REPOSITORY=%q\nTARGET=%q\nTESTS=%q\n' "$repository" "$target" "$tests"
    printf 'ATTACKS=%q\n' "${NIGHTLY_ATTACKS:-attacks}"
    printf 'EXPECTED=%q\nexport PATH=%q\n' "$work/expected" "$PATH"
} >"$first/parameters"
(cd "$first" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$work/first.gz"

# boot OUTPUT SECONDS ACCELERATOR WORDS...: boots with these words on the kernel command line,
# for `init` too.
boot() {
    local output=$1 limit=$2 accelerator=$3
    shift 3
    local socket=$work/virtiofs.socket
    rm -f "$socket"
    # This machine's file systems, read-only below one directory, in a mount namespace that
    # ends with the server.
    unshare --mount --propagation private tests/nightly/share.sh \
        "$work" "$repository" "$target" -- \
        "$virtiofsd" --socket-path="$socket" -o source="$work/root" -o cache=always \
        -o sandbox=chroot -o announce_submounts >"$work/virtiofsd.log" 2>&1 &
    started=("$!")
    for ((i = 0; i < 100; i++)); do
        [[ -S $socket ]] && break
        sleep 0.1
    done
    [[ -S $socket ]] || { cat "$work/virtiofsd.log" >&2; die "the root cannot be shared"; }
    local status=0
    # shellcheck disable=SC2086
    timeout --foreground --kill-after=10 "$limit" qemu-system-x86_64 $accelerator -smp 2 -m "$memory" \
        -object memory-backend-memfd,id=memory,size="$memory",share=on -numa node,memdev=memory \
        -chardev socket,id=root,path="$socket" -device vhost-user-fs-pci,chardev=root,tag=root \
        -kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/first.gz" \
        -append "console=ttyS0 loglevel=1 panic=-1 $*" \
        -display none -serial stdio -monitor none -no-reboot -nic none </dev/null 2>&1 |
        sed -u 's/\r//g; s/\x1b\[[0-9;?]*[a-zA-Z]//g' | tee "$output" | grep --line-buffered -aE '^(nightly:|test |running [0-9])|panicked|Kernel panic' || status=$?
    kill "${started[@]}" 2>/dev/null || true
    wait "${started[@]}" 2>/dev/null || true
    started=()
    return "$status"
}

# KVM may exist and still fail to start a kernel, as in some virtual machines.
slow="-accel tcg,thread=multi -cpu max"
accelerator=$slow
if [[ -w /dev/kvm ]]; then
    fast="-accel kvm -cpu host"
    if boot "$work/probe.log" 30 "$fast" nightly=probe >/dev/null && grep -q '^nightly: booted' "$work/probe.log"; then
        accelerator=$fast
    else
        say "there is /dev/kvm, but it starts no kernel here"
    fi
fi
say "kernel $version, ${accelerator/-accel /}, ${seconds} s at most"

failed=0
# check LOG WHAT: whether the guest ran to its end and reported no failure.
check() {
    if ! grep -qa '^nightly: done, all passed' "$1"; then
        failed=1
        say "$2: FAILED; the last lines of $place/$2.log:"
        cp "$1" "$place/$2.log"
        tail -n 40 "$1" >&2
    else
        cp "$1" "$place/$2.log"
        say "$2: passed, $(grep -ca '^nightly: passed' "$1") checks"
    fi
}
begun=$SECONDS
part=main
[[ $accelerator == "$slow" ]] && part=main_slow
boot "$work/main.log" "$seconds" "$accelerator" nightly="$part" || true
check "$work/main.log" main
boot "$work/without.log" 300 "$accelerator" nightly=without_landlock lsm=lockdown,yama,apparmor || true
check "$work/without.log" without_landlock
say "took $((SECONDS - begun)) s"
exit "$failed"
