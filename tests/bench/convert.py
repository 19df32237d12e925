#!/usr/bin/env python3
"""Times `cadmill convert` against `unzip` followed by `ogr2ogr`.

See README.md beside this file for what is measured and how to read it.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
GENERATOR_SOURCE = HERE / "big_shapefile.rs"
SHM = Path("/dev/shm")
MIB = 1 << 20
GIB = 1 << 30

# What the drawing is asked for, so that its entities are those of ogr2ogr, byte for byte.
SAME = ("dxf.version=2004", "dxf.polygon=hatch")

# Measured on the generator's output, rounded up: bytes of DXF per byte of .shp, and unzipped
# bytes per byte of zip (for the estimate made before the zip exists).
DXF_PER_SHP = 2.1
SHP_PER_ZIP = 2.2
# Memory of the processes themselves, besides the files kept in memory.
MEMORY_SPARE = 1 * GIB
ROOM_MARGIN = 1.1

# Both tools print it: a DXF has no attribute table, so the fields are left out.
EXPECTED_NOISE = re.compile(
    r"does not support arbitrary field creation|natively support Integer64 type"
)


class Failure(Exception):
    """Ends the benchmark with a message instead of a traceback."""


# --- Running and measuring ------------------------------------------------


class Watch(threading.Thread):
    """Follows the peak RSS of one process, without its children.

    VmHWM only ever rises, so looking now and then suffices: what is missed is
    at most a rise within the last interval before the process ends.
    """

    INTERVAL = 0.05

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.status = Path(f"/proc/{pid}/status")
        self.peak_kib = 0
        self.ended = threading.Event()

    def run(self):
        while True:
            try:
                found = re.search(r"^VmHWM:\s*(\d+)", self.status.read_text(), re.M)
            except OSError:
                return
            if found:  # A process that has ended has no such line.
                self.peak_kib = max(self.peak_kib, int(found[1]))
            if self.ended.wait(self.INTERVAL):
                return


def stop(process):
    """Ends a child and its group; with time for the child to clean up."""
    for number, patience in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def measure(command, log, watch=False):
    """Runs a command to its end; its figures, its stdout and its stderr.

    The output goes to files, as a pipe that nobody empties would block it.
    """
    out_path, err_path = log.with_suffix(".out"), log.with_suffix(".err")
    with open(out_path, "wb") as out, open(err_path, "wb") as err:
        begin = time.monotonic()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            # Ctrl-C must reach only this script, which then ends the group.
            start_new_session=True,
        )
        watcher = Watch(process.pid) if watch else None
        try:
            if watcher:
                watcher.start()
            # Popen.wait() would discard the resource usage.
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            if process.returncode is None:
                stop(process)
            raise
        finally:
            if watcher:
                watcher.ended.set()
    figures = {
        "wall_s": wall,
        "user_s": usage.ru_utime,
        "sys_s": usage.ru_stime,
        "largest_process_rss_mib": usage.ru_maxrss / 1024,
    }
    if watcher:
        watcher.join()
        figures["parent_peak_rss_mib"] = watcher.peak_kib / 1024
    stdout = out_path.read_text(errors="replace")
    stderr = err_path.read_text(errors="replace")
    if process.returncode != 0:
        detail = "\n".join((stdout + stderr).strip().splitlines()[-12:])
        raise Failure(f"{Path(command[0]).name} ended with {process.returncode}:\n{detail}")
    return figures, stdout, stderr


def report_noise(name, stderr, seen):
    for line in stderr.splitlines():
        if re.match(r"(ERROR|Warning) ", line) and not EXPECTED_NOISE.search(line):
            if (name, line) not in seen:
                seen.add((name, line))
                print(f"note: {name} said: {line}", flush=True)


def flatten_timings(value, path=(), inside=False):
    """Stage timings out of cadmill's JSON, as {label: seconds}.

    Takes every number whose own name or container's name carries a unit of
    time, so that a stage added to the JSON shows up here without a change.
    """
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "secs": 1.0, "seconds": 1.0}
    found = {}
    if isinstance(value, dict):
        name = next((value[k] for k in ("stage", "name") if isinstance(value.get(k), str)), None)
        here = path + (name,) if name else path
        for key, item in value.items():
            found.update(flatten_timings(item, here + (key,)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            named = isinstance(item, dict) and ("stage" in item or "name" in item)
            found.update(flatten_timings(item, path if named else path + (str(index),)))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        for part in reversed(path):
            unit = part.rsplit("_", 1)[-1]
            if unit in units:
                found[".".join(path)] = value * units[unit]
                break
    return found


def parse_json(text):
    try:
        return json.loads(text)
    except ValueError:
        pass
    for line in reversed(text.splitlines()):
        try:
            return json.loads(line)
        except ValueError:
            continue
    raise Failure("cadmill --json printed no JSON:\n" + text[-500:])


# --- Room -----------------------------------------------------------------


def is_in_memory(path):
    path, best, kind = str(path.resolve()), "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, fstype, *_ = line.split(" ")
        inside = path == mount or path.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, fstype
    return kind in ("tmpfs", "ramfs")


def memory_available():
    found = re.search(r"^MemAvailable:\s*(\d+)", Path("/proc/meminfo").read_text(), re.M)
    return int(found[1]) * 1024


def lack_of_room(work, shp, unzipped, baseline_only):
    """Why the files would not fit, or None.

    GDAL writes a DXF's entities to a second file first, so while a DXF is
    made it takes twice its size. The first DXF stays for the comparison while
    ogr2ogr makes the other.
    """
    dxf = shp * DXF_PER_SHP
    kept = 0 if baseline_only else dxf
    needs = {work: unzipped + 2 * dxf + kept}
    if not baseline_only:
        if SHM.stat().st_dev == work.stat().st_dev:
            needs[work] = max(needs[work], unzipped + 3 * dxf)
        else:
            needs[SHM] = unzipped + 2 * dxf
    in_memory = 0
    for place, need in needs.items():
        need *= ROOM_MARGIN
        free = shutil.disk_usage(place).free
        if is_in_memory(place):
            in_memory = max(in_memory, need)
        if free < need:
            return f"{place} has {free / GIB:.1f} GiB free, about {need / GIB:.1f} GiB are needed"
    available = memory_available()
    if in_memory and available < in_memory + MEMORY_SPARE:
        return (
            f"files in memory take about {in_memory / GIB:.1f} GiB and the processes "
            f"{MEMORY_SPARE / GIB:.1f} GiB, but only {available / GIB:.1f} GiB of memory are available"
        )
    return None


def choose_work(asked, shp, unzipped, baseline_only):
    """A directory for the new, private directory of this benchmark."""
    places = [Path(asked)] if asked else [SHM, Path(tempfile.gettempdir())]
    reasons = []
    for place in places:
        if not place.is_dir() or not os.access(place, os.W_OK):
            reasons.append(f"{place} is no directory that can be written to")
            continue
        reason = lack_of_room(place, shp, unzipped, baseline_only)
        if reason is None:
            return place
        reasons.append(reason)
    raise Failure(
        "not enough room:\n  " + "\n  ".join(dict.fromkeys(reasons))
        + "\nAsk for less with --zip-bytes, or name a roomier place with --work."
    )


# --- The input ------------------------------------------------------------


def parse_size(text):
    found = re.fullmatch(r"(\d+)([KMG]?)", text.upper())
    if not found or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no size such as 400M")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[found[2]]


def input_zip(args):
    """The zip and what the generator said of it, from the cache if there."""
    # A changed generator produces other bytes, so its source is part of the cache key.
    source = hashlib.sha256(GENERATOR_SOURCE.read_bytes()).hexdigest()[:8]
    name = f"{args.stem}-{args.geometry}-{args.zip_bytes}"
    path = args.cache / f"{name}-{source}.zip"
    about = path.with_suffix(".json")
    if path.exists() and about.exists():
        return path, json.loads(about.read_text())

    args.cache.mkdir(parents=True, exist_ok=True)
    for stale in args.cache.glob(f"{name}-????????.*"):
        stale.unlink()
    free = shutil.disk_usage(args.cache).free
    if free < args.zip_bytes * ROOM_MARGIN:
        raise Failure(f"not enough room for the zip in {args.cache}: {free / MIB:.0f} MiB free")
    if not os.access(args.generator, os.X_OK):
        raise Failure(
            f"{args.generator} is missing: build the example (cargo build --release "
            "--examples) or name it with --generator"
        )
    print(f"making {path.name} ...", flush=True)
    part = path.with_name(path.name + ".part")
    log = args.cache / f"{name}-generator"
    command = [args.generator, path, "--zip-bytes", args.zip_bytes]
    command += ["--stem", args.stem, "--geometry", args.geometry]
    try:
        _, stdout, _ = measure(command, log)
    finally:
        part.unlink(missing_ok=True)
        for suffix in (".out", ".err"):
            log.with_suffix(suffix).unlink(missing_ok=True)
    about.write_text(stdout)
    return path, json.loads(stdout)


def read_through(path):
    """Into the page cache, so that no run pays for the disk."""
    with open(path, "rb") as file:
        while file.read(8 * MIB):
            pass


# --- The two contestants --------------------------------------------------


def run_cadmill(args, zip_path, out, work):
    command = [args.cadmill, "convert", zip_path, "--to", "dxf", "-o", out, "--json"]
    command += ["--memory", "4G", "--timeout", "30m"]
    command += [word for option in SAME for word in ("--opt", option)]
    figures, stdout, stderr = measure(command, work / "cadmill", watch=True)
    report = parse_json(stdout)
    figures["stages_s"] = flatten_timings(report)
    figures["json"] = report
    return figures, stderr


def run_pipeline(args, zip_path, out, work):
    """`unzip && ogr2ogr && rm -r`, the steps started one after another.

    Started from here rather than by a shell in order to have figures for each
    step; the clock runs across all of them all the same.
    """
    scratch = work / "T"
    steps = {
        "unzip": ["unzip", "-q", zip_path, "-d", scratch],
        "ogr2ogr": ["ogr2ogr", "-f", "DXF", out, scratch / f"{args.stem}.shp"],
        "rm": ["rm", "-r", scratch],
    }
    parts, stderrs = {}, []
    begin = time.monotonic()
    for name, command in steps.items():
        parts[name], _, stderr = measure(command, work / name)
        stderrs.append(stderr)
    wall = time.monotonic() - begin
    return {
        "wall_s": wall,
        "user_s": sum(part["user_s"] for part in parts.values()),
        "sys_s": sum(part["sys_s"] for part in parts.values()),
        "largest_process_rss_mib": max(p["largest_process_rss_mib"] for p in parts.values()),
        "stages_s": {name: part["wall_s"] for name, part in parts.items()},
    }, "\n".join(stderrs)


def entities(path):
    """Where the section of entities lies in a drawing: its first byte, and the one after its last."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(1 * MIB)
        begin = head.index(b"\nENTITIES\n")
        # What follows the entities is short.
        file.seek(max(0, size - 1 * MIB))
        tail = file.read()
    # The first end of a section before that of the last one.
    end = tail.index(b"\nENDSEC\n", tail.index(b"\nOBJECTS\n") - 64)
    return begin, size - len(tail) + end


def first_difference(a, b):
    """Offset of the first differing byte in the entities, or None if they are equal."""
    (begin_a, end_a), (begin_b, end_b) = entities(a), entities(b)
    if end_a - begin_a != end_b - begin_b:
        return min(end_a - begin_a, end_b - begin_b)
    offset, left = 0, end_a - begin_a
    with open(a, "rb") as one, open(b, "rb") as other:
        one.seek(begin_a)
        other.seek(begin_b)
        while left:
            p, q = one.read(min(left, 8 * MIB)), other.read(min(left, 8 * MIB))
            if p != q:
                same = next((i for i, (x, y) in enumerate(zip(p, q)) if x != y), None)
                return offset + (min(len(p), len(q)) if same is None else same)
            offset, left = offset + len(p), left - len(p)
    return None


# --- The whole ------------------------------------------------------------


def require_tools(args):
    for tool, package in (("unzip", "unzip"), ("ogr2ogr", "gdal-bin")):
        if shutil.which(tool) is None:
            raise Failure(f"{tool} is missing: apt-get install {package}")
    if args.baseline_only:
        return
    if not os.access(args.cadmill, os.X_OK):
        raise Failure(
            f"{args.cadmill} is missing: cargo build --release, or name it with --cadmill"
        )
    if not os.access(args.cadmill.parent / "cadmill-engine-host", os.X_OK):
        print("note: no cadmill-engine-host beside cadmill; cadmill must find it by itself")


def first_line(*command):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    return (done.stdout.strip().splitlines() or ["unknown"])[0]


def machine(args):
    cpu = re.search(r"^model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.M)
    about = {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB, 1),
        "kernel": platform.release(),
        "load_at_start": os.getloadavg()[0],
        "ogr2ogr": first_line("ogr2ogr", "--version"),
    }
    if not args.baseline_only:
        about["cadmill"] = first_line(args.cadmill, "--version")
    return about


def run_all(args, zip_path, work):
    """A B A B ..., so that a drift of the machine falls on both alike."""
    runs, seen, verdict = [], set(), None
    a, b = work / "a.dxf", work / "b.dxf"
    contestants = [("unzip+ogr2ogr", run_pipeline, b)]
    if not args.baseline_only:
        contestants.insert(0, ("cadmill", run_cadmill, a))
    for number in range(1, args.runs + 1):
        compare = number == 1 and not args.baseline_only
        keep = args.keep and number == args.runs
        for name, run, out in contestants:
            # Data left by earlier runs for writeback must not count for this run.
            os.sync()
            figures, stderr = run(args, zip_path, out, work)
            if not out.exists():
                raise Failure(f"{name} ended well but left no {out.name}")
            figures.update(run=number, what=name, output_bytes=out.stat().st_size)
            runs.append(figures)
            report_noise(name, stderr, seen)
            print(f"run {number} {name}: {figures['wall_s']:.2f} s", flush=True)
            if not (compare or keep):
                out.unlink()
        if compare:
            offset = first_difference(a, b)
            verdict = {"identical": offset is None, "first_difference": offset}
            if not keep:
                a.unlink()
                b.unlink()
    return runs, verdict


def median(runs, what, key):
    return statistics.median(run[key] for run in runs if run["what"] == what)


def stage_medians(runs, what):
    collected = {}
    for run in runs:
        if run["what"] == what:
            for stage, seconds in run["stages_s"].items():
                collected.setdefault(stage, []).append(seconds)
    return {stage: statistics.median(values) for stage, values in collected.items()}


def summarise(runs):
    summary = {"medians": {}}
    for what in dict.fromkeys(run["what"] for run in runs):
        keys = ("wall_s", "user_s", "sys_s", "largest_process_rss_mib")
        summary["medians"][what] = {key: median(runs, what, key) for key in keys}
        summary["medians"][what]["stages_s"] = stage_medians(runs, what)
    ours = [run for run in runs if run["what"] == "cadmill"]
    theirs = [run for run in runs if run["what"] != "cadmill"]
    if ours:
        pairs = [a["wall_s"] / b["wall_s"] for a, b in zip(ours, theirs)]
        medians = summary["medians"]
        summary["ratio_of_medians"] = (
            medians["cadmill"]["wall_s"] / medians["unzip+ogr2ogr"]["wall_s"]
        )
        summary["pair_ratios"] = {
            "min": min(pairs),
            "median": statistics.median(pairs),
            "max": max(pairs),
        }
        summary["parent_peak_rss_mib"] = max(run["parent_peak_rss_mib"] for run in ours)
    return summary


def print_table(runs, summary):
    print()
    header = ("run", "what", "wall s", "user s", "sys s", "parent MiB", "largest MiB", "DXF MiB")
    layout = "{:>6}  {:<14}{:>9}{:>9}{:>8}{:>12}{:>13}{:>10}"
    print(layout.format(*header))

    def row(label, run, output):
        parent = run.get("parent_peak_rss_mib")
        print(
            layout.format(
                label,
                run["what"],
                f"{run['wall_s']:.2f}",
                f"{run['user_s']:.2f}",
                f"{run['sys_s']:.2f}",
                "-" if parent is None else f"{parent:.1f}",
                f"{run['largest_process_rss_mib']:.1f}",
                output,
            )
        )

    for run in runs:
        row(run["run"], run, f"{run['output_bytes'] / MIB:.1f}")
    for what, medians in summary["medians"].items():
        row("median", {"what": what, **medians}, "")
    for what, medians in summary["medians"].items():
        print(f"\nstages of {what}, medians in s:")
        for stage, seconds in medians["stages_s"].items():
            print(f"  {stage:<40}{seconds:>9.2f}")


def conclude(args, about, zip_facts, runs, verdict):
    summary = summarise(runs)
    print_table(runs, summary)
    figures = {
        "machine": about,
        "input": zip_facts,
        "runs": runs,
        "comparison": verdict,
        **summary,
    }
    args.result.parent.mkdir(parents=True, exist_ok=True)
    args.result.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nall figures: {args.result}")
    if args.baseline_only:
        return True
    if verdict["identical"]:
        print("entities of cadmill and ogr2ogr: byte-identical")
    else:
        print(f"entities of cadmill and ogr2ogr: DIFFERENT from byte {verdict['first_difference']} on")
    pairs = summary["pair_ratios"]
    print(f"peak RSS of the cadmill process itself: {summary['parent_peak_rss_mib']:.1f} MiB")
    print(
        f"ratios per pair: min {pairs['min']:.2f}, median {pairs['median']:.2f}, "
        f"max {pairs['max']:.2f}"
    )
    print(f"ratio of medians cadmill / (unzip + ogr2ogr): {summary['ratio_of_medians']:.2f}")
    return verdict["identical"]


def bench(args):
    require_tools(args)
    # Refuse by a rough estimate, before spending a minute on the zip.
    shp = args.zip_bytes * SHP_PER_ZIP
    choose_work(args.work, shp, shp * 1.15, args.baseline_only)
    zip_path, zip_facts = input_zip(args)
    with zipfile.ZipFile(zip_path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    shp, unzipped = sizes[f"{args.stem}.shp"], sum(sizes.values())
    place = choose_work(args.work, shp, unzipped, args.baseline_only)

    zip_facts.update(name=zip_path.name, geometry=args.geometry, unzipped_bytes=unzipped)
    about = machine(args)
    print(
        f"{zip_path.name}: zip {zip_path.stat().st_size / MIB:.1f} MiB, "
        f".shp {shp / MIB:.1f} MiB, {zip_facts['features']} features, "
        f"{zip_facts['vertices']} vertices"
    )
    if about["load_at_start"] > 0.5 * about["cores"]:
        print(
            f"note: the load is {about['load_at_start']:.1f} before the start; "
            "if that is other work, the figures are not to be trusted"
        )
    work = Path(tempfile.mkdtemp(prefix="cadmill-bench-", dir=place))
    kept = False
    try:
        print(f"working in {work}", flush=True)
        about["work_in_memory"] = is_in_memory(work)
        read_through(zip_path)
        runs, verdict = run_all(args, zip_path, work)
        kept = args.keep
        return conclude(args, about, zip_facts, runs, verdict)
    finally:
        if kept:
            print(f"kept: {work}", file=sys.stderr)
        else:
            shutil.rmtree(work, ignore_errors=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, help="pairs of runs (default 3)")
    parser.add_argument("--zip-bytes", type=parse_size, help="size of the zip (default 400M)")
    parser.add_argument("--small", action="store_true", help="--zip-bytes 20M --runs 5")
    parser.add_argument("--geometry", choices=("polygon", "polyline"), default="polygon")
    parser.add_argument("--stem", default="parcels", help="name of the shapefile")
    parser.add_argument("--cadmill", type=Path, default=TARGET / "release/cadmill")
    parser.add_argument(
        "--generator", type=Path, default=TARGET / "release/examples/big-shapefile"
    )
    parser.add_argument(
        "--work", help="where the files go (default: /dev/shm if there is room, else $TMPDIR)"
    )
    parser.add_argument("--cache", type=Path, default=TARGET / "bench", help="keeps the zip")
    parser.add_argument("--result", type=Path, default=TARGET / "bench/convert.json")
    parser.add_argument("--keep", action="store_true", help="keep the DXFs of the last runs")
    parser.add_argument(
        "--baseline-only", action="store_true", help="run unzip and ogr2ogr alone"
    )
    args = parser.parse_args()
    args.runs = args.runs if args.runs is not None else (5 if args.small else 3)
    args.zip_bytes = args.zip_bytes or (20 if args.small else 400) * MIB
    if args.runs < 1:
        parser.error("--runs must be at least 1")
    # Relative to the caller's directory, not to the working directory of a child.
    args.cadmill, args.generator = args.cadmill.resolve(), args.generator.resolve()
    args.cache, args.result = args.cache.resolve(), args.result.resolve()
    return args


def main():
    def interrupted(number, _frame):
        # Once is enough: the clean-up itself must not be interrupted.
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        return 0 if bench(arguments()) else 1
    except (Failure, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
