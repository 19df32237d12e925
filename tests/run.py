#!/usr/bin/env python3
"""Runs every test of the workspace, and says which took longest.

`cargo test` runs one program of tests after the other, and many of them wait: for a lease, a
timeout, an engine. Here they run beside one another, each in the directory of its package as
cargo runs it. The programs that measure what the whole machine does run alone.

    tests/run.py [--ignored] [FILTER...]

With --ignored it runs only the tests that `make test` leaves out, because others do the same with
less: `make nightly` runs these.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The end-to-end tests attack engines and enforce caps.
ALONE = ("end_to_end",)
# Those of them that wait, for leases, timeouts, deletions and alerts, and hardly compute. These run beside
# everything else.
WAITING = ("pipeline::clock", "pipeline::budget", "metrics::faults")
WAITING_AT_ONCE = 4
# With --ignored these compute for half an hour, each test on one thread. They run beside everything else.
LONG = ("scale", "rules")
# Tests that measure what an engine holds at any moment, or fill a control group: these run when
# nothing else does, one after the other.
QUIET = ("attacks::outside", "attacks::peak", "the_kernel_takes")
# How long the archive reader is fuzzed, if Rust nightly is there.
FUZZ_SECONDS = "30"
SLOWEST = 20
# How much of what a failed test printed is repeated at the very end.
REASON_CHARACTERS = 300

cargo = os.environ.get("CARGO", "cargo")
ignored = [word for word in sys.argv[1:] if word == "--ignored"]
filters = [word for word in sys.argv[1:] if word not in ignored]
print_lock = threading.Lock()


def programs():
    """Every program of tests: its name, its file and the directory of its package."""
    command = [cargo, "test", "--workspace", "--locked", "--no-run", "--message-format", "json"]
    built = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit(built.returncode)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable"):
            if message["profile"]["test"]:
                place = Path(message["manifest_path"]).parent
                yield message["target"]["name"], message["executable"], place


def run(name, executable, place, threads, results, chosen=()):
    environment = dict(os.environ, CARGO_MANIFEST_DIR=str(place), CARGO=cargo)
    # The stable test harness allows the option --report-time only with this variable.
    environment["RUSTC_BOOTSTRAP"] = "1"
    command = [executable, "-Z", "unstable-options", "--report-time", "--test-threads", str(threads)]
    begun = time.monotonic()
    done = subprocess.run(
        command + [*ignored, *chosen, *filters], cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    )
    took = time.monotonic() - begun
    with print_lock:
        print(f"\n     Running {name} ({Path(executable).name}), {took:.0f} s", flush=True)
        sys.stdout.write(done.stdout)
        sys.stdout.flush()
    for test, seconds in re.findall(r"^test (.*?) \.\.\. \w+ <([\d.]+)s>$", done.stdout, re.MULTILINE):
        results["times"].append((float(seconds), f"{name}: {test}"))
    if done.returncode != 0:
        results["failed"].append(name)
        results["reasons"] += reasons(name, done.stdout)


def reasons(name, output):
    """Of each test that failed, what it said last: the line of its panic, and what follows."""
    blocks = re.findall(r"^---- (\S+) stdout ----\n(.*?)(?=^---- \S+ stdout ----$|^failures:$)", output, re.MULTILINE | re.DOTALL)
    if not blocks:
        # The program itself died.
        yield f"{name}: {output[-REASON_CHARACTERS:].strip()}"
    for test, printed in blocks:
        panic = printed.find("panicked at")
        said = printed[panic if panic >= 0 else 0:].split("note: run with")[0]
        yield f"{name}: {test}: {' '.join(said.split())[:REASON_CHARACTERS]}"


def run_beside(what, command, results):
    """Runs a command with what the tests leave of the processors."""
    begun = time.monotonic()
    environment = {"FUZZ_SECONDS": FUZZ_SECONDS, **os.environ}
    done = subprocess.run(
        ["nice", "-n", "19", *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )
    with print_lock:
        print(f"\n     Beside the tests: {what}, {time.monotonic() - begun:.0f} s\n{done.stdout}", flush=True)
    if done.returncode != 0:
        results["failed"].append(what)
        results["reasons"].append(f"{what}: {done.stdout[-REASON_CHARACTERS:].strip()}")


def has_nightly():
    if not shutil.which("rustup"):
        return False
    toolchains = subprocess.run(["rustup", "toolchain", "list"], stdout=subprocess.PIPE, text=True)
    return "nightly" in toolchains.stdout


def skipping(patterns):
    return [word for pattern in patterns for word in ("--skip", pattern)]


def main():
    processors = os.cpu_count() or 1
    found = sorted(programs())
    results = {"times": [], "failed": [], "reasons": []}
    alone = [program for program in found if program[0] in ALONE]
    # What waits and what has to be alone is run apart, unless it is asked for.
    apart = not filters
    long = [program for program in found if program[0] in LONG and apart and ignored]
    beside = [program for program in found if program not in alone + long]
    waiting = alone if apart else []
    with ThreadPoolExecutor() as aside, ThreadPoolExecutor(processors + 1) as pool:
        others = [aside.submit(run, *program, WAITING_AT_ONCE, results, WAITING) for program in waiting]
        others += [aside.submit(run, *program, processors, results) for program in long]
        runs = [pool.submit(run, *program, processors, results) for program in beside]
        # These are not part of the workspace.
        if apart and not ignored:
            fuzzer = ["--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target/fuzz", "--no-default-features"]
            commands = {
                "documentation": [cargo, "test", "--workspace", "--doc", "--locked"],
                "fuzzer": [cargo, "check", *fuzzer, "--locked"],
                "stack of AWS": ["target/tools/bin/python3", "-B", "-m", "unittest", "discover", "-s", "tests/aws"],
            }
            if has_nightly():
                commands["fuzzing"] = ["fuzz/run.sh"]
            others += [aside.submit(run_beside, *command, results) for command in commands.items()]
        # An exception in one of them is raised here.
        for done in runs:
            done.result()
        for program in alone:
            run(*program, processors + 1, results, skipping(WAITING + QUIET) if apart else ())
        for done in others:
            done.result()
    if apart:
        for program in alone:
            run(*program, 1, results, QUIET)
    print(f"\nThe {SLOWEST} slowest tests, in seconds:")
    for seconds, test in sorted(results["times"], reverse=True)[:SLOWEST]:
        print(f"{seconds:8.1f}  {test}")
    for reason in results["reasons"]:
        print(f"\n{reason}")
    if results["failed"]:
        sys.exit(f"failed: {', '.join(results['failed'])}")


if __name__ == "__main__":
    main()
