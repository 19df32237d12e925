"""Checks with third-party readers the archives that the archive reader accepted.

For each archive in RUN/accepted, `unzip`, `bsdtar`, Python's zipfile and Java's
ZipFile must accept it too and give the same names and contents. Archives with a
disagreement are moved to RUN/disagreed with the reason. Runs until RUN/done exists
and no archive is left; fails if one disagreed or none was seen.

Allowed differences, because the readers differ by design:

- names without the UTF-8 flag that are not ASCII: each reader has its own
  encoding for them; contents are compared, names are not;
- names are compared in NFC: our reader normalises them, others do not;
- `unzip` runs with `-V`, so that it does not interpret `;1` at the end of a name
  as a VMS version;
- Debian's unzip 6.0 converts names with the UTF-8 flag that are marked as made
  on DOS, as Java's are, and drops bytes of other names: if a name is not ASCII it
  must only be able to read the archive, and may warn;
- the same unzip reports data descriptors as overlaps if an earlier entry had a
  Unicode path field: it is skipped then;
- Java accepts names and comments that are not UTF-8 only with another charset,
  which is passed to it; the names then differ;
- `-` with the mode of a pipe, as Info-ZIP writes it: bsdtar makes a pipe of it;
- names are compared as our reader spells them: without `./` at the beginning, with `/` for a
  backslash, and without the archive's own directory. `unzip` warns of both;
- Python, Java and bsdtar do not know Deflate64: 7-Zip reads such archives instead. Where it
  refuses two headers of an entry that differ, and the other readers do not, it reads the contents
  behind headers made anew;
- unzip and bsdtar refuse a zip64 locator that counts 0 disks.
"""

import hashlib
import json
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata
import zipfile
import zlib

RUN = pathlib.Path(sys.argv[1])
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8"}
READERS = ["python", "java", "unzip", "bsdtar", "7z"]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def nfc(name):
    return unicodedata.normalize("NFC", name)


class Disagreement(Exception):
    pass


class Java:
    def __init__(self, classes):
        command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-cp", classes, "Oracle"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self, path, legacy):
        charset = "IBM437" if legacy else "UTF-8"
        self.process.stdin.write(f"{path}\t{charset}\n")
        self.process.stdin.flush()
        lines = []
        while line := self.process.stdout.readline().strip("\n"):
            lines.append(line.split(" ", 1))
        refused = [rest for digest, rest in lines if digest == "error"]
        if refused:
            raise Disagreement(f"refuses it: {refused[0]}")
        return [(bytes.fromhex(rest).decode(), digest) for digest, rest in lines]


def read_python(path):
    with zipfile.ZipFile(path) as archive:
        return [(i.filename, sha256(archive.read(i))) for i in archive.infolist()]


def spelt(name):
    name = name.replace("\\", "/").removeprefix("./")
    return name.rstrip("/") + "/" if name.endswith("/") else name


def read_command(command, path, may_end_with=(0,)):
    """Extracts with a program; directories end with a slash, as in archives."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        line = [part.format(path=path, directory=directory) for part in command]
        run = subprocess.run(line, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True)
        # Exit code 1 of unzip is a warning, and counts as a disagreement too unless it is expected.
        if run.returncode not in may_end_with:
            raise Disagreement(f"ends with {run.returncode}: {run.stderr + run.stdout}")
        found = []
        for root, directories, files in os.walk(directory):
            for name in directories:
                found.append((os.path.relpath(os.path.join(root, name), directory) + "/", sha256(b"")))
            for name in files:
                file = os.path.join(root, name)
                if not stat.S_ISREG(os.lstat(file).st_mode):
                    raise Disagreement("makes a special file")
                content = pathlib.Path(file).read_bytes()
                found.append((os.path.relpath(file, directory), sha256(content)))
        return found


def with_plain_headers(path, infos, directory):
    """Writes the same compressed entries under the names 0, 1, 2, ... and with the plainest headers."""
    archive, body, listing = path.read_bytes(), b"", b""
    for number, i in enumerate(infos):
        name_length, extra_length = struct.unpack_from("<HH", archive, i.header_offset + 26)
        start = i.header_offset + 30 + name_length + extra_length
        name = str(number).encode()
        common = struct.pack("<HHHHHIIIHH", 21, 0, i.compress_type, 0, 33, i.CRC, i.compress_size, i.file_size, len(name), 0)
        listing += b"PK\1\2" + struct.pack("<H", 21) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name
        body += b"PK\3\4" + common + name + archive[start : start + i.compress_size]
    end = struct.pack("<HHHHIIH", 0, 0, len(infos), len(infos), len(listing), len(body), 0)
    plain = directory / path.name
    plain.write_bytes(body + listing + b"PK\5\6" + end)
    return plain


def with_parents(listing):
    """Adds the parent directories of files: extraction creates them."""
    names = dict(listing)
    for name, _ in listing:
        parts = name.rstrip("/").split("/")
        for depth in range(1, len(parts)):
            names.setdefault("/".join(parts[:depth]) + "/", sha256(b""))
    return sorted(names.items())


def compare(ours, theirs, legacy, extracted):
    theirs = [(spelt(nfc(os.fsencode(name).decode("utf-8", "replace"))), digest) for name, digest in theirs]
    theirs = [(name, digest) for name, digest in theirs if name not in ("", "/")]
    if legacy:
        # Compares digests only; the number of directories may differ.
        empty = sha256(b"")
        ours, theirs = ([d for _, d in side if d != empty] for side in (ours, theirs))
        same = sorted(ours) == sorted(theirs)
    elif extracted:
        same = with_parents(ours) == with_parents(theirs)
    else:
        same = sorted(ours) == sorted(theirs)
    if not same:
        raise Disagreement(f"reads {theirs} where we read {ours}")


def is_utf8(raw):
    try:
        raw.decode()
        return True
    except UnicodeDecodeError:
        return False


def confirm(path, java):
    ours = [tuple(entry) for entry in json.loads(path.with_suffix(".json").read_text())]
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        return f"python {error}"
    archive = path.read_bytes()
    # The flag of the data descriptor, of either header.
    streamed = any(i.flag_bits & 8 or archive[i.header_offset + 6] & 8 for i in infos)
    streamed = streamed and b"\x75\x70" in archive
    converted = any(i.create_system == 0 and not i.orig_filename.isascii() for i in infos)
    legacy = any(not i.flag_bits & 0x800 and not i.orig_filename.isascii() for i in infos)
    legacy = legacy or not all(is_utf8(i.comment) for i in infos)
    piped = any(i.external_attr >> 28 == 1 for i in infos)
    is_deflate64 = any(i.compress_type == 9 for i in infos)
    respelt = any("\\" in i.orig_filename or i.orig_filename in ("/", "./") for i in infos)
    end = archive.rindex(b"PK\5\6")
    no_disks = archive[end - 20 : end - 16] == b"PK\6\7" and archive[end - 4 : end] == bytes(4)
    skipped = {"7z"}
    if is_deflate64:
        skipped = {"python", "java", "bsdtar"}
    if no_disks:
        skipped |= {"unzip", "bsdtar"}
    reader = None
    try:
        for reader in READERS:
            if reader in skipped:
                continue
            if reader == "python":
                compare(ours, read_python(path), legacy, False)
            elif reader == "java":
                compare(ours, java.read(path, legacy), legacy, False)
            elif reader == "unzip":
                if streamed:
                    pass
                elif legacy or converted:
                    run = subprocess.run(["unzip", "-tqq", path], env=ENVIRONMENT, capture_output=True)
                    if run.returncode not in (0, 1):
                        raise Disagreement(f"ends with {run.returncode}: {run.stderr + run.stdout}")
                else:
                    line = ["unzip", "-qq", "-o", "-V", "{path}", "-d", "{directory}"]
                    theirs = read_command(line, path, (0, 1, 2) if respelt else (0,))
                    compare(ours, theirs, False, True)
            elif reader == "7z":
                command = ["7z", "x", "-y", "-bso0", "-bsp0", "-o{directory}", "{path}"]
                try:
                    compare(ours, read_command(command, path), legacy, True)
                except Disagreement as refused:
                    if "Headers Error" not in str(refused):
                        raise
                    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
                        plain = with_plain_headers(path, infos, pathlib.Path(directory))
                        # The names are its own, and an empty entry may have been a directory.
                        compare(ours, read_command(command, plain), True, True)
            elif not piped:
                theirs = read_command(["bsdtar", "-xf", "{path}", "-C", "{directory}"], path)
                compare(ours, theirs, legacy, True)
    except (Disagreement, zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        return f"{reader} {error}"
    return None


def main():
    java = Java(sys.argv[2])
    seen, disagreed = 0, 0
    accepted = RUN / "accepted"
    while True:
        is_last = (RUN / "done").exists()
        listings = sorted(accepted.glob("*.json"))
        for listing in listings:
            path = listing.with_suffix(".zip")
            reason = confirm(path, java)
            seen += 1
            if reason:
                disagreed += 1
                shutil.move(path, RUN / "disagreed" / path.name)
                (RUN / "disagreed" / f"{path.stem}.txt").write_text(reason + "\n")
                print(f"oracle: {path.name}: {reason[:300]}", flush=True)
            else:
                path.unlink()
            listing.unlink()
        if is_last and not listings:
            break
        if not listings:
            time.sleep(0.2)
    print(f"oracle: {seen} accepted archives, {disagreed} with a disagreement", flush=True)
    sys.exit(1 if disagreed or not seen else 0)


main()
