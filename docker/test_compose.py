#!/usr/bin/env python3
"""Runs docker/compose.yaml with podman-compose, and shows what a deployment relies on.

Containers are confined; jobs of all engines go from end to end; a job over a memory limit is named and its worker lives; a
worker that is stopped gives its job back; the job of one that is killed is finished by another; an update that replaces
each container in the middle of 50 jobs loses and doubles nothing; and no plaintext is left in any tmpfs, no object
in the bucket and no message in a queue. Run by docker/test_containers.sh, with the Python that has boto3.
"""

import concurrent.futures
import hashlib
import json
import os
import random
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import boto3

REPOSITORY = Path(__file__).resolve().parents[1]
REAL = REPOSITORY / "tests/fixtures/real"
MODELS = REPOSITORY / "target/models-node/node_modules/occt-import-js/test/testfiles"
PROJECT = "cadmill-test"
TOKEN = secrets.token_hex(32)
# How long anything may take on a machine that is busy with other tests, in seconds.
PATIENCE = 240
# Longer than a lease is valid after its worker was killed.
LEASE = 30
PROGRAMS = ["api-1", "api-2", "worker-1", "worker-2", "cleanup"]
WORKERS = ["worker-1", "worker-2"]
# Below what the largest of the models here needs.
ENGINE_MEMORY = "300M"

SHORT = REAL / "gis/naturalearth_lowres.zip"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


S3_PORT, API_PORT, API_PORT_2 = (free_port() for _ in range(3))
APIS = [f"http://127.0.0.1:{port}" for port in (API_PORT, API_PORT_2)]
SETTINGS = {
    "CADMILL_API_TOKENS": f"team:{hashlib.sha256(TOKEN.encode()).hexdigest()}",
    "CADMILL_S3_PORT": str(S3_PORT),
    "CADMILL_API_PORT": str(API_PORT),
    "CADMILL_API_PORT_2": str(API_PORT_2),
    "CADMILL_LIMITS_MEMORY": ENGINE_MEMORY,
}


def stl(triangles):
    """A model whose conversion to 3MF takes some seconds for 200,000 triangles."""
    of = random.Random(1)
    block = b"".join(struct.pack("<12fH", *(of.uniform(-1000, 1000) for _ in range(12)), 0) for _ in range(10_000))
    return b"cadmill".ljust(80) + struct.pack("<I", triangles) + block * (triangles // 10_000)


def run(*command, check=True, **others):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **others)
    if check and done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def podman(*arguments, check=True):
    return run("podman", *arguments, check=check).stdout.strip()


def name_of(service):
    return f"{PROJECT}_{service}_1"


def compose(*arguments, files=(), check=True, **settings):
    """podman-compose with these variables on top of those of all tests."""
    command = ["podman-compose", "--project-name", PROJECT, "--file", str(REPOSITORY / "docker/compose.yaml")]
    for file in files:
        command += ["--file", str(file)]
    return run(*command, *arguments, check=check, env={**os.environ, **SETTINGS, **settings})


def inspected(service):
    return json.loads(podman("container", "inspect", name_of(service)))[0]


def process(service):
    pid = inspected(service)["State"]["Pid"]
    assert pid, f"{service} does not run:\n{log(service)}"
    return Path("/proc") / str(pid)


def log(service):
    done = run("podman", "logs", name_of(service), check=False)
    return done.stdout + done.stderr


def lines(service):
    """What it logged, one object for each line."""
    return [json.loads(line) for line in log(service).splitlines() if line.startswith("{")]


def until(what, condition, patience=PATIENCE):
    """The first result of the condition that counts as true."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.1)
    raise AssertionError(f"not within {patience} s: {what}")


def start(*services, files=(), **settings):
    compose("up", "--detach", *services, files=files, **settings)
    for service in services:
        try:
            until(f"{service} is healthy", lambda: is_healthy(service), 60)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{log(service)[-3000:]}") from None


def is_healthy(service):
    # Without systemd podman runs no health check by itself.
    return run("podman", "healthcheck", "run", name_of(service), check=False).returncode == 0


def send(method, url, headers, body=None):
    headers = {"content-type": "application/octet-stream", **headers}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Client:
    """Asks one API, and if it does not answer the other, as behind a load balancer."""

    def __init__(self):
        self.turn = random.randrange(2)

    def call(self, method, path, body=None):
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        end = time.monotonic() + PATIENCE
        while True:
            self.turn += 1
            try:
                code, reply = send(method, APIS[self.turn % 2] + path, headers, json.dumps(body).encode() if body else None)
            except OSError:
                code, reply = 503, b""
            if code not in (502, 503, 429) or time.monotonic() > end:
                return code, json.loads(reply or b"{}")
            time.sleep(0.2)

    def submit(self, name, content, target, **more):
        # With an id of the client, so that sending it again does not make a second job.
        job = str(uuid.uuid4())
        order = {"job_id": job, "file_name": name, "size_bytes": len(content), "target_format": target, **more}
        code, created = self.call("POST", "/api/jobs", order)
        assert code in (200, 201), created
        upload = created["upload"]
        if upload:
            code, reply = send("PUT", upload["url"], upload["headers"], content)
            assert code == 200, reply
        return job

    def status(self, job):
        code, status = self.call("GET", f"/api/jobs/{job}/status")
        assert code == 200, status
        return status

    def ended(self, job):
        return until(f"job {job} ends", lambda: (status := self.status(job))["state"] not in ("PENDING", "PROCESSING") and status)

    def fetched(self, job):
        """The result of a job that completed, whose download is confirmed."""
        status = self.ended(job)
        assert status["state"] == "COMPLETED", status
        code, result = send("GET", status["download"]["url"], status["download"].get("headers") or {})
        assert code == 200, result
        code, reply = self.call("POST", f"/api/jobs/{job}/downloaded")
        assert code in (200, 204, 404), reply
        return result


def holder(job, patience=PATIENCE):
    """The worker that has claimed the job last, and its attempt."""

    def claimed():
        found = []
        for worker in WORKERS:
            for line in lines(worker):
                if line.get("job.id") == job and line["message"] == "claimed":
                    found.append((line["attempt"], worker))
        return max(found, default=None)

    attempt, worker = until(f"a worker claims {job}", claimed, patience)
    return worker, attempt


def converting(job):
    """Waits until the engine works on the job, and returns its worker."""
    client = Client()
    worker, _ = holder(job)

    def engine_works():
        status = client.status(job)
        assert status["state"] in ("PENDING", "PROCESSING"), f"the job ended too early: {status}"
        return status["stage"] == "convert"

    until("the engine works", engine_works)
    return worker


def files_in_memory(service):
    """Files in each tmpfs that the container's user may write to, seen from outside."""
    root = process(service)
    found = []
    for line in (root / "mountinfo").read_text().splitlines():
        fields, kind = line.split(" - ")
        path = fields.split()[4]
        if kind.split()[0] != "tmpfs" or path.startswith(("/proc", "/sys")) or path == "/dev" or not (root / "root" / path.lstrip("/")).is_dir():
            continue
        for directory, _, names in os.walk(root / "root" / path.lstrip("/")):
            found += [os.path.join(directory, name).removeprefix(f"{root}/root") for name in names]
    return found


class Compose(unittest.TestCase):
    """In the order of their names: each leaves the containers as it found them."""

    @classmethod
    def setUpClass(cls):
        compose("down", check=False)
        cls.place = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.place.chmod(0o755)
        cls.addClassCleanup(cls.down)
        # The programs end when their stores are not there, and are started again; here that would only take time.
        start("emulators")
        start(*PROGRAMS)
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        cls.aws = {service: boto3.client(service, endpoint_url=f"http://127.0.0.1:{S3_PORT}", **keys) for service in ("s3", "sqs")}
        cls.client = Client()
        # By containers that are not there any more.
        cls.logged = []

    @classmethod
    def down(cls):
        compose("down")
        # conmon notes there, where podman-compose works, that the kernel ended a process.
        (REPOSITORY / "docker/oom").unlink(missing_ok=True)
        left = podman("ps", "--all", "--filter", f"label=io.podman.compose.project={PROJECT}", "--format", "{{.Names}}")
        assert not left, f"containers are left: {left}"
        run("podman", "network", "rm", "--force", f"{PROJECT}_cadmill")

    def tearDown(self):
        if any(error for _, error in self._outcome.result.errors + self._outcome.result.failures):
            for service in ["emulators", *PROGRAMS]:
                print(f"--- {service}\n{log(service)[-3000:]}", file=sys.stderr)

    def test_1_containers_are_confined(self):
        for service in ["emulators", *PROGRAMS]:
            about, root = inspected(service), process(service)
            status = dict(line.split(":\t", 1) for line in (root / "status").read_text().splitlines() if ":\t" in line)
            self.assertEqual(set(status["Uid"].split()), {"65534"}, service)
            self.assertEqual([status[f"Cap{kind}"] for kind in ("Prm", "Eff", "Bnd", "Amb", "Inh")], ["0" * 16] * 5, service)
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), service)
            self.assertTrue(about["HostConfig"]["ReadonlyRootfs"], service)
            self.assertGreater(about["HostConfig"]["Memory"], 0, service)
            limit = self.memory_of(root, "memory.limit_in_bytes", "memory.max")
            self.assertEqual(int(limit), about["HostConfig"]["Memory"], service)
            # Nothing that can be written but memory, and what belongs to root.
            for line in (root / "mountinfo").read_text().splitlines():
                fields, kind = line.split(" - ")
                path, options, kind = fields.split()[4], fields.split()[5].split(","), kind.split()[0]
                if "rw" in options and kind not in ("tmpfs", "proc", "devpts", "mqueue", "devtmpfs"):
                    self.assertIn(path, ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/run/.containerenv"), service)
                    self.assertEqual((root / "root" / path.lstrip("/")).stat().st_uid, 0, service)

    def memory_of(self, root, old, new):
        """A file of the control group of its memory, of the first or the second version."""
        groups = [line.split(":", 2) for line in (root / "cgroup").read_text().splitlines()]
        for _, controllers, path in groups:
            if "memory" in controllers.split(","):
                return Path(f"/sys/fs/cgroup/memory{path}/{old}").read_text()
        (path,) = [path for number, _, path in groups if number == "0"]
        return Path(f"/sys/fs/cgroup{path}/{new}").read_text()

    def killed_by_the_kernel(self, service):
        """Number of processes that had no memory."""
        events = self.memory_of(process(service), "memory.oom_control", "memory.events")
        return int(dict(line.split() for line in events.splitlines())["oom_kill"])

    def test_2_jobs_of_all_engines(self):
        jobs = [
            (SHORT, "dxf", lambda result: result.endswith(b"EOF\r\n")),
            (REAL / "mesh/rabbit.obj", "ply", lambda result: result.startswith(b"ply\n")),
            (MODELS / "cube-units/cube-mm.step", "glb", lambda result: result.startswith(b"glTF")),
        ]
        for file, target, right in jobs:
            for _ in APIS:
                result = self.client.fetched(self.client.submit(file.name, file.read_bytes(), target))
                self.assertTrue(right(result), f"{file.name}: {result[:100]}")

    def test_3_a_job_over_the_memory_limit_is_named_and_the_worker_lives(self):
        before = {worker: inspected(worker)["State"]["StartedAt"] for worker in WORKERS}
        job = self.client.submit("large.stl", stl(1_000_000), "obj")
        status = self.client.ended(job)
        self.assertEqual((status["state"], status["failure"]["code"]), ("FAILED", "limit.memory"), status)
        self.client.fetched(self.client.submit(SHORT.name, SHORT.read_bytes(), "dxf"))
        self.assertEqual(before, {worker: inspected(worker)["State"]["StartedAt"] for worker in WORKERS})

    def test_4_a_worker_that_is_stopped_gives_its_job_back(self):
        job = self.client.submit("slow.stl", stl(300_000), "3mf")
        first = converting(job)
        self.assertTrue(files_in_memory(first), "otherwise a test below would find nothing as well")
        podman("stop", "--time", "60", name_of(first))
        self.assertEqual(inspected(first)["State"]["ExitCode"], 0, log(first))
        # In the record at once, and not when the lease ends. Its message may be with a request of the stopped worker that
        # the emulator still answers, so that the other one gets it later.
        status = self.client.status(job)
        self.assertTrue(status["state"] == "PENDING" or holder(job)[0] != first, status)
        self.client.fetched(job)
        self.assertEqual(holder(job)[0], ({*WORKERS} - {first}).pop())
        podman("start", name_of(first))
        until(f"{first} is healthy", lambda: is_healthy(first))

    def test_5_the_job_of_a_killed_worker_is_finished_by_another(self):
        job = self.client.submit("slow.stl", stl(300_000), "3mf")
        first = converting(job)
        podman("kill", "--signal", "KILL", name_of(first))
        self.client.fetched(job)
        second, attempt = holder(job)
        self.assertNotEqual(first, second)
        self.assertEqual(attempt, 2)
        podman("start", name_of(first), check=False)
        until(f"{first} is healthy", lambda: is_healthy(first))

    def test_6_the_kernel_ends_the_engine_and_not_the_worker(self):
        """The limit of the container is below that of the engine: a mistake of the operator."""
        override = {"mem_limit": "420m", "environment": {"CADMILL_WORKER_MEMORY": "4G"}}
        self.replace(*WORKERS, files=[self.override(override)], CADMILL_LIMITS_MEMORY="2G")
        before = {worker: inspected(worker)["State"]["StartedAt"] for worker in WORKERS}
        job = self.client.submit("large.stl", stl(600_000), "collada")
        status = self.client.ended(job)
        self.assertEqual((status["state"], status["failure"]["code"]), ("FAILED", "limit.machine_memory"), status)
        self.assertGreaterEqual(sum(self.killed_by_the_kernel(worker) for worker in WORKERS), 1)
        self.client.fetched(self.client.submit(SHORT.name, SHORT.read_bytes(), "dxf"))
        self.assertEqual(before, {worker: inspected(worker)["State"]["StartedAt"] for worker in WORKERS})
        self.replace(*WORKERS)

    def override(self, service):
        """A file that changes both workers."""
        file = self.place / f"override-{uuid.uuid4()}.yaml"
        file.write_text(json.dumps({"services": dict.fromkeys(WORKERS, service)}))
        return file

    def replace(self, *services, files=(), **settings):
        """Stops the containers one after the other, and makes each anew."""
        for service in services:
            podman("stop", "--time", "60", name_of(service))
            self.assertEqual(inspected(service)["State"]["ExitCode"], 0, log(service))
            self.logged += lines(service)
            podman("rm", name_of(service))
            start(service, files=files, **settings)

    def test_7_an_update_in_the_middle_of_50_jobs(self):
        images = {}
        for kind in ("api", "worker-cad", "cleanup"):
            podman("tag", f"localhost/cadmill-{kind}", f"localhost/cadmill-{kind}:next")
            images[kind] = f"localhost/cadmill-{kind}:next"
        next_images = {
            "CADMILL_API_IMAGE": images["api"],
            "CADMILL_WORKER_IMAGE": images["worker-cad"],
            "CADMILL_CLEANUP_IMAGE": images["cleanup"],
        }
        slow, short = stl(100_000), SHORT.read_bytes()
        ended = []

        def one(number):
            client = Client()
            # Over the whole time of the update.
            time.sleep(number * 0.7)
            if number % 5:
                job = client.submit(SHORT.name, short, "dxf")
                right = client.fetched(job).endswith(b"EOF\r\n")
            else:
                job = client.submit("slow.stl", slow, "3mf")
                right = client.fetched(job).startswith(b"PK")
            ended.append(job)
            return job, right

        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            jobs = [pool.submit(one, number) for number in range(50)]
            until("a job ended", lambda: ended)
            self.replace(*PROGRAMS, **next_images)
            self.assertLess(len(ended), 50, "no job ended after the update")
            results = [job.result() for job in jobs]
        self.assertTrue(all(right for _, right in results))
        completed = [line["job.id"] for line in self.logged + [line for worker in WORKERS for line in lines(worker)] if line["message"] == "completed"]
        self.assertEqual([completed.count(job) for job, _ in results], [1] * 50)
        for service in PROGRAMS:
            self.assertRegex(inspected(service)["ImageName"], ":next$")

    def test_8_engines_in_java(self):
        java = "/usr/local/lib/cadmill/java/assimp"
        engines = self.place / "engines.toml"
        # In the place of the library.
        engines.write_text(
            f'[[engine]]\nname = "assimp"\nkind = "jvm"\nlibrary = "{java}/cadmill-assimp.jar"\n[engine.jvm]\n'
            f'class_path = ["{java}/lwjgl-3.3.6.jar", "{java}/lwjgl-assimp-3.3.6.jar"]\nnatives = "{java}/natives"\n'
        )
        override = {"volumes": [f"{engines}:/etc/cadmill/engines.toml:ro"], "environment": {"CADMILL_ENGINES_FILE": "/etc/cadmill/engines.toml"}}
        self.replace(*WORKERS, files=[self.override(override)], CADMILL_WORKER_IMAGE="localhost/cadmill-worker-jvm")
        for worker in WORKERS:
            # What one job takes is too short to see its process.
            shown = podman("exec", name_of(worker), "/usr/local/bin/cadmill", "engines", "--engines-file", "/etc/cadmill/engines.toml")
            self.assertRegex(shown, r"(?m)^assimp: Assimp .*cadmill-assimp\.jar\)$")
        for _ in range(4):
            result = self.client.fetched(self.client.submit("rabbit.obj", (REAL / "mesh/rabbit.obj").read_bytes(), "ply"))
            self.assertTrue(result.startswith(b"ply\n"))

    def test_9_nothing_is_left(self):
        self.client.fetched(self.client.submit(SHORT.name, SHORT.read_bytes(), "dxf"))
        for service in PROGRAMS:
            until(f"no file is in memory of {service}", lambda: not files_in_memory(service), 30)
        s3, sqs = self.aws["s3"], self.aws["sqs"]

        def objects():
            versions = s3.list_object_versions(Bucket="bucket")
            return [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in versions.get(kind, ())]

        # Those of failed jobs too, when they are forgotten.
        code, page = self.client.call("GET", "/api/jobs")
        self.assertEqual(code, 200, page)
        for job in page["jobs"]:
            self.client.call("DELETE", f"/api/jobs/{job['job_id']}")
        until("no object is left", lambda: not objects())
        for name in ("queue", "deadletterqueue"):
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            until(f"no message is in {name}", lambda: set(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()) == {"0"})
        ledgers = s3.list_objects_v2(Bucket="ledgerbucket").get("Contents", [])
        self.assertTrue(any(one["Key"].endswith("/head.json") for one in ledgers))
        for service in PROGRAMS:
            podman("stop", "--time", "60", name_of(service))
            self.assertEqual(inspected(service)["State"]["ExitCode"], 0, f"{service}:\n{log(service)}")


if __name__ == "__main__":
    unittest.main(verbosity=2, failfast=True)
