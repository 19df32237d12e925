#!/usr/bin/env python3
"""Times drawings in DXF: the engine of cadmill against ogr2ogr, and against itself.

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
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
SHM = Path("/dev/shm")
MIB = 1 << 20
STEM = "parcels"
# What ogr2ogr writes, so that both write the same entities.
SAME = ("dxf.version=2004", "dxf.polygon=hatch")


def run(command, cores=None):
    """Seconds of a command that must end well, and its output."""
    only = ["taskset", "-c", cores] if cores else []
    begin = time.monotonic()
    done = subprocess.run(
        [*only, *map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    wall = time.monotonic() - begin
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return wall, done.stdout


def zipped(args, work, megabytes):
    """A zip of a map of about so many bytes, stored, as only the engine is looked at."""
    made = work / f"made-{megabytes}.zip"
    # The generator's shapefiles deflate to a little less than half.
    run([args.generator, made, "--zip-bytes", int(megabytes * 1e6 / 2), "--stem", STEM, "--geometry", args.geometry])
    content = work / f"map-{megabytes}"
    with zipfile.ZipFile(made) as archive:
        archive.extractall(content)
    made.unlink()
    return content / f"{STEM}.shp"


def convert(args, shp, out, options, cores=None):
    """Seconds of the engine's work, and the report."""
    out.unlink(missing_ok=True)
    command = [args.cadmill, "convert", shp, "--to", "dxf", "-o", out, "--json"]
    command += [word for option in options for word in ("--opt", option)]
    _, told = run(command, cores)
    report = json.loads(told)
    return report["timings_ms"]["convert"] / 1000, report


def entities(path):
    """Where the entities begin, and the file's bytes."""
    text = path.read_bytes()
    begin = text.index(b"ENTITIES")
    return text[begin : text.index(b"ENDSEC", begin)]


def bench(args, work):
    shp = zipped(args, work, args.megabytes)
    size = shp.stat().st_size
    ours, theirs = work / "ours.dxf", work / "theirs.dxf"
    times = {"one": [], "two": [], "default": [], "ogr2ogr": []}
    for number in range(args.pairs):
        one, _ = convert(args, shp, ours, SAME, cores="0")
        two, report = convert(args, shp, ours, SAME)
        theirs.unlink(missing_ok=True)
        wall, _ = run(["ogr2ogr", "-f", "DXF", theirs, shp], cores="0")
        if number == 0 and entities(ours) != entities(theirs):
            raise SystemExit("the entities differ")
        plain, _ = convert(args, shp, ours, (), cores="0")
        for name, seconds in (("one", one), ("two", two), ("default", plain), ("ogr2ogr", wall)):
            times[name].append(seconds)
        print(f"pair {number + 1}: one thread {one:.2f} s, two {two:.2f} s, ogr2ogr {wall:.2f} s", flush=True)
    gdal, _ = convert(args, shp, ours, ("dxf.writer=gdal",), cores="0")
    medians = {name: statistics.median(found) for name, found in times.items()}
    pairs = [a / b for a, b in zip(times["one"], times["ogr2ogr"])]
    peak = report["peak_memory_bytes"] / MIB

    large = zipped(args, work, args.large)
    large_size = large.stat().st_size
    _, report = convert(args, large, ours, SAME)
    large_peak = report["peak_memory_bytes"] / MIB
    result = {
        "shp_bytes": size,
        "times_s": times,
        "ratio_one_thread": medians["one"] / medians["ogr2ogr"],
        "ratio_per_pair": [min(pairs), max(pairs)],
        "ratio_default": medians["default"] / medians["ogr2ogr"],
        "scaling_on_two": medians["one"] / medians["two"],
        "gdal_inside_s": gdal,
        "peak_mib": peak,
        "large_shp_bytes": large_size,
        "large_peak_mib": large_peak,
    }
    args.result.parent.mkdir(parents=True, exist_ok=True)
    args.result.write_text(json.dumps(result, indent=2) + "\n")
    print(f"""
| map | one thread : ogr2ogr | per pair | default drawing : ogr2ogr | two threads | peak of the engine | peak at {large_size / MIB:.0f} MiB |
|---|---|---|---|---|---|---|
| {size / 1e6:.1f} MB | {result['ratio_one_thread']:.3f} ({medians['one']:.2f} s and {medians['ogr2ogr']:.2f} s) | {min(pairs):.3f} to {max(pairs):.3f} | {result['ratio_default']:.3f} | {result['scaling_on_two']:.2f} times as fast | {peak:.0f} MiB | {large_peak:.0f} MiB |

GDAL's writer in cadmill: {gdal:.2f} s. All figures: {args.result}""")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=62.6, help="size of the .shp")
    parser.add_argument("--large", type=float, default=420, help="size of the other .shp, for the memory")
    parser.add_argument("--geometry", choices=("polygon", "polyline"), default="polygon")
    parser.add_argument("--cadmill", type=Path, default=TARGET / "release/cadmill")
    parser.add_argument("--generator", type=Path, default=TARGET / "release/examples/big-shapefile")
    parser.add_argument("--result", type=Path, default=TARGET / "bench/drawing.json")
    args = parser.parse_args()
    args.cadmill, args.generator = args.cadmill.resolve(), args.generator.resolve()
    work = Path(tempfile.mkdtemp(prefix="cadmill-bench-", dir=SHM))
    try:
        bench(args, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
