#!/usr/bin/env python3
"""Times CAD models through OpenCASCADE: cadmill against a bare program with the same calls, and against its aims.

See README.md beside this file for what is measured and how to read it.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
PLUGIN = ROOT / "native-sys/plugins"
SAMPLES = Path("/usr/share/opencascade/data")
MODELS = "models-node/node_modules/occt-import-js/test/testfiles/cax-if"
MIB = 1 << 20
# Copies of a model of 323 faces, and what is said of them.
LARGE = [(12, "28 MB"), (45, "108 MB")]


def run(command):
    """Seconds of a command that must end well, and its output."""
    begin = time.monotonic()
    done = subprocess.run([*map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    wall = time.monotonic() - begin
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
    return wall, done.stdout


def build(work):
    """The bare program and the driver of plugins."""
    place = work / "build"
    run(["cmake", "-S", PLUGIN / "occt", "-B", place, "-DCADMILL_OCCT_BARE=ON"])
    run(["cmake", "--build", place, "--target", "occt-bare"])
    run(["cc", "-std=c99", "-O2", "-o", work / "driver", PLUGIN / "driver.c", "-ldl", "-lpthread"])
    return place / "occt-bare", work / "driver"


class Bench:
    def __init__(self, args, work):
        self.args, self.work = args, work
        self.bare_program, self.driver_program = build(work)
        self.result = {"load": os.getloadavg()[0]}

    def convert(self, model, output, *options):
        """Seconds of cadmill, and its report."""
        (self.work / output).unlink(missing_ok=True)
        wall, told = run([self.args.cadmill, "convert", model, "--to", output.rsplit(".")[-1], "-o", self.work / output, "--json", *options])
        return wall, json.loads(told)

    def bare(self, model, threads=2):
        wall, told = run([self.bare_program, threads, model, self.work / "bare.glb"])
        return wall, json.loads(told)

    def driver(self, model, output, *options):
        """Seconds of the plugin without cadmill, and what the driver says; it may have been cancelled."""
        command = [self.driver_program, *options, "-q", self.args.plugin, model, self.work / output, output.rsplit(".")[-1]]
        begin = time.monotonic()
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
        return time.monotonic() - begin, json.loads(done.stdout.splitlines()[-1])

    def load(self):
        """Milliseconds until the library is loaded, warm."""
        runs = [self.convert(SAMPLES / "step/screw.step", "a.stl")[1]["timings_ms"]["load"] for _ in range(self.args.runs + 1)][1:]
        self.result["load_ms"] = runs
        print(f"\nLibrary loaded: {statistics.median(runs):.0f} ms ({min(runs)} to {max(runs)}), {len(runs)} runs, warm; aim 120 ms.")

    def overhead(self, models):
        print("\n| model to GLB | bare program | plugin without cadmill | `cadmill convert` | cadmill : bare | more than bare |\n|---|---|---|---|---|---|")
        for name, model, runs in models:
            times = {"bare": [], "plugin": [], "cadmill": []}
            for number in range(runs + 1):
                turn = [("bare", lambda: self.bare(model)), ("plugin", lambda: self.driver(model, "d.glb", "-j", 2)), ("cadmill", lambda: self.convert(model, "c.glb"))]
                for which, call in turn if number % 2 else reversed(turn):
                    wall, _ = call()
                    # The first round warms the file caches.
                    if number > 0 or runs == 1:
                        times[which].append(wall)
            pairs = [a / b for a, b in zip(times["cadmill"], times["bare"])]
            medians = {which: statistics.median(found) for which, found in times.items()}
            self.result[f"overhead {name}"] = times
            cells = " | ".join(f"{medians[which]:.3f} s" for which in times)
            print(f"| {name} | {cells} | {statistics.median(pairs):.3f} ({min(pairs):.3f} to {max(pairs):.3f}) | {(medians['cadmill'] - medians['bare']) * 1000:.0f} ms |", flush=True)

    def meshing(self, model):
        """The step of the plugin that makes triangles, on one thread and on two."""
        found = {1: [], 2: []}
        for _ in range(self.args.runs_large):
            for threads in (1, 2):
                found[threads].append(self.driver(model, "m.glb", "-j", threads)[1]["work"])
        one, two = statistics.median(found[1]), statistics.median(found[2])
        self.result["meshing"] = found
        print(f"\nMeshing: {one:.2f} s on one thread, {two:.2f} s on two: {one / two:.2f} times as fast; aim 1.6.")

    def peaks(self, models):
        print("\n| conversion | input | output | time | peak of the engine | 40 MiB + 10 x file |\n|---|---|---|---|---|---|")
        for name, model, output in models:
            wall, report = self.convert(model, output)
            read, written, peak = model.stat().st_size, (self.work / output).stat().st_size, report["peak_memory_bytes"]
            self.result[f"peak {name}"] = {"read": read, "written": written, "peak": peak, "seconds": wall}
            # BREP is the shortest of the formats of surfaces: what is written as STEP counts.
            file = max(read, written) if output.endswith("step") else read
            print(f"| {name} | {read / 1e6:.1f} MB | {written / 1e6:.1f} MB | {wall:.1f} s | {peak / MIB:.0f} MiB | {40 + 10 * file / MIB:.0f} MiB |", flush=True)

    def cancels(self, models):
        steps = [("reading", 0.05, "glb"), ("reading, the middle", 0.2, "glb"), ("the end of reading", 0.3495, "glb"), ("converting", 0.45, "glb"), ("meshing", 0.72, "glb"), ("writing GLB", 0.91, "glb"), ("making STEP", 0.65, "step"), ("writing STEP", 0.9, "step")]
        print("\n| cancelled at | " + " | ".join(name for name, _ in models) + " |\n|---|" + "---|" * len(models))
        for step, at, output in steps:
            cells = []
            for name, model in models:
                _, told = self.driver(model, f"x.{output}", "-j", 2, "-p", at)
                self.result[f"cancel {step} {name}"] = told
                cells.append(f"{told['after_cancel']:.2f} s" if told["status"] == "cancelled" else told["status"])
            print(f"| {step} | " + " | ".join(cells) + " |", flush=True)


def bench(args, work):
    bench = Bench(args, work)
    large = {}
    for copies, name in LARGE:
        large[name] = work / f"{copies}.step", work / f"{copies}.brep"
        run([args.python, ROOT / "tests/plugins/occt_oracle.py", "copies", SAMPLES / "occ/Bottom.brep", copies, *large[name]])
    (small, (middle, middle_brep)), (big, (most, most_brep)) = large.items()
    bench.load()
    bench.overhead([
        ("screw.step, 89 KB", SAMPLES / "step/screw.step", args.runs),
        ("as1-oc-214.stp, 442 KB", args.target / MODELS / "as1-oc-214.stp", args.runs),
        ("linkrods.step, 1.8 MB", SAMPLES / "step/linkrods.step", args.runs),
        (f"STEP of {small}", middle, args.runs_large),
        (f"STEP of {big}", most, 1),
    ])
    bench.meshing(middle)
    bench.peaks([
        (f"STEP of {small} to GLB", middle, "p.glb"),
        (f"STEP of {big} to GLB", most, "p.glb"),
        (f"BREP to STEP of {small}", middle_brep, "p.step"),
        (f"BREP to STEP of {big}", most_brep, "p.step"),
        ("terrain.brep to GLB", SAMPLES / "occ/terrain.brep", "p.glb"),
        ("terrain.brep to STEP", SAMPLES / "occ/terrain.brep", "p.step"),
    ])
    bench.cancels([(f"STEP of {small}", middle)] if args.short else [(f"STEP of {small}", middle), (f"STEP of {big}", most)])
    bench.result["load at the end"] = os.getloadavg()[0]
    args.result.parent.mkdir(parents=True, exist_ok=True)
    args.result.write_text(json.dumps(bench.result, indent=1))
    print(f"\nLoad of the machine at the start and at the end: {bench.result['load']:.1f}, {bench.result['load at the end']:.1f}. All figures: {args.result}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9, help="runs of a small model")
    parser.add_argument("--runs-large", type=int, default=3, help="runs of the model of 28 MB")
    parser.add_argument("--short", action="store_true", help="cancel in the smaller of the two large models only")
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--cadmill", type=Path)
    parser.add_argument("--plugin", type=Path)
    parser.add_argument("--python", type=Path, default=ROOT / "target/oracle-tools/bin/python3")
    parser.add_argument("--result", type=Path)
    args = parser.parse_args()
    args.cadmill = (args.cadmill or args.target / "release/cadmill").resolve()
    args.plugin = (args.plugin or args.target / "plugins/libcadmill-occt.so").resolve()
    args.result = args.result or args.target / "bench/occt.json"
    work = Path(tempfile.mkdtemp(prefix="cadmill-bench-", dir="/dev/shm"))
    try:
        bench(args, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
