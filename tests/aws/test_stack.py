"""The stack on moto, and the pipeline on it, with programs that are configured by the template alone.

moto leaves out what it does not know, which is listed here: the settings of the bucket that the
pipeline needs are applied from the template's own values, and the rest is only read, by the rules.
"""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import rules
import template as reader
from emulator import KEYS, PATIENCE, TIED, Kms, Lines, Moto
from template import GIVEN, REPOSITORY, Resolver

TOKEN = hashlib.sha256(b"a token of the tests").hexdigest()
ORIGIN = "https://app.example.com"
FILES = REPOSITORY / "tests/fixtures/real"
# Types that moto does not make.
LEFT_OUT = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::Logs::MetricFilter",
    "AWS::Pipes::Pipe",
    "AWS::S3::BucketPolicy",
    "AWS::SQS::QueuePolicy",
}


def without_cidr(value, resolver):
    """The template with the values of Fn::Cidr, which moto does not know."""
    if isinstance(value, list):
        return [without_cidr(item, resolver) for item in value]
    if isinstance(value, dict):
        return resolver.value(value) if "Fn::Cidr" in value else {key: without_cidr(item, resolver) for key, item in value.items()}
    return value


class Program:
    """A container's program with its variables, of which some have to be others on this machine."""

    def __init__(self, container, directory, **others):
        self.variables = {**rules.variables(container), **others}
        own = [*container["entryPoint"], *container.get("command", [])]
        self.binary = rules.BINARIES / Path(own[0]).name
        self.check = container["healthCheck"]["command"]
        self.directory = directory
        self.process = subprocess.Popen(
            [*TIED, self.binary, *own[1:]], env={"PATH": os.environ["PATH"], **self.variables}, cwd=directory,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self.output, self.log = Lines(self.process.stdout), Lines(self.process.stderr)

    def wait_for(self, word):
        return self.log.wait_for(word, self.process)

    def is_healthy(self):
        assert self.check[0] == "CMD" and Path(self.check[1]).name == self.binary.name
        command = [self.binary, *self.check[2:]]
        return subprocess.run(command, env=self.variables, capture_output=True).returncode == 0

    def stop(self):
        """Its exit code, and the metrics that it printed: names and dimensions."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self.output.thread.join()
        printed = []
        for line in map(json.loads, self.output.lines):
            for directive in line["_aws"]["CloudWatchMetrics"]:
                assert directive["Namespace"] == "cadmill"
                (keys,) = directive["Dimensions"]
                printed += [(metric["Name"], {key: line[key] for key in keys}) for metric in directive["Metrics"]]
        return code, printed

    def kill(self):
        self.process.kill()
        self.process.wait()
        for lines in (self.output, self.log):
            lines.thread.join()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def send(method, url, headers, body=None):
    # Otherwise the type would be that of a form, whose body moto takes apart.
    headers = {"content-type": "application/octet-stream", **headers}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Stack(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.moto = cls.enterClassContext(Moto())
        certificate = cls.moto.client("acm").request_certificate(DomainName="cadmill.example.com")["CertificateArn"]
        cls.parameters = {
            **GIVEN,
            "CertificateArn": certificate,
            "ApiTokens": f"team:{hashlib.sha256(TOKEN.encode()).hexdigest()}",
            "WebOrigins": ORIGIN,
        }
        cls.template = reader.read()
        cls.resolver = Resolver(cls.template, **cls.parameters)
        cls.stacks = cls.moto.client("cloudformation")
        parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in cls.parameters.items()]
        body = json.dumps(without_cidr(cls.template, cls.resolver))
        cls.stacks.create_stack(StackName="cadmill", TemplateBody=body, Parameters=parameters, Capabilities=["CAPABILITY_IAM"])
        (cls.stack,) = cls.stacks.describe_stacks(StackName="cadmill")["Stacks"]
        cls.outputs = {output["OutputKey"]: output["OutputValue"] for output in cls.stack["Outputs"]}
        cls.apply_settings_of_the_buckets()

    @classmethod
    def apply_settings_of_the_buckets(cls):
        s3, bucket = cls.moto.client("s3"), cls.outputs["BucketName"]
        properties = cls.resolver.properties("Bucket")
        assert properties["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"]
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
        names = {"ExposedHeaders": "ExposeHeaders", "MaxAge": "MaxAgeSeconds"}
        cors = [{names.get(key, key): value for key, value in rule.items()} for rule in properties["CorsConfiguration"]["CorsRules"]]
        s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": cors})
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=properties["PublicAccessBlockConfiguration"])
        lifecycle = [
            {
                "ID": rule["Id"],
                "Status": rule["Status"],
                "Filter": {"Prefix": rule["Prefix"]},
                "Expiration": {"Days": int(rule["ExpirationInDays"])},
                "AbortIncompleteMultipartUpload": {name: int(days) for name, days in rule["AbortIncompleteMultipartUpload"].items()},
            }
            for rule in properties["LifecycleConfiguration"]["Rules"]
        ]
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": lifecycle})
        properties, ledgers = cls.resolver.properties("LedgerBucket"), cls.outputs["LedgerBucketName"]
        s3.put_bucket_versioning(Bucket=ledgers, VersioningConfiguration=properties["VersioningConfiguration"])
        assert properties["ObjectLockEnabled"]
        s3.put_object_lock_configuration(Bucket=ledgers, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})

    def containers(self):
        """The containers as ECS has them, by their names."""
        ecs = self.moto.client("ecs")
        for arn in ecs.list_task_definitions()["taskDefinitionArns"]:
            (container,) = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["containerDefinitions"]
            container["Environment"] = [{"Name": one["name"], "Value": one["value"]} for one in container["environment"]]
            yield container["name"], container

    def start(self, name, kms, command=None, **others):
        container = dict(self.containers())[name]
        if command:
            container["command"] = command
        directory = self.enterContext(tempfile.TemporaryDirectory(dir="/dev/shm"))
        aws = {
            "AWS_ENDPOINT_URL": self.moto.endpoint,
            "AWS_ENDPOINT_URL_KMS": kms.endpoint,
            "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
            "CADMILL_S3_PATH_STYLE": "true",
        }
        program = Program(container, directory, **aws, **others)
        self.addCleanup(program.kill)
        return program

    def test_everything_that_moto_knows_is_made(self):
        self.assertEqual(self.stack["StackStatus"], "CREATE_COMPLETE")
        made = {one.get("LogicalResourceId") for one in self.stacks.describe_stack_resources(StackName="cadmill")["StackResources"]}
        resources = self.template["Resources"]
        expected = {name for name, one in resources.items() if self.resolver.holds(one.get("Condition")) and one["Type"] not in LEFT_OUT}
        self.assertEqual(made - {None}, expected)
        missing = [name for name, output in self.template["Outputs"].items() if name not in self.outputs]
        self.assertEqual(missing, [])
        dynamodb = self.moto.client("dynamodb").describe_table(TableName=self.outputs["TableName"])["Table"]
        self.assertEqual([index["IndexName"] for index in dynamodb["GlobalSecondaryIndexes"]], ["by_owner", "by_due"])

    def test_a_file_goes_through_the_pipeline(self):
        kms = self.enterContext(Kms(self.outputs["LedgerKeyArn"]))
        ports = [free_port() for _ in range(3)]
        work = self.enterContext(tempfile.TemporaryDirectory(dir="/dev/shm"))
        cleanup = self.start("cleanup", kms, CADMILL_METRICS_LISTEN=f"127.0.0.1:{ports[0]}")
        api = self.start("api", kms, CADMILL_API_LISTEN=f"127.0.0.1:{ports[2]}")
        cleanup.wait_for("cleaning up every")
        self.url = api.wait_for("listening on ").strip()
        # Before there is a worker that waits for the same message.
        self.a_pipe_starts_a_task_for_an_upload(kms, work)
        worker = self.start("worker", kms, CADMILL_METRICS_LISTEN=f"127.0.0.1:{ports[1]}", CADMILL_WORKSPACE=work)
        worker.wait_for('"ready"')
        for program in (cleanup, worker, api):
            self.assertTrue(program.is_healthy(), program.log.text())

        self.assertEqual(send("GET", self.url + "/api/jobs", {})[0], 401)
        job, headers = self.submit(FILES / "gis/naturalearth_lowres.zip", "dxf")
        self.assertEqual(headers.get("if-none-match"), "*", "the policy of the bucket asks for it")
        status = self.ended(job, worker)
        self.assertEqual(status["state"], "COMPLETED", worker.log.text())
        code, result = send("GET", status["download"]["url"], status["download"]["headers"])
        self.assertEqual((code, result[-5:]), (200, b"EOF\r\n"))
        self.assertEqual(self.call("POST", f"/api/jobs/{job}/downloaded")[0], 204)

        # What the filter of CadmillForbiddenCall reads, with the code of another failure.
        failed, _ = self.submit(FILES / "hostile/moon_aborts_assimp.3mf", "glb")
        self.assertEqual(self.ended(failed, worker)["state"], "FAILED")
        filter = self.resolver.properties("ForbiddenCalls")["FilterPattern"]
        fields = dict(re.findall(r'\$\.(\w+) = "([\w.]+)"', filter)) | {"code": "engine.crashed"}
        lines = [json.loads(line) for line in worker.log.lines if line.startswith("{")]
        self.assertTrue(any(fields.items() <= line.items() for line in lines), worker.log.text())
        self.assertEqual(self.call("DELETE", f"/api/jobs/{failed}")[0] // 100, 2)

        self.nothing_is_left(cleanup)
        ledgers = self.moto.client("s3").list_objects_v2(Bucket=self.outputs["LedgerBucketName"])["Contents"]
        heads = [one["Key"] for one in ledgers if one["Key"].endswith("/head.json")]
        self.assertTrue(any(job in key for key in heads) and any(failed in key for key in heads), heads)
        self.assertGreaterEqual(kms.signed, 2)

        printed = []
        for program in (worker, api, cleanup):
            code, metrics = program.stop()
            self.assertEqual(code, 0, program.log.text())
            self.assertEqual(os.listdir(program.directory), [], "the container's root cannot be written")
            printed += metrics
        self.assertEqual(os.listdir(work), [])
        self.alarms_are_for(printed)

    def a_pipe_starts_a_task_for_an_upload(self, kms, work):
        """moto has no pipes, so the test takes the message, and passes of it what the template says."""
        mode = Resolver(self.template, **self.parameters, StartMode="task-per-upload")
        job, _ = self.submit(FILES / "gis/naturalearth_lowres.zip", "dxf")
        sqs, queue = self.moto.client("sqs"), self.outputs["QueueUrl"]
        messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20).get("Messages", [])
        self.assertEqual(len(messages), 1, "the upload sends one message")
        (message,) = messages
        target = mode.properties("UploadPipe")["TargetParameters"]["EcsTaskParameters"]
        (override,) = target["Overrides"]["ContainerOverrides"]
        passed = {one["Name"]: {"$.body": message["Body"]}[one["Value"]] for one in override["Environment"]}
        (container,) = mode.properties("WorkerTask")["ContainerDefinitions"]
        others = {"CADMILL_METRICS_LISTEN": f"127.0.0.1:{free_port()}", "CADMILL_WORKSPACE": work}
        task = self.start(override["Name"], kms, command=container["Command"], **others, **passed)
        self.assertEqual(task.process.wait(PATIENCE), 0, task.log.text())
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        self.assertEqual(self.ended(job, task)["state"], "COMPLETED")
        self.assertEqual(self.call("POST", f"/api/jobs/{job}/downloaded")[0], 204)

    def call(self, method, path, body=None):
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        code, reply = send(method, self.url + path, headers, json.dumps(body).encode() if body else None)
        return code, json.loads(reply or "{}")

    def submit(self, file, format):
        """A job with this file, and the headers of the upload."""
        content = file.read_bytes()
        order = {"file_name": file.name, "size_bytes": len(content), "target_format": format}
        until = time.monotonic() + PATIENCE
        code, job = self.call("POST", "/api/jobs", order)
        # Until the cleanup has its lease.
        while code == 503 and time.monotonic() < until:
            time.sleep(0.1)
            code, job = self.call("POST", "/api/jobs", order)
        self.assertEqual(code, 201, job)
        upload = job["upload"]
        self.assertEqual(send("PUT", upload["url"], upload["headers"], content)[0], 200)
        return job["job_id"], upload["headers"]

    def ended(self, job, worker):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            code, status = self.call("GET", f"/api/jobs/{job}/status")
            self.assertEqual(code, 200, status)
            if status["state"] not in ("PENDING", "PROCESSING"):
                return status
            time.sleep(0.1)
        self.fail(f"{status}\n{worker.log.text()}")

    def nothing_is_left(self, cleanup):
        """No object, no version, no message in any queue."""
        s3, sqs = self.moto.client("s3"), self.moto.client("sqs")
        until = time.monotonic() + PATIENCE
        left = None
        while time.monotonic() < until:
            versions = s3.list_object_versions(Bucket=self.outputs["BucketName"])
            left = [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in versions.get(kind, ())]
            for queue in sqs.list_queues()["QueueUrls"]:
                names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
                counts = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
                left += [queue for name in names if counts[name] != "0"]
            if not left:
                return
            time.sleep(0.2)
        self.fail(f"{left} are left\n{cleanup.log.text()}")

    def alarms_are_for(self, printed):
        """CloudWatch finds what each alarm and the dashboard look for."""
        looked = list(rules.shown_metrics(self.resolver))
        self.assertGreater(len(looked), 20)
        for name, metric, dimensions in looked:
            # Nothing was deleted late by the cleanup, and not every call fails in every way.
            if metric == "cadmill_purge_delay_seconds":
                continue
            any_value = None in dimensions.values()
            same = [set(have) == set(dimensions) if any_value else have == dimensions for what, have in printed if what == metric]
            self.assertTrue(any(same), f"{name}: {metric} {dimensions} is not among {[one for one in printed if one[0] == metric]}")


if __name__ == "__main__":
    unittest.main()
