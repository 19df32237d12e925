"""AWS on this machine: moto, and a KMS beside it, because the keys of moto cannot sign with Ed25519."""

import base64
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
from botocore.config import Config
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from template import PSEUDO, REPOSITORY

KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "secret", "region_name": PSEUDO["AWS::Region"]}
# How long a server or a program may take, on a machine that is busy with other tests.
PATIENCE = 120
# Kills a process when the thread that started it ends.
TIED = ("setpriv", "--pdeathsig", "KILL")


class Lines:
    """What a process prints, in memory, read by a thread so that the process never waits."""

    def __init__(self, stream):
        self.lines = []
        self.thread = threading.Thread(target=self.read, args=(stream,), daemon=True)
        self.thread.start()

    def read(self, stream):
        with stream:
            self.lines.extend(stream)

    def text(self):
        return "".join(self.lines)

    def wait_for(self, word, process):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for line in list(self.lines):
                if word in line:
                    return line.split(word, 1)[1]
            if process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"{word!r} was not printed:\n{self.text()}")


class Moto:
    """A server of moto; `with` ends it."""

    def __enter__(self):
        program = REPOSITORY / "crates/stores/src/conformance/moto_server.py"
        command = [*TIED, sys.executable, program, "-H", "127.0.0.1", "-p", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = Lines(self.process.stdout)
        try:
            self.endpoint = self.lines.wait_for("Running on ", self.process).split()[0]
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.lines.thread.join()

    def client(self, service):
        # The emulator takes its time on a busy machine, and what it did is not to be asked for again.
        patient = Config(read_timeout=600, retries={"total_max_attempts": 1})
        return boto3.client(service, endpoint_url=self.endpoint, config=patient, **KEYS)


class Kms:
    """GetPublicKey and Sign of one Ed25519 key; `with` ends it."""

    def __init__(self, arn):
        self.arn = arn
        self.key = Ed25519PrivateKey.generate()
        self.signed = 0

    def __enter__(self):
        kms = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                operation = self.headers["x-amz-target"].removeprefix("TrentService.")
                answer = kms.answer(operation, request)
                body = json.dumps(answer or {"__type": "AccessDeniedException"}).encode()
                self.send_response(200 if answer else 400)
                self.send_header("content-type", "application/x-amz-json-1.1")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, operation, request):
        if request["KeyId"] != self.arn:
            return None
        if operation == "GetPublicKey":
            public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            return {"KeyId": self.arn, "PublicKey": base64.b64encode(public).decode()}
        if operation == "Sign" and (request["SigningAlgorithm"], request["MessageType"]) == ("ED25519_SHA_512", "RAW"):
            self.signed += 1
            signature = self.key.sign(base64.b64decode(request["Message"]))
            return {"KeyId": self.arn, "Signature": base64.b64encode(signature).decode()}
        return None
