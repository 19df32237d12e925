#!/usr/bin/env python3
"""Loads the API with clients that create and poll jobs while conversions run.

Starts `cadmill serve`, keeps two submissions of a large file going, and runs the
example `api-load` against the server meanwhile. Prints what was answered, how fast,
and the memory of the server's process; README.md beside this file says how to read it.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--mib", type=int, default=40, help="size of the zip that is converted")
    parser.add_argument("--bin", type=Path, default=TARGET, help="directory of the release builds")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="cadmill-bench-", dir="/dev/shm"))
    try:
        report(arguments, measure(arguments, work))
    finally:
        shutil.rmtree(work)


def measure(arguments, work):
    archive = work / "big.zip"
    generator = arguments.bin / "examples" / "big-shapefile"
    subprocess.run([generator, archive, "--zip-bytes", f"{arguments.mib}M"], check=True, stdout=subprocess.DEVNULL)
    log = open(work / "serve.log", "w+")
    # This machine is a single caller here: the rate limit per caller is not being measured.
    rates = ["--api-rate-per-second", "100000", "--api-rate-burst", "100000"]
    serve = [arguments.bin / "cadmill", "serve", "--listen", "127.0.0.1:0", "--data", work / "data", *rates]
    server = subprocess.Popen(serve, stderr=log, stdin=subprocess.DEVNULL)
    ended = threading.Event()
    converted = []
    try:
        address = wait_for_address(work / "serve.log", server)
        idle = rss(server.pid)
        threads = [
            threading.Thread(target=convert, args=(arguments, work, archive, address, n, ended, converted))
            for n in range(2)
        ]
        for thread in threads:
            thread.start()
        wait_for_engines(server.pid, 2)
        load = [arguments.bin / "examples" / "api-load", address, str(arguments.clients), str(arguments.seconds)]
        result = json.loads(subprocess.run(load, check=True, capture_output=True, text=True).stdout)
        result["conversions"] = list(converted)
        result["rss_idle_kib"] = idle["VmRSS"]
        result["rss_after_kib"] = rss(server.pid)["VmRSS"]
        result["rss_peak_kib"] = rss(server.pid)["VmHWM"]
        ended.set()
        for thread in threads:
            thread.join()
        return result
    finally:
        ended.set()
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
        log.close()


def wait_for_address(log, server):
    for _ in range(200):
        found = re.search(r"^listening on http://(\S+)", log.read_text(), re.M)
        if found:
            return found[1]
        if server.poll() is not None:
            sys.exit(f"the server ended:\n{log.read_text()}")
        time.sleep(0.05)
    sys.exit("the server did not start")


def convert(arguments, work, archive, address, number, ended, converted):
    """Submits the file again and again, and notes how long each took."""
    out = work / f"out-{number}.dxf"
    command = [arguments.bin / "cadmill", "submit", archive, "--to", "dxf", "-o", out, "--server", f"http://{address}"]
    while not ended.is_set():
        started = time.monotonic()
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            print(run.stderr, file=sys.stderr)
            return
        converted.append(round(time.monotonic() - started, 2))


def wait_for_engines(server, count):
    """Until so many engine processes of this server run."""
    for _ in range(600):
        if sum("cadmill-engine" in name for name in descendants(server)) >= count:
            return
        time.sleep(0.05)
    sys.exit("the conversions did not start")


def descendants(pid):
    names = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                names.append(Path(f"/proc/{child}/comm").read_text().strip())
                names += descendants(child)
            except OSError:
                pass  # It has ended meanwhile.
    return names


def rss(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return {name: int(re.search(rf"^{name}:\s*(\d+)", status, re.M)[1]) for name in ("VmRSS", "VmHWM")}


def report(arguments, result):
    print(json.dumps(result, indent=1))
    print()
    print(f"{arguments.clients} clients for {arguments.seconds} s; conversions of a zip of {arguments.mib} MiB beside "
          f"them took {result['conversions'] or 'longer than that'} s")
    print("| request | count | p50 ms | p95 ms | p99 ms | max ms |")
    print("|---|---|---|---|---|---|")
    for name, t in sorted(result["times"].items()):
        print(f"| {name} | {t['count']} | {t['p50_ms']:.1f} | {t['p95_ms']:.1f} | {t['p99_ms']:.1f} | {t['max_ms']:.1f} |")
    print(f"answers of 500 and above: {result['server_errors']}; connections that broke: {result['broken']}")
    print(f"resident memory of the server: {result['rss_idle_kib'] / 1024:.1f} MiB idle, "
          f"{result['rss_peak_kib'] / 1024:.1f} MiB at the peak")


if __name__ == "__main__":
    main()
