#!/usr/bin/env python3
"""Times the destruction of plaintext, and what share of a job it is.

First the removal of a workspace by the worker's code (the example `wipe`), against a
bare overwrite of the same files: no reading back, no record. Then `cadmill serve`
converts a large file, and the ledger of that job tells when which file was overwritten.
README.md beside this file says how to read it.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from api import wait_for_address

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release"
SHAPES = [(2048, 1), (1024, 16), (256, 4096)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=TARGET, help="directory of the release builds")
    parser.add_argument("--runs", type=int, default=7, help="rounds of each comparison")
    parser.add_argument("--zip", default="500M", help="size of the zip that is converted; it expands to twice that")
    parser.add_argument("--no-job", action="store_true", help="the comparison alone")
    parser.add_argument("--work", type=Path, default=Path("/dev/shm"), help="where the files go; memory, or it is not measured")
    arguments = parser.parse_args()
    if os.getloadavg()[0] > 0.5:
        print(f"note: the load is {os.getloadavg()[0]:.1f}; others use this machine", file=sys.stderr)
    work = Path(tempfile.mkdtemp(prefix="cadmill-bench-", dir=arguments.work))
    try:
        compare(arguments, work)
        if not arguments.no_job:
            share(arguments, work)
    finally:
        shutil.rmtree(work)


def compare(arguments, work):
    print("| content, files | | ours | bare, 1 thread | bare, as many threads as ours | ratios |")
    print("|---|---|---|---|---|---|")
    for mib, files in SHAPES:
        command = [arguments.bin / "examples" / "wipe", work, str(mib), str(files), str(arguments.runs)]
        rounds = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["rounds"]
        for what, mine, theirs in (("overwriting", "overwrite", "overwrite"), ("with removal", "ours", "whole")):
            ours = statistics.median(r[mine] for r in rounds)
            bare = [statistics.median(r["bare"][n][theirs] for r in rounds) for n in (0, 1)]
            print(f"| {mib} MiB, {files} | {what} | {ours * 1000:.0f} ms | {bare[0] * 1000:.0f} ms | {bare[1] * 1000:.0f} ms | "
                  f"{ours / bare[0]:.2f}, {ours / bare[1]:.2f} |", flush=True)


def share(arguments, work):
    archive = work / "big.zip"
    generator = arguments.bin / "examples" / "big-shapefile"
    subprocess.run([generator, archive, "--zip-bytes", arguments.zip], check=True, stdout=subprocess.DEVNULL)
    log = work / "serve.log"
    serve = [arguments.bin / "cadmill", "serve", "--listen", "127.0.0.1:0", "--data", work / "data"]
    with open(log, "w") as file:
        server = subprocess.Popen(serve, stderr=file, stdin=subprocess.DEVNULL)
    try:
        address = wait_for_address(log, server)
        submit = [arguments.bin / "cadmill", "submit", archive, "--to", "dxf", "-o", work / "out.dxf",
                  "--server", f"http://{address}"]
        subprocess.run(submit, check=True, capture_output=True)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
    ledgers = [path for path in (work / "data").rglob("*.jsonl") if len(path.read_bytes()) > 0]
    if len(ledgers) != 1:
        sys.exit(f"one ledger was expected, not {len(ledgers)}")
    tell(arguments, [json.loads(line) for line in ledgers[0].read_text().splitlines()])


def tell(arguments, records):
    begun, spans, bytes = {}, [], 0
    for record in records:
        if record["type"].startswith("intent") and record["act"] in ("wipe", "unlink", "rmdir"):
            begun[record["seq"]] = record["mono_ms"]
        elif record["type"].startswith("done") and record["intent"] in begun:
            spans.append((begun[record["intent"]], record["mono_ms"]))
            bytes += record.get("bytes", 0)
    length = records[-1]["mono_ms"] - records[0]["mono_ms"]
    wiping = union(spans)
    print(f"\na job of a zip of {arguments.zip}: {length / 1000:.1f} s, of which {wiping / 1000:.2f} s "
          f"({100 * wiping / length:.2f} %) went into destroying {bytes / (1 << 20):.0f} MiB")


def union(spans):
    """Milliseconds that are in any of the spans."""
    total, end = 0, 0
    for start, stop in sorted(spans):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total


if __name__ == "__main__":
    main()
