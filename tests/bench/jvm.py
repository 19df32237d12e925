#!/usr/bin/env python3
"""What the road through a jar costs, beside the same library bound directly.

Converts the same ten models on both roads to the same libassimp.so, in turn:

    ffi           bound directly, pinned by SHA-256
    ffi unpinned  the same without the pin
    jvm cold      through the jar, without an archive of classes
    jvm           through the jar, with the archive (AppCDS)

and prints a Markdown table for each file and one of medians over all: the time from the
start of the engine process to the loaded library, which is when the conversion begins;
wall time of `cadmill convert`; peak memory of the engine process.

A second table is of a process that lives on, as a worker does, and has converted a file
before: the time from the request to the loaded library, and to the end of the engine
process, which is what a worker waits for; peak memory. It has these roads and

    ffi warm      bound directly, in a process that was started a second before
    jvm warm      through the jar, in the same way
    bare          the library in a process that has loaded it, with nothing around it: the
                  time of reading, writing and releasing the scene

The program is the example `host`; bare is this one with --bare. Last comes the fixed cost of
each road: the time from the request to the end less the bare time, for the smallest file.

    jvm.py --bin target/release --java target/java
    jvm.py --bin target/release --java target/java --runs 3
"""

import argparse
import ctypes
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
SMALLEST = "cube_binary.ply"
# Where the first of two runs is cheap, the second one counts.
WAITED = [
    ("ffi", "assimp-ffi", 2, []),
    ("jvm cold", "jvm-cold", 1, []),
    ("jvm", "jvm-archive", 1, []),
    ("ffi warm", "assimp-ffi", 1, ["ahead"]),
    ("jvm warm", "jvm-archive", 1, ["ahead"]),
]
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


def waited(program, engines, directory, engine, runs, more, name, to):
    """Milliseconds from the request to the loaded library and to the end of the process, and
    bytes at the peak."""
    place, file = unpacked(directory, name)
    command = [program, engines, engine, place, file, to, str(runs), *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    load_ms, time_ms, peak = done.stdout.splitlines()[-1].split()
    return float(load_ms), float(time_ms), int(peak)


def bare(natives, directory, name, to):
    """Milliseconds that the library itself takes, in a process of its own."""
    place, file = unpacked(directory, name)
    output = os.path.join(directory, "bare.bin")
    command = [sys.executable, os.path.abspath(__file__), "--bare", natives, os.path.join(place, file), to, output]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def convert_bare(natives, file, to, output):
    """Converts a file with the C interface of Assimp (cimport.h, cexport.h)."""
    for library in ("libdraco.so", "libassimp.so"):
        assimp = ctypes.CDLL(os.path.join(natives, library))
    assimp.aiImportFile.restype = ctypes.c_void_p
    text = lambda value: ctypes.c_char_p(value.encode())
    started = time.perf_counter()
    scene = ctypes.c_void_p(assimp.aiImportFile(text(file), 0))
    failed = scene.value is None or assimp.aiExportScene(scene, text(to), text(output), 0)
    assimp.aiReleaseImport(scene)
    took = time.perf_counter() - started
    if failed:
        sys.exit(f"{file} was not converted to {to}")
    print(took * 1000)


def table_of_waiting(program, engines, directory, natives, runs):
    roads = [road for road, *_ in WAITED]
    samples = {(name, road): [] for name, _ in FILES for road in roads}
    bares = {name: [] for name, _ in FILES}
    for turn in range(-1, runs):
        for name, to in FILES:
            alone = bare(natives, directory, name, to)
            if turn >= 0:
                bares[name].append(alone)
            for road, engine, times, more in WAITED if turn % 2 == 0 else list(reversed(WAITED)):
                sample = waited(program, engines, directory, engine, times, more, name, to)
                if turn >= 0:
                    samples[name, road].append(sample)
    print(f"\nEach cell: from the request to the loaded library, to the end, peak memory; medians of {runs} runs.\n")
    print("| file | bare | " + " | ".join(roads) + " |")
    print("|---|---|" + "---|" * len(roads))
    for name, to in FILES:
        alone = f"{statistics.median(bares[name]):.1f} ms"
        print(f"| `{name}` to {to} | {alone} | " + " | ".join(cells(samples[name, road]) for road in roads) + " |")
    over_all = [[s for name, _ in FILES for s in samples[name, road]] for road in roads]
    alone = f"{statistics.median(each for name in bares for each in bares[name]):.1f} ms"
    print(f"| all | {alone} | " + " | ".join(cells(each) for each in over_all) + " |")
    print_fixed_cost(samples, bares, roads)


def print_fixed_cost(samples, bares, roads):
    """What remains of the smallest file: its time less the conversion itself."""
    alone = statistics.median(bares[SMALLEST])
    print(f"\nFixed cost: `{SMALLEST}` from the request to the end, less the {alone:.1f} ms of the library alone.\n")
    print("| road | median | lowest | highest |\n|---|---|---|---|")
    for road in roads:
        times = sorted(end - alone for _, end, _ in samples[SMALLEST, road])
        print(f"| {road} | {statistics.median(times):.1f} ms | {times[0]:.1f} ms | {times[-1]:.1f} ms |")


def cells(samples):
    load, wall, peak = (statistics.median(each) for each in zip(*samples))
    return f"{load:.1f} ms, {wall:.1f} ms, {peak / (1 << 20):.0f} MiB"


def main():
    if sys.argv[1:2] == ["--bare"]:
        return convert_bare(*sys.argv[2:])
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
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="bench-jvm-") as directory:
        engines = engines_file(directory, java)
        for turn in range(-1, arguments.runs):
            for name, to in FILES:
                for road, engine in ROADS if turn % 2 == 0 else list(reversed(ROADS)):
                    sample = convert(cadmill, engines, directory, engine, name, to)
                    # The first round warms the file caches.
                    if turn >= 0:
                        samples[name, road].append(sample)
        print_table(samples, arguments.runs)
        natives = os.path.join(java, "assimp", "natives")
        table_of_waiting(program, engines, directory, natives, arguments.runs)
        print(f"\nLoad of the machine at the start and at the end: {load[0]:.1f}, {os.getloadavg()[0]:.1f}.")


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
