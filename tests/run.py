#!/usr/bin/env python3
"""Runs every test of the workspace, and says which took longest.

`cargo test` runs one program of tests after the other, and many of them wait: for a lease, a
timeout, an engine. Here they run beside one another, each in the directory of its package as
cargo runs it. The programs that measure what the whole machine does run alone.

With --lint, clippy checks the workspace meanwhile, at the lowest priority: half of the time of the
end-to-end tests is waiting.

    tests/run.py [--lint] [FILTER...]
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

# The end-to-end tests attack engines and enforce caps. They spend half of their time waiting:
# for leases, timeouts and deletions.
ALONE = ("end_to_end",)
# Tests that measure what an engine holds at any moment, or fill a control group: these run when
# nothing else does, one after the other.
QUIET = ("attacks::outside", "attacks::peak", "the_kernel_takes")
SLOWEST = 20

LINT = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]

cargo = os.environ.get("CARGO", "cargo")
with_lint = "--lint" in sys.argv[1:]
filters = [argument for argument in sys.argv[1:] if argument != "--lint"]
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
        command + [*chosen, *filters], cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
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


def main():
    processors = os.cpu_count() or 1
    found = sorted(programs())
    results = {"times": [], "failed": []}
    told = tempfile.TemporaryFile("w+")
    lint = None
    if with_lint:
        lint = subprocess.Popen(["nice", "-n", "19", cargo, *LINT], stdout=told, stderr=subprocess.STDOUT)
    beside = [program for program in found if program[0] not in ALONE]
    # These mostly wait.
    waiting = [threading.Thread(target=run, args=(*program, processors, results)) for program in beside]
    gate = threading.Semaphore(processors)

    def gated(thread):
        with gate:
            thread.start()
            thread.join()

    starters = [threading.Thread(target=gated, args=(thread,)) for thread in waiting]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    for program in found:
        if program[0] in ALONE:
            skipped = [word for pattern in QUIET for word in ("--skip", pattern)]
            run(*program, processors + 1, results, () if filters else skipped)
    if lint:
        failed = lint.wait() != 0
        told.seek(0)
        print(f"\n     Running {' '.join([cargo, *LINT])}\n{told.read()}", flush=True)
        if failed:
            results["failed"].append("lint")
    for program in found:
        if program[0] in ALONE and not filters:
            run(*program, 1, results, QUIET)
    if not filters:
        documents = subprocess.run([cargo, "test", "--workspace", "--doc", "--locked"])
        if documents.returncode != 0:
            results["failed"].append("documentation")
    print(f"\nThe {SLOWEST} slowest tests, in seconds:")
    for seconds, test in sorted(results["times"], reverse=True)[:SLOWEST]:
        print(f"{seconds:8.1f}  {test}")
    if results["failed"]:
        sys.exit(f"failed: {', '.join(results['failed'])}")


if __name__ == "__main__":
    main()
