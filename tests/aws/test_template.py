"""docker/aws/cadmill.yaml obeys every rule, and every rule finds the faults that it is for."""

import json
import re
import subprocess
import tempfile
import unittest

import rules
import template as reader
from template import TEMPLATE, changed

WHOLE = reader.read()
REGIONS = ("us-east-1", "eu-central-1", "ap-northeast-2")


def resource(template, name):
    return template["Resources"][name]["Properties"]


def statement(template, role, policy, sid):
    policies = {one["PolicyName"]: one["PolicyDocument"] for one in resource(template, role)["Policies"]}
    return next(one for one in policies[policy]["Statement"] if one["Sid"] == sid)


def container(template, task):
    return resource(template, task)["ContainerDefinitions"][0]


def variable(template, task, name):
    return next(one for one in container(template, task)["Environment"] if one["Name"] == name)


def set_in(*path, to):
    """A fault: a property has another value."""

    def change(template):
        place = resource(template, path[0])
        for key in path[1:-1]:
            place = place[key]
        assert path[-1] in place and place[path[-1]] != to, f"{path} is not there, or as it should be"
        place[path[-1]] = to

    return change


def without(*path):
    """A fault: a property is not there."""

    def change(template):
        place = resource(template, path[0])
        for key in path[1:-1]:
            place = place[key]
        del place[path[-1]]

    return change


def renamed(task, name, to):
    def change(template):
        variable(template, task, name)["Name"] = to

    return change


# Each fault, and a word of what the rule says.
FAULTS = {
    rules.rights: (
        (lambda t: statement(t, "WorkerRole", "worker", "TakeEvents")["Action"].remove("sqs:DeleteMessage"), "too little"),
        (lambda t: statement(t, "ApiRole", "api", "FindUploads")["Action"].append("s3:GetObject"), "too much"),
        (lambda t: statement(t, "WorkerRole", "worker", "ReadUploads").update(Resource="*"), "too much"),
        (lambda t: statement(t, "ApiRole", "api", "SignDownloads").pop("Condition"), "too much"),
        (lambda t: statement(t, "CleanupRole", "cleanup", "EndRecords").update(Effect="Deny"), "too little"),
        (lambda t: statement(t, "WorkerRole", "object-key", "UseObjectKey").pop("Condition"), "too much"),
        (lambda t: statement(t, "PipeRole", "pipe", "PassRoles").update(Resource="*"), "too much"),
        (lambda t: resource(t, "CleanupRole").update(ManagedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"]), "of others"),
        (lambda t: t["Resources"].update(More=t["Resources"]["CleanupRole"]), "the roles are"),
        (set_in("ApiTask", "TaskRoleArn", to={"Fn::GetAtt": ["WorkerRole", "Arn"]}), "another role"),
        (without("ApiRole", "AssumeRolePolicyDocument", "Statement", 0, "Condition"), "may be taken"),
    ),
    rules.environment: (
        (renamed("WorkerTask", "CADMILL_WORKSPACE", "CADMILL_WORKER_WORKSPACE"), "CADMILL_WORKER_WORKSPACE"),
        (renamed("ApiTask", "CADMILL_API_TRUSTED_PROXIES", "CADMILL_API_PROXIES"), "CADMILL_API_PROXIES"),
        (renamed("CleanupTask", "CADMILL_DYNAMODB_TABLE", "CADMILL_TABLE"), "CADMILL_TABLE"),
        (lambda t: variable(t, "WorkerTask", "CADMILL_WORKER_MEMORY").update(Value="8 gigabytes"), "worker.memory"),
        (lambda t: variable(t, "WorkerTask", "CADMILL_LIMITS_MEMORY").update(Value="60G"), "limits.memory"),
        (lambda t: container(t, "CleanupTask")["Environment"].append({"Name": "CADMILL_WORKER_NICE", "Value": "1"}), "without effect"),
    ),
    rules.tasks: (
        (lambda t: container(t, "ApiTask").update(ReadonlyRootFilesystem=False), "root"),
        (lambda t: container(t, "WorkerTask").pop("User"), "is root"),
        (lambda t: container(t, "WorkerTask")["LinuxParameters"]["Capabilities"].update(Add=["SYS_PTRACE"]), "capabilities"),
        (renamed("ApiTask", "CADMILL_AUDIT_SINKS", "CADMILL_AUDIT_SINK"), "may not write to"),
        (lambda t: container(t, "WorkerTask").update(StopTimeout=30), "killed after"),
        (lambda t: container(t, "WorkerTask")["LinuxParameters"]["Tmpfs"].pop(0), "not a tmpfs"),
        (lambda t: t["Mappings"]["WorkerSizes"]["large"].update(Memory="31744"), "Fargate has no"),
        (lambda t: t["Mappings"]["WorkerSizes"]["small"].update(Budget="8192M"), "the budget is"),
        (lambda t: t["Mappings"]["WorkerSizes"]["xlarge"].update(Tmpfs="61440"), "the workspace has"),
        (lambda t: variable(t, "WorkerTask", "CADMILL_WORKER_STOP_WITHIN").update(Value="115s"), "before it has stopped"),
        (lambda t: container(t, "CleanupTask")["HealthCheck"].update(Command=["CMD-SHELL", "true"]), "asked for its health"),
        (lambda t: container(t, "WorkerTask").update(Command=["worker"]), "as a service"),
    ),
    rules.objects: (
        (lambda t: resource(t, "Bucket")["LifecycleConfiguration"]["Rules"].append({"Id": "x", "Status": "Enabled", "Prefix": "audit/", "ExpirationInDays": 9}), "'audit/'"),
        (without("Bucket", "LifecycleConfiguration", "Rules", 0, "Prefix"), "is for None"),
        (lambda t: resource(t, "LedgerBucket").update(LifecycleConfiguration={"Rules": []}), "deletes ledgers"),
        (set_in("Bucket", "LifecycleConfiguration", "Rules", 1, "ExpirationInDays", to=1), "may still wait"),
        (without("Bucket", "NotificationConfiguration"), "no events"),
        (without("Bucket", "PublicAccessBlockConfiguration", "BlockPublicPolicy"), "made public"),
        (set_in("Bucket", "BucketEncryption", "ServerSideEncryptionConfiguration", 0, "ServerSideEncryptionByDefault", "KMSMasterKeyID", to="alias/aws/s3"), "another key"),
        (lambda t: resource(t, "Bucket").update(VersioningConfiguration={"Status": "Enabled"}), "as versions"),
        (set_in("Bucket", "CorsConfiguration", "Fn::If", 1, "CorsRules", 0, "AllowedHeaders", to=["if-none-match"]), "pages may do"),
        (lambda t: resource(t, "BucketPolicy")["PolicyDocument"]["Statement"].pop(0), "without TLS"),
        (lambda t: resource(t, "BucketPolicy")["PolicyDocument"]["Statement"].pop(1), "written twice"),
        (lambda t: resource(t, "LedgerBucketPolicy")["PolicyDocument"]["Statement"].append({"Sid": "All", "Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}), "allows something"),
        (set_in("LedgerKey", "KeySpec", to="ECC_NIST_P256"), "cannot sign"),
        (lambda t: t["Resources"]["LedgerBucket"].update(DeletionPolicy="Delete"), "with the stack"),
    ),
    rules.records: (
        (set_in("Table", "GlobalSecondaryIndexes", 1, "KeySchema", 0, "AttributeName", to="due"), "the table is"),
        (set_in("Table", "GlobalSecondaryIndexes", 0, "Projection", "ProjectionType", to="ALL"), "the table is"),
        (set_in("Table", "AttributeDefinitions", 4, "AttributeType", to="S"), "the table is"),
        (lambda t: resource(t, "Table")["GlobalSecondaryIndexes"].pop(), "the table is"),
        (lambda t: resource(t, "Table").update(TimeToLiveSpecification={"Enabled": True, "AttributeName": "due"}), "emptied"),
        (lambda t: resource(t, "Table").update(PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}), "backups"),
    ),
    rules.events: (
        (set_in("Queue", "RedrivePolicy", "maxReceiveCount", to=5), "dead letters of the queue"),
        (without("Queue", "RedrivePolicy"), "dead letters of the queue"),
        (set_in("UploadRule", "EventPattern", "detail", "object", "key", to=[{"prefix": "upload/"}]), "the rule is for"),
        (without("UploadRule", "Targets", 0, "DeadLetterConfig"), "is lost"),
        (set_in("QueuePolicy", "Queues", to=[{"Ref": "Queue"}]), "may not send to UndeliveredQueue"),
        (without("QueuePolicy", "PolicyDocument", "Statement", 0, "Condition"), "a queue allows"),
        (set_in("QueuePolicy", "PolicyDocument", "Statement", 0, "Condition", "ArnEquals", "aws:SourceArn", to={"Fn::GetAtt": ["Bucket", "Arn"]}), "may not send to Queue"),
    ),
    rules.start_modes: (
        (lambda t: t["Resources"]["UploadPipe"].pop("Condition"), "service: workers are started"),
        (lambda t: t["Resources"]["WorkerService"].pop("Condition"), "task-per-upload: workers are started"),
        (set_in("UploadPipe", "SourceParameters", "SqsQueueParameters", "BatchSize", to=10), "one message"),
        (set_in("UploadPipe", "TargetParameters", "EcsTaskParameters", "Overrides", "ContainerOverrides", 0, "Name", to="converter"), "the pipe passes"),
    ),
    rules.network: (
        (lambda t: resource(t, "ApiGroup")["SecurityGroupIngress"].append({"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "CidrIp": "0.0.0.0/0"}), "lets 0.0.0.0/0 in"),
        (without("TaskGroup", "SecurityGroupEgress"), "everything out"),
        (set_in("WorkerService", "NetworkConfiguration", "AwsvpcConfiguration", "AssignPublicIp", to="ENABLED"), "public addresses"),
        (set_in("PublicRoute", "RouteTableId", to={"Ref": "PrivateRoutes"}), "way to the internet"),
        (set_in("Listener", "Protocol", to="HTTP"), "without TLS"),
        (set_in("LoadBalancer", "LoadBalancerAttributes", 0, "Value", to="120"), "closes connections"),
        (set_in("TargetGroup", "HealthCheckPath", to="/readyz"), "another address"),
        (set_in("SigningEndpoint", "ServiceName", to={"Fn::Sub": "com.amazonaws.${AWS::Region}.ssm"}), "endpoints of"),
        (lambda t: resource(t, "Cluster")["Tags"].pop(), "before they can reach"),
        (lambda t: t["Resources"]["PublicB"].pop("DependsOn"), "before its way"),
    ),
    rules.alarms: (
        (lambda t: t["Resources"].pop("CadmillPlaintextLeft"), "CadmillPlaintextLeft"),
        (set_in("CadmillOrphans", "MetricName", to="cadmill_purges_total"), "is not printed"),
        (set_in("CadmillDeadLetters", "Dimensions", 1, "Value", to="dlq"), "is never dlq"),
        (lambda t: resource(t, "CadmillDeletionOverdue")["Dimensions"].pop(), "has the dimensions"),
        (set_in("CadmillLeasesLapse", "Dimensions", 0, "Value", to="cadmill-api"), "is never cadmill-api"),
        (set_in("CadmillEngineCrashes", "Metrics", 0, "Expression", to="SELECT SUM(cadmill_engine_crashes_total) FROM SCHEMA(cadmill, engine)"), "has the dimensions"),
        (set_in("CadmillNoWorker", "Metrics", 1, "Id", to="waiting"), "CadmillNoWorker computes"),
        (without("CadmillApiErrors", "Metrics", 2, "ReturnData"), "more than one result"),
        (set_in("WorkerScaling", "TargetTrackingScalingPolicyConfiguration", "TargetValue", to=1), "workers scale by"),
        (without("CadmillNoCleanup", "TreatMissingData"), "raises no alarm"),
        (without("CadmillJobsWait", "AlarmActions"), "does nothing"),
        (set_in("CadmillForbiddenCall", "MetricName", to="forbidden-calls"), "another metric"),
        (lambda t: variable(t, "ApiTask", "CADMILL_METRICS_EMF").update(Value="false"), "prints no metrics"),
        (lambda t: resource(t, "Dashboard").update(DashboardBody={"Fn::Sub": resource(t, "Dashboard")["DashboardBody"]["Fn::Sub"].replace('"delete"', '"purge"')}), "is never purge"),
    ),
}


class Template(unittest.TestCase):
    maxDiff = None

    def test_it_obeys_every_rule(self):
        for rule in FAULTS:
            with self.subTest(rule.__name__):
                self.assertEqual(list(rule(WHOLE)), [])

    def test_every_rule_finds_its_faults(self):
        for rule, faults in FAULTS.items():
            for number, (change, word) in enumerate(faults):
                with self.subTest(rule.__name__, number=number):
                    problems = list(rule(changed(WHOLE, change)))
                    self.assertTrue(any(word in problem for problem in problems), f"{word!r} is not in {problems}")

    def test_every_rule_is_tried(self):
        self.assertEqual(set(FAULTS), set(rules.RULES))

    def test_cloudformation_takes_it_with_the_request(self):
        self.assertLessEqual(len(TEMPLATE.read_bytes()), rules.LARGEST)

    def test_the_linter_finds_nothing(self):
        def findings(path, *regions):
            linter = reader.REPOSITORY / "target/lint-tools/bin/cfn-lint"
            command = [linter, "--format", "json", "-t", path, "-r", *regions]
            run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            self.assertEqual(run.stderr, "")
            return json.loads(run.stdout)

        self.assertEqual(findings(TEMPLATE, *REGIONS), [])
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as broken:
            broken.write(TEMPLATE.read_text().replace("ReadonlyRootFilesystem", "ReadOnlyRoot", 1))
            broken.flush()
            self.assertTrue(any("ReadOnlyRoot" in finding["Message"] for finding in findings(broken.name, REGIONS[0])))

    def test_the_wrapper_for_terraform_names_the_template(self):
        text = (reader.REPOSITORY / "docker/aws/terraform/main.tf").read_text()
        self.assertIn("../cadmill.yaml", text)
        self.assertIn("aws_cloudformation_stack", text)
        self.assertEqual(re.findall(r"CAPABILITY_\w+", text), ["CAPABILITY_IAM"])


if __name__ == "__main__":
    unittest.main()
