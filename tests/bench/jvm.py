#!/usr/bin/env python3
"""What the road through a jar costs, beside the same library bound directly.

Converts the same ten models on both roads to the same libassimp.so, in turn:

    ffi           bound directly, pinned by SHA-256
    ffi unpinned  the same without the pin
    jvm cold      through the jar, without an archive of classes
    jvm           through the jar, with the archive (AppCDS)

and prints a Markdown table for each file and one of medians over all: the time from the
start of the engine process to the loaded library, which is when the conversion begins;
wall time of `cadmill convert`; peak memory of the engine process. A second table has the
time from the request to the end of the engine process, which is what a worker waits for,
of these roads and of

    jvm warm      through the jar, in a process that was started a second before

The program of that table is the example `host`.

    jvm.py --bin target/release --java target/java
    jvm.py --bin target/release --java target/java --runs 3
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

MESHES = "tests/fixtures/real/mesh"
FILES = [
    ("cube_binary.ply", "glb2"),
    ("cube_ascii.ply", "stlb"),
    ("rabbit.obj", "glb2"),
    ("logo3d_obj.zip", "glb2"),
    ("moon_ascii.stl", "plyb"),
    ("moon_binary.stl", "glb2"),
    ("teapot.off", "stlb"),
    ("gear_scene.dae", "glb2"),
    ("fels.3ds", "plyb"),
    ("ComputerKeyboard.x3d", "glb2"),
]
WAITED = [("ffi", "assimp-ffi", []), ("jvm", "jvm-archive", []), ("jvm warm", "jvm-archive", ["ahead"])]
ROADS = [("ffi", "assimp-ffi"), ("ffi unpinned", "ffi-unpinned"), ("jvm cold", "jvm-cold"), ("jvm", "assimp-jvm")]


def engines_file(directory, java):
    """Declares the roads that are not built in."""
    path = os.path.join(directory, "engines.toml")
    with open(os.path.join(java, "engines.toml"), encoding="utf-8") as declared:
        ffi = declared.read()
    unpinned = "\n".join(line for line in ffi.splitlines() if not line.startswith("sha256"))
    jars = sorted(name for name in os.listdir(os.path.join(java, "assimp")) if name.endswith(".jar"))
    jars = [os.path.join(java, "assimp", name) for name in jars]
    with open(path, "w", encoding="utf-8") as file:
        file.write(ffi + "\n" + unpinned.replace('"assimp-ffi"', '"ffi-unpinned"') + "\n")
        for name, archive in [("jvm-cold", ""), ("jvm-archive", os.path.join(java, "assimp", "assimp.jsa"))]:
            file.write(jvm_engine(name, archive, jars, java))
    return path


def jvm_engine(name, archive, jars, java):
    """The declaration of the jar, with an archive of classes or without."""
    declared = (
        f'[[engine]]\nname = "{name}"\nkind = "jvm"\nlibrary = {json.dumps(jars[0])}\n[engine.jvm]\n'
        f"class_path = {json.dumps(jars[1:])}\nnatives = {json.dumps(os.path.join(java, 'assimp', 'natives'))}\n"
        'inputs = ["ply", "obj", "stl", "off", "dae", "3ds", "x3d"]\n'
        'outputs = [{ id = "glb2", extension = "glb" }, { id = "stlb", extension = "stl" },'
        ' { id = "plyb", extension = "ply" }]\n'
    )
    return declared + (f"class_archive = {json.dumps(archive)}\n" if archive else "")


def convert(cadmill, engines, directory, engine, name, to):
    """Milliseconds to the loaded library and in all, and bytes at the peak."""
    output = os.path.join(directory, "out.bin")
    command = [cadmill, "convert", os.path.join(MESHES, name), "--to", to, "--engine", engine]
    command += ["--engines-file", engines, "-o", output, "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wall = (time.perf_counter() - started) * 1000
    told = json.loads(done.stdout)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {told['error']['message']}")
    return told["timings_ms"]["load"], wall, told["peak_memory_bytes"]


def unpacked(directory, name):
    """A directory with the model alone, and the model's name in it."""
    place = os.path.join(directory, name + ".d")
    source = os.path.join(MESHES, name)
    os.makedirs(place, exist_ok=True)
    if not name.endswith(".zip"):
        shutil.copy(source, place)
        return place, name
    with zipfile.ZipFile(source) as archive:
        archive.extractall(place)
    return place, next(entry for entry in sorted(os.listdir(place)) if entry.endswith(".obj"))


def waited(program, engines, directory, engine, more, name, to):
    """Milliseconds from the request to the end of the process, and bytes at the peak."""
    place, file = unpacked(directory, name)
    done = subprocess.run([program, engines, engine, place, file, to, "1", *more], stdout=subprocess.PIPE, check=True)
    time_ms, peak = done.stdout.split()
    return float(time_ms), int(peak)


def table_of_waiting(program, engines, directory, runs):
    samples = {(name, road): [] for name, _ in FILES for road, _, _ in WAITED}
    for turn in range(-1, runs):
        for name, to in FILES:
            for road, engine, more in WAITED if turn % 2 == 0 else list(reversed(WAITED)):
                sample = waited(program, engines, directory, engine, more, name, to)
                if turn >= 0:
                    samples[name, road].append(sample)
    print(f"\nEach cell: from the request to the end of the process, peak memory; medians of {runs} runs.\n")
    print("| file | " + " | ".join(road for road, _, _ in WAITED) + " |")
    print("|---|" + "---|" * len(WAITED))
    show = lambda each: "{:.0f} ms, {:.0f} MiB".format(
        statistics.median(time_ms for time_ms, _ in each), statistics.median(peak for _, peak in each) / (1 << 20)
    )
    for name, to in FILES:
        print(f"| `{name}` to {to} | " + " | ".join(show(samples[name, road]) for road, _, _ in WAITED) + " |")
    over_all = [[s for name, _ in FILES for s in samples[name, road]] for road, _, _ in WAITED]
    print("| all | " + " | ".join(show(each) for each in over_all) + " |")


def cells(samples):
    load, wall, peak = (statistics.median(each) for each in zip(*samples))
    return f"{load:.0f} ms, {wall:.0f} ms, {peak / (1 << 20):.0f} MiB"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, help="directory of the release binaries")
    parser.add_argument("--java", required=True, help="directory that native-sys/java/build.sh made")
    parser.add_argument("--runs", type=int, default=20, help="runs of each file on each road")
    arguments = parser.parse_args()
    cadmill, java = (os.path.abspath(path) for path in (os.path.join(arguments.bin, "cadmill"), arguments.java))
    os.environ["CADMILL_JARS"] = java
    program = os.path.abspath(os.path.join(arguments.bin, "examples", "host"))
    os.environ["CADMILL_ENGINE_HOST"] = os.path.abspath(os.path.join(arguments.bin, "cadmill-engine-host"))
    for needed in (cadmill, program, os.path.join(java, "stamp")):
        if not os.path.isfile(needed):
            sys.exit(f"{needed} is missing: run `make build`")

    samples = {(name, road): [] for name, _ in FILES for road, _ in ROADS}
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="bench-jvm-") as directory:
        engines = engines_file(directory, java)
        for turn in range(-1, arguments.runs):
            for name, to in FILES:
                for road, engine in ROADS if turn % 2 == 0 else list(reversed(ROADS)):
                    sample = convert(cadmill, engines, directory, engine, name, to)
                    # The first round warms the caches of files.
                    if turn >= 0:
                        samples[name, road].append(sample)
        print_table(samples, arguments.runs)
        table_of_waiting(program, engines, directory, arguments.runs)


def print_table(samples, runs):
    print(f"Each cell: to the loaded library, wall, peak memory; medians of {runs} runs.\n")
    print("| file | " + " | ".join(road for road, _ in ROADS) + " |")
    print("|---|" + "---|" * len(ROADS))
    for name, to in FILES:
        print(f"| `{name}` to {to} | " + " | ".join(cells(samples[name, road]) for road, _ in ROADS) + " |")
    over_all = [[s for name, _ in FILES for s in samples[name, road]] for road, _ in ROADS]
    print("| all | " + " | ".join(cells(each) for each in over_all) + " |")


if __name__ == "__main__":
    main()
