#!/usr/bin/env bash
# The first process of the guest; kernel_6_1.sh reads the lines that it prints.
# guest.sh PART: `main`, `main_slow` where the processor is emulated, or `without_landlock`.
set -u

# shellcheck disable=SC1091
. /run/parameters
cadmill=$TARGET/debug/cadmill
export HOME=/root LANG=C.UTF-8
# Above cadmill's own limit on descriptors, so that the attacks reach that limit.
ulimit -n 65536

# as USER COMMAND...: as root, or as a user without any privilege.
as() {
    local user=$1
    shift
    case $user in
    root) "$@" ;;
    *) HOME=/tmp setpriv --reuid "$user" --regid "$user" --clear-groups --bounding-set=-all --inh-caps=-all "$@" ;;
    esac
}

failures=0

# step NAME COMMAND...: runs a command, and prints its result and duration.
step() {
    local name=$1 begun=$SECONDS
    shift
    echo "nightly: begin $name"
    if "$@"; then
        echo "nightly: passed $name, $((SECONDS - begun)) s"
    else
        echo "nightly: failed $name, status $?, $((SECONDS - begun)) s"
        failures=$((failures + 1))
    fi
}

# The default minimum is met, with ABI 2 and no other.
doctor() {
    local user=$1 json=/tmp/doctor-$1.json
    as "$user" "$cadmill" doctor || return 1
    as "$user" "$cadmill" doctor --json >"$json" || return 1
    jq -e '.sufficient and .minimum == "files" and (.level == "files" or .level == "isolated")
        and .engine.landlock.abi == 2 and all(.checks[]; .verdict != "missing")' "$json" >/dev/null
}

# The same bytes as outside the guest.
convert() {
    local user=$1 out=/tmp/converted-$1
    as "$user" mkdir "$out" && as "$user" "$REPOSITORY/tests/nightly/convert.sh" "$cadmill" "$out" || return 1
    diff -rq "$EXPECTED" "$out"
}

attacks() {
    local user=$1
    shift
    cd "$REPOSITORY/cli" || return 1
    # shellcheck disable=SC2086
    as "$user" env RUST_BACKTRACE=0 "$TESTS" $ATTACKS --test-threads 2 "$@"
}

# Without Landlock the default is refused, with advice on what to boot with.
advice() {
    local text
    text=$("$cadmill" doctor 2>&1)
    local status=$?
    echo "$text"
    [[ $status == 19 && $text == *lsm=*landlock* ]]
}

echo "nightly: kernel $(uname -r), lsm $(cat /sys/kernel/security/lsm)"
case $1 in
main | main_slow)
    for user in root 65534; do
        step "doctor as $user" doctor "$user"
        step "conversions as $user" convert "$user"
    done
    if [[ $1 == main ]]; then
        step "attacks as root" attacks root --include-ignored
        step "attacks as 65534" attacks 65534 --include-ignored
    else
        # All attacks would take hours here, where a JVM takes ten times as long to start.
        # Those that reveal least about this kernel are left out: Landlock capped at the ABI
        # that the kernel has anyway, no Landlock at all, what the watchdog enforces, and most
        # attacks below Java and in plugins.
        others=(--skip with_landlock_of_abi_2 --skip without_landlock --skip attacks::outside --skip attacks::peak
            --skip each_attack_below_java --skip each_attack_in_a_plugin --skip attacks::posture::an_engine_cannot_write)
        echo "nightly: left out for want of KVM: ${others[*]}, and what is unconfined as 65534"
        step "attacks as root" attacks root "${others[@]}"
        step "attacks as 65534" attacks 65534 "${others[@]}" --skip unconfined
        ATTACKS=attacks::files::confined_each_attack_below_java step "attacks on files below Java as 65534" attacks 65534
        ATTACKS=attacks::files::confined_each_attack_in_a_plugin step "attacks on files in a plugin as 65534" attacks 65534
    fi
    ;;
without_landlock)
    step "advice of doctor" advice
    ;;
esac
if ((failures)); then echo "nightly: $failures failed"; else echo "nightly: done, all passed"; fi
sleep 1
/bin/busybox poweroff -f
