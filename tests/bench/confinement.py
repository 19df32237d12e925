#!/usr/bin/env python3
"""What the confinement of the engine process costs.

Runs `cadmill convert` in turn with the shipped engine host and with the host that
confines nothing (an example of the tests), on a tiny mesh and on a large zipped
shapefile, and prints a Markdown table: medians, their difference, their ratio.

    confinement.py --bin target/release --generator target/release/examples/big-shapefile
    confinement.py --bin target/release --generator ... --size 20M --large-runs 2 --runs 10
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

TINY = "tests/fixtures/real/mesh/cube_binary.ply"


def run(command, environment):
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    elapsed = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.decode()}")
    return elapsed


def alternate(command, environments, runs):
    """Seconds of each run, by environment; the order changes with each round."""
    seconds = [[] for _ in environments]
    for warm in environments:
        run(command, warm)
    for turn in range(runs):
        order = range(len(environments)) if turn % 2 == 0 else reversed(range(len(environments)))
        for index in order:
            seconds[index].append(run(command, environments[index]))
    return seconds


def row(name, runs, seconds):
    confined, free = (statistics.median(each) * 1000 for each in seconds)
    return (
        f"| {name} | {runs} | {confined:.1f} ms | {free:.1f} ms "
        f"| {confined - free:+.1f} ms | {confined / free:.3f} |"
    )


def measure_large(cadmill, arguments, environments, directory):
    archive = os.path.join(directory, "large.zip")
    generate = [arguments.generator, archive, "--zip-bytes", arguments.size]
    subprocess.run(generate, check=True, stdout=sys.stderr)
    output = os.path.join(directory, "out.dxf")
    command = [cadmill, "convert", archive, "--to", "dxf", "-o", output, "--timeout", "2h"]
    seconds = alternate(command, environments, arguments.large_runs)
    print(row(f"a zipped shapefile of {arguments.size} to DXF", arguments.large_runs, seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="directory of the release binaries")
    parser.add_argument("--generator", help="the example big-shapefile; without it only the tiny file is measured")
    parser.add_argument("--size", default="400M", help="size of the large archive")
    parser.add_argument("--runs", type=int, default=50, help="runs of the tiny file, each way")
    parser.add_argument("--large-runs", type=int, default=3, help="runs of the large file, each way")
    arguments = parser.parse_args()
    binaries = os.path.abspath(arguments.bin)
    cadmill = os.path.join(binaries, "cadmill")
    unconfined = os.path.join(binaries, "examples", "engine-host-unconfined")
    for program in (cadmill, unconfined):
        if not os.path.isfile(program):
            sys.exit(f"{program} is missing: cargo build --release --workspace --bins --examples")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CADMILL_")}
    environments = [ours, {**ours, "CADMILL_ENGINE_HOST": unconfined, "CADMILL_MIN_POSTURE": "none"}]

    print("| file | runs each | confined | unconfined | difference of medians | ratio |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="bench-confinement-") as directory:
        command = [cadmill, "convert", TINY, "--to", "stl", "-o", os.path.join(directory, "out.stl")]
        seconds = alternate(command, environments, arguments.runs)
        print(row("a cube of 12 triangles to STL", arguments.runs, seconds), flush=True)
        if arguments.generator:
            measure_large(cadmill, arguments, environments, directory)


if __name__ == "__main__":
    main()
