#!/usr/bin/env python3
"""Measures whether a caller with bad tokens slows others down.

Starts `cadmill-api`'s routes in `cadmill serve` with two tokens, sends 10,000 requests with bad tokens
over many connections from this address, and asks meanwhile for `/readyz` and, with each good token, for
the jobs of its owner. Prints how fast these were answered before and during the attack.
"""

import argparse
import hashlib
import http.client
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release"
GOOD = ("f3b1c0de94a7582e6d13aa0b7c95e481", "0a7d5e19c2b84f6693e1d2c7480bb56f")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--bin", type=Path, default=TARGET, help="directory of the release builds")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="cadmill-bench-", dir="/dev/shm"))
    try:
        figures = measure(arguments, work)
    finally:
        shutil.rmtree(work)
    for name, figure in figures.items():
        print(f"{name:28} {figure}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(arguments, work):
    digest = lambda token: hashlib.sha256(token.encode()).hexdigest()
    tokens = ",".join(f"{name}:{digest(token)}" for name, token in zip(("ann", "bob"), GOOD))
    log = work / "serve.log"
    serve = [arguments.bin / "cadmill", "serve", "--listen", "127.0.0.1:0", "--data", work / "data", "--api-auth", "tokens"]
    environment = dict(os.environ, CADMILL_API_TOKENS=tokens)
    server = subprocess.Popen(serve, stderr=open(log, "w"), stdin=subprocess.DEVNULL, env=environment)
    try:
        address = wait_for_address(log, server)
        quiet = asked(address, 3.0)
        answers = multiprocessing.Queue()
        attack = multiprocessing.Process(target=attacked, args=(address, arguments, answers))
        attack.start()
        busy = asked(address, None, attack.is_alive)
        statuses, seconds = answers.get(timeout=60)
        attack.join()
        alive = server.poll() is None
    finally:
        server.terminate()
        server.wait()
    figures = {f"alone {name}": show(times) for name, times in quiet.items()}
    figures |= {f"attacked {name}": show(times) for name, times in busy.items()}
    figures["bad tokens"] = f"{sum(statuses.values())} in {seconds:.1f} s, answered {dict(sorted(statuses.items()))}"
    if not alive:
        sys.exit("the server ended")
    return figures


def wait_for_address(log, server):
    for _ in range(600):
        found = re.search(r"listening on http://([\d.]+:\d+)", log.read_text())
        if found:
            return found[1]
        if server.poll() is not None:
            sys.exit(log.read_text())
        time.sleep(0.05)
    sys.exit("the server does not start")


def asked(address, seconds, goes_on=lambda: True):
    """Latencies by what was asked for, one request each every 10 ms. Any answer but 200 is a failure."""
    results = {"/readyz": [], "ann": [], "bob": []}
    until = time.monotonic() + seconds if seconds else None

    def ask(name, path, headers):
        connection = http.client.HTTPConnection(address, timeout=10)
        while goes_on() and (until is None or time.monotonic() < until):
            begun = time.perf_counter()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            results[name].append(time.perf_counter() - begun)
            if answer.status != 200:
                sys.exit(f"{name}: status {answer.status}")
            # Below the rate that one owner has.
            time.sleep(0.025)

    threads = [threading.Thread(target=ask, args=("/readyz", "/readyz", {}))]
    for name, token in zip(("ann", "bob"), GOOD):
        headers = {"authorization": f"Bearer {token}"}
        threads.append(threading.Thread(target=ask, args=(name, "/api/jobs", headers)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def attacked(address, arguments, answers):
    statuses, lock = {}, threading.Lock()
    left = iter(range(arguments.requests))

    def attack():
        connection = http.client.HTTPConnection(address, timeout=30)
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            connection.request("GET", "/api/jobs", headers={"authorization": f"Bearer bad-{number}"})
            answer = connection.getresponse()
            answer.read()
            with lock:
                statuses[answer.status] = statuses.get(answer.status, 0) + 1

    begun = time.monotonic()
    threads = [threading.Thread(target=attack) for _ in range(arguments.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.put((statuses, time.monotonic() - begun))


def show(times):
    times = sorted(times)
    at = lambda share: 1000 * times[min(len(times) - 1, int(share * len(times)))]
    return f"{len(times)} requests, p50 {at(.5):.1f} ms, p99 {at(.99):.1f} ms, max {at(1):.1f} ms"


if __name__ == "__main__":
    main()
