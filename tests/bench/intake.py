#!/usr/bin/env python3
"""Times the intake: downloading an archive and expanding it.

Ours is the code of the worker in a program of its own (the example `intake`). It is
compared with the AWS CLI piped into bsdtar, with the AWS CLI and unzip one after the
other, and with bare loops that do one part of the work each. Runs alternate; what is
told are ratios of medians. README.md beside this file says how to read them.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
MIB = 1 << 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=TARGET / "release", help="directory of the release builds")
    parser.add_argument("--aws", default=TARGET / "bench-tools" / "bin" / "aws", help="the AWS CLI")
    parser.add_argument("--mib", type=int, default=4300, help="what the archive expands to")
    parser.add_argument("--runs", type=int, default=5, help="rounds of all that is compared")
    parser.add_argument("--small", action="store_true", help="256 MiB and 3 rounds")
    parser.add_argument("--work", type=Path, default=Path("/dev/shm"), help="where the files go; memory, or it is not measured")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.mib, arguments.runs = 256, 3
    for tool in (arguments.aws, "bsdtar", "unzip"):
        if not shutil.which(str(tool)):
            sys.exit(f"{tool} is missing: see Makefile, target bench")
    # The store and the archive, the zip beside its content for unzip, and the content.
    need = arguments.mib * MIB * (1 + 0.45 * 3)
    if shutil.disk_usage(arguments.work).free < need:
        sys.exit(f"{arguments.work} has less than {need / MIB:.0f} MiB left; give --mib or --work")
    if os.getloadavg()[0] > 0.5:
        print(f"note: the load is {os.getloadavg()[0]:.1f}; others use this machine", file=sys.stderr)
    work = Path(tempfile.mkdtemp(prefix="cadmill-bench-", dir=arguments.work))
    try:
        with World(arguments, work) as world:
            report(arguments, world, world.measure())
    finally:
        shutil.rmtree(work)


class World:
    """A server with one object, and the ways to get it."""

    def __init__(self, arguments, work):
        self.program = arguments.bin / "examples" / "intake"
        self.aws, self.runs, self.work = str(arguments.aws), arguments.runs, work
        self.data, self.file, self.target = work / "data", work / "plan.zip", work / "target"
        self.json("generate", self.file, arguments.mib)
        self.size = self.file.stat().st_size
        with open(self.file, "rb") as file:
            self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self.server = subprocess.Popen([self.program, "serve", self.data], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
        told = json.loads(self.server.stdout.readline())
        self.endpoint = told["endpoint"]
        self.url = f"s3://{told['bucket']}/{told['key']}"
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(work), "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": told["access_key"], "AWS_SECRET_ACCESS_KEY": told["secret_key"],
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.json("put", self.data, self.endpoint, self.file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stdin.close()
        self.server.wait(timeout=60)

    def json(self, *arguments):
        run = subprocess.run([self.program, *map(str, arguments)], stdout=subprocess.PIPE, check=True, text=True)
        return json.loads(run.stdout)

    def measure(self):
        ways = {
            "ours": self.ours, "aws | bsdtar": self.aws_bsdtar, "aws, unzip": self.aws_unzip,
            "unpack": lambda: self.json("unpack", self.file, self.target),
            "decode": lambda: self.json("decode", self.file),
            "bare inflate": lambda: self.json("bare-inflate", self.file),
            "bare gets": lambda: self.json("bare-gets", self.data, self.endpoint),
            "bare write": lambda: self.json("bare-write", self.file, self.target),
        }
        self.digests = {}
        results = {name: [] for name in ways}
        for _ in range(self.runs):
            for name, way in ways.items():
                self.target.mkdir()
                started = time.monotonic()
                answer = way()
                took = time.monotonic() - started
                # cadmill's own programs report the duration of the work without their startup:
                # a worker is already running. The others are timed as a whole.
                results[name].append({"seconds": took, **(answer or {}), "whole_seconds": took})
                if not results[name][1:] and name in ("ours", "aws | bsdtar", "aws, unzip", "unpack"):
                    self.digests[name] = digest(self.target)
                shutil.rmtree(self.target)
                (self.work / "copy.zip").unlink(missing_ok=True)
        if len(set(self.digests.values())) != 1:
            sys.exit(f"the contents differ: {self.digests}")
        return results

    def ours(self):
        command = [self.program, "fetch", self.data, self.endpoint, self.sha256, self.target]
        run = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        peak = Peak(run.pid, self.target)
        answer = run.stdout.read()
        peak.stop()
        if run.wait():
            sys.exit("the download failed")
        return {**json.loads(answer), **peak.told()}

    def get(self, target, **rest):
        command = [self.aws, "--endpoint-url", self.endpoint, "s3", "cp", "--quiet", self.url, str(target)]
        return subprocess.Popen(command, env=self.environment, **rest)

    def aws_bsdtar(self):
        get = self.get("-", stdout=subprocess.PIPE)
        untar = subprocess.run(["bsdtar", "-x", "-f", "-", "-C", self.target], stdin=get.stdout)
        get.stdout.close()
        if get.wait() or untar.returncode:
            sys.exit("aws | bsdtar failed")

    def aws_unzip(self):
        copy = self.work / "copy.zip"
        if self.get(copy).wait():
            sys.exit("aws failed")
        subprocess.run(["unzip", "-q", copy, "-d", self.target], check=True)


class Peak:
    """The largest sum of a process's resident memory and a directory's, looked at every 20 ms."""

    def __init__(self, pid, directory):
        self.pid, self.directory, self.ended = pid, directory, threading.Event()
        self.sum = self.rss = 0
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.ended.wait(0.02):
            try:
                rss = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            except OSError:
                return
            # Reserved memory counts as used: the kernel has allocated it.
            files = sum(os.stat(os.path.join(at, name)).st_blocks * 512
                        for at, _, names in os.walk(self.directory) for name in names)
            self.rss, self.sum = max(self.rss, rss), max(self.sum, rss + files)

    def stop(self):
        self.ended.set()
        self.thread.join()

    def told(self):
        return {"peak_bytes": self.sum, "peak_rss_bytes": self.rss}


def digest(directory):
    whole = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            whole.update(str(path.relative_to(directory)).encode())
            with open(path, "rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def report(arguments, world, results):
    median = {name: statistics.median(run["seconds"] for run in runs) for name, runs in results.items()}
    expanded = results["unpack"][0]["bytes"]
    peak = max(run["peak_bytes"] for run in results["ours"])
    rss = max(run["peak_rss_bytes"] for run in results["ours"])
    slowest = max(("bare gets", "bare inflate", "bare write"), key=median.get)
    print(f"An archive of {world.size / MIB:.0f} MiB that expands to {expanded / MIB:.0f} MiB, "
          f"{os.cpu_count()} processors, {arguments.runs} rounds.\n")
    print("| what | median s | of all | MiB/s |\n|---|---|---|---|")
    for name, runs in results.items():
        of_all = " ".join(f"{run['seconds']:.2f}" for run in runs)
        size = world.size if name == "bare gets" else expanded
        print(f"| {name.replace(chr(124), chr(92) + chr(124))} | {median[name]:.2f} | {of_all} | {size / MIB / median[name]:.0f} |")
    rows = [
        ("ours : aws, unzip", median["ours"] / median["aws, unzip"], 0.5, False),
        ("ours : aws \\| bsdtar", median["ours"] / median["aws | bsdtar"], 0.8, False),
        ("speed of the archive reader : bare inflate, one thread", median["bare inflate"] / median["decode"], 0.9, True),
        (f"ours : the slowest bare loop ({slowest})", median["ours"] / median[slowest], 1.10, False),
    ]
    print("\n| ratio of medians | got | aim | |\n|---|---|---|---|")
    for name, got, aim, least in rows:
        met = got >= aim if least else got <= aim
        print(f"| {name} | {got:.2f} | {'>=' if least else '<='} {aim} | {'met' if met else 'missed'} |")
    over = (peak - expanded) / MIB
    print(f"| peak of resident memory and workspace, beyond the expanded size | {over:.0f} MiB | <= 96 MiB | "
          f"{'met' if over <= 96 else 'missed'} |")
    print(f"\nResident memory alone: {rss / MIB:.0f} MiB at the peak.")
    out = TARGET / "bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "intake.json").write_text(json.dumps({"mib": arguments.mib, "size": world.size, "results": results}, indent=1))


if __name__ == "__main__":
    main()
