"""What must be true of docker/aws/cadmill.yaml. Each rule returns what is wrong, in words."""

import itertools
import json
import re
import subprocess

import source
from template import PSEUDO, REPOSITORY, Resolver, arn

BINARIES = REPOSITORY / "target/debug"
# Bytes of a template that CloudFormation takes with the request.
LARGEST = 51_200

# --- Rights ---

TASKS = arn("ecs", "task/cluster/*")
PLACEHOLDERS = {
    "BucketArn": "arn:aws:s3:::bucket",
    "TableArn": arn("dynamodb", "table/table"),
    "QueueArn": arn("sqs", "queue"),
    "DeadLetterQueueArn": arn("sqs", "deadletterqueue"),
    "LedgerBucketArn": "arn:aws:s3:::ledgerbucket",
    "LedgerKeyArn": arn("kms", "key/ledgerkey"),
    "TasksArn": TASKS,
}
USE_OBJECT_KEY = {
    "Sid": "UseObjectKey",
    "Effect": "Allow",
    "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
    "Resource": arn("kms", "key/objectkey"),
    "Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}},
}
ROLE = "arn:aws:iam::123456789012:role/"
# The policies of each role; a name with .json is a document that the tests of permissions decide by.
RIGHTS = {
    "WorkerRole": {"worker": "worker.json", "object-key": [USE_OBJECT_KEY]},
    "ApiRole": {"api": "api.json", "object-key": [USE_OBJECT_KEY]},
    "CleanupRole": {"cleanup": "cleanup.json"},
    "ExecutionRole": {
        "start": [
            {"Sid": "EnterRegistry", "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
            {
                "Sid": "TakeImages",
                "Effect": "Allow",
                "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                "Resource": "arn:aws:ecr:us-east-1:*:repository/*",
            },
            {
                "Sid": "WriteLogs",
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": [arn("logs", f"log-group:{name}logs:*") for name in ("worker", "api", "cleanup")],
            },
        ]
    },
    "PipeRole": {
        "pipe": [
            {
                "Sid": "TakeEvents",
                "Effect": "Allow",
                "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
                "Resource": arn("sqs", "queue"),
            },
            {
                "Sid": "StartWorkers",
                "Effect": "Allow",
                "Action": "ecs:RunTask",
                "Resource": arn("ecs", "task-definition/workertask:1"),
                "Condition": {"ArnEquals": {"ecs:cluster": arn("ecs", "cluster/cluster")}},
            },
            {
                "Sid": "PassRoles",
                "Effect": "Allow",
                "Action": "iam:PassRole",
                "Resource": [ROLE + "workerrole", ROLE + "executionrole"],
                "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            },
        ]
    },
}
# Which role a task or a pipe acts as, and who may take it.
ACTORS = {"WorkerTask": "WorkerRole", "ApiTask": "ApiRole", "CleanupTask": "CleanupRole"}
TRUST = {"PipeRole": "pipes.amazonaws.com"}


def grants(statements):
    """Each statement, action and resource, with the condition."""
    result = set()
    for statement in statements:
        unknown = set(statement) - {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert not unknown, f"{unknown} of a statement are not known"
        actions, resources = ([one] if isinstance(one, str) else one for one in (statement["Action"], statement["Resource"]))
        condition = json.dumps(statement.get("Condition"), sort_keys=True)
        for action, resource in itertools.product(actions, resources):
            result.add((statement["Sid"], statement["Effect"], action, resource, condition))
    return result


def golden(policy):
    if not isinstance(policy, str):
        return grants(policy)
    text = source.text(f"docker/aws/policies/{policy}")
    for name, value in PLACEHOLDERS.items():
        text = text.replace(f"${{{name}}}", value)
    return grants(json.loads(text)["Statement"])


def rights(template):
    resolver = Resolver(template, StartMode="task-per-upload")
    roles = dict(resolver.resources("AWS::IAM::Role"))
    if set(roles) != set(RIGHTS):
        yield f"the roles are {sorted(roles)}, expected {sorted(RIGHTS)}"
    for name, role in roles.items():
        if "ManagedPolicyArns" in role:
            yield f"{name} has policies of others"
        policies = {policy["PolicyName"]: policy["PolicyDocument"] for policy in role["Policies"]}
        expected = RIGHTS.get(name, {})
        if set(policies) != set(expected):
            yield f"the policies of {name} are {sorted(policies)}, expected {sorted(expected)}"
        for policy, document in policies.items():
            have, want = grants(document["Statement"]), golden(expected.get(policy, []))
            yield from (f"{name} may too much: {grant}" for grant in sorted(have - want))
            yield from (f"{name} may too little: {grant}" for grant in sorted(want - have))
        trust, = role["AssumeRolePolicyDocument"]["Statement"]
        expected = {
            "Effect": "Allow",
            "Principal": {"Service": TRUST.get(name, "ecs-tasks.amazonaws.com")},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": PSEUDO["AWS::AccountId"]}},
        }
        if trust != expected:
            yield f"{name} may be taken by {trust}"
    for task, role in ACTORS.items():
        if resolver.properties(task)["TaskRoleArn"] != ROLE + role.lower():
            yield f"{task} has another role than {role}"
    kinds = {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy", "AWS::IAM::User", "AWS::Lambda::Permission"}
    yield from (f"{name} grants rights that this test does not read" for name, _ in resolver.resources(*kinds))


# --- Tasks ---

PROGRAMS = {"WorkerTask": "cadmill-converter", "ApiTask": "cadmill-api", "CleanupTask": "cadmill-cleanup"}
# Sets of parameters that change the environment of a task.
VARIANTS = (
    {},
    {"StartMode": "task-per-upload"},
    {"ApiTokens": "", "OidcIssuer": "https://issuer.example.com", "OidcAudience": "cadmill", "VpcId": "vpc-1"},
    {"WebOrigins": "https://app.example.com,https://two.example.com", "LedgerLock": "compliance"},
    *({"WorkerSize": size} for size in ("small", "large", "xlarge")),
)
# Memory of a task in GiB that Fargate has, by CPU units (Amazon ECS Developer Guide, "Task definition
# parameters for Fargate").
FARGATE = {
    256: {0.5, 1, 2},
    512: {1, 2, 3, 4},
    1024: set(range(2, 9)),
    2048: set(range(4, 17)),
    4096: set(range(8, 31)),
    8192: set(range(16, 61, 4)),
    16384: set(range(32, 121, 8)),
}


def containers(resolver):
    for task in PROGRAMS:
        properties = resolver.properties(task)
        container, = properties["ContainerDefinitions"]
        yield task, properties, container


def variables(container):
    names = [variable["Name"] for variable in container["Environment"]]
    assert len(names) == len(set(names)), f"a variable is there twice: {names}"
    return {variable["Name"]: str(variable["Value"]) for variable in container["Environment"]}


def environment(template):
    """Each program accepts its variables, and takes each value that is not empty from them."""
    asked = set()
    for variant in VARIANTS:
        for task, _, container in containers(Resolver(template, **variant)):
            given = variables(container)
            command = tuple(container["EntryPoint"] + container.get("Command", []))
            if (command, tuple(sorted(given.items()))) in asked:
                continue
            asked.add((command, tuple(sorted(given.items()))))
            program = command[0].removeprefix("/usr/local/bin/")
            if program != PROGRAMS[task]:
                yield f"{task} runs {program}"
                continue
            run = subprocess.run(
                [BINARIES / program, *command[1:], "--print-config"], env=given, cwd="/", capture_output=True, text=True,
            )
            if run.returncode != 0:
                yield f"{task} with {variant}: {run.stderr or run.stdout}"
            used = set(re.findall(r"# env (CADMILL_\w+)$", run.stdout, re.MULTILINE))
            set_there = {name for name, value in given.items() if value}
            if run.returncode == 0 and used != set_there:
                yield f"{task} with {variant}: {used ^ set_there} are without effect"


def seconds(text):
    assert re.fullmatch(r"\d+s", text), f"{text} is not in seconds"
    return int(text[:-1])


def tasks(template):
    for size in template["Mappings"]["WorkerSizes"]:
        for task, properties, container in containers(Resolver(template, WorkerSize=size)):
            cpu, memory = int(properties["Cpu"]), int(properties["Memory"])
            if memory / 1024 not in FARGATE.get(cpu, ()):
                yield f"{task}: Fargate has no task of {cpu} and {memory} MiB"
            capabilities = container["LinuxParameters"]["Capabilities"]
            if capabilities != {"Drop": ["ALL"]}:
                yield f"{task} keeps capabilities: {capabilities}"
            if container.get("ReadonlyRootFilesystem") is not True:
                yield f"{task} may write to its root"
            if container.get("User", "0").split(":")[0] in ("0", "root"):
                yield f"{task} is root"
            if container.get("Privileged") or container.get("Secrets"):
                yield f"{task} is privileged"
            if container.get("StopTimeout") != 120:
                yield f"{task} is killed after {container.get('StopTimeout')} s"
            check = container["HealthCheck"]["Command"]
            if check != ["CMD", *container["EntryPoint"], "healthcheck"]:
                yield f"{task} is asked for its health by {check}"
            if task != "ApiTask" and "CADMILL_METRICS_LISTEN" not in variables(container):
                yield f"{task} has no listener for its health check"
    for size in template["Mappings"]["WorkerSizes"]:
        yield from worker_size(size, Resolver(template, WorkerSize=size))
    worker = Resolver(template, StartMode="task-per-upload").properties("WorkerTask")["ContainerDefinitions"][0]
    if worker["Command"] != ["task"] or "HealthCheck" in worker:
        yield "a task for one upload runs as a service"


def worker_size(size, resolver):
    task = resolver.properties("WorkerTask")
    container, = task["ContainerDefinitions"]
    given, memory = variables(container), int(task["Memory"])
    mounted = {mount["ContainerPath"]: mount for mount in container["LinuxParameters"]["Tmpfs"]}
    workspace = mounted.get(given["CADMILL_WORKSPACE"])
    if workspace is None:
        yield f"{size}: the workspace is not a tmpfs"
    elif not memory / 2 <= int(workspace["Size"]) < memory:
        yield f"{size}: the workspace has {workspace['Size']} of {memory} MiB"
    if int(container["Memory"]) != memory:
        yield f"{size}: the container does not have the task's memory"
    budget = int(given["CADMILL_WORKER_MEMORY"].removesuffix("M"))
    if budget != memory * 4 // 5:
        yield f"{size}: the budget is {budget} of {memory} MiB"
    if int(given["CADMILL_LIMITS_MEMORY"].removesuffix("G")) * 1024 > budget:
        yield f"{size}: an engine may have more than the budget"
    if seconds(given["CADMILL_WORKER_STOP_WITHIN"]) + 10 > container["StopTimeout"]:
        yield f"{size}: ECS kills the worker before it has stopped"


# --- Objects ---

PREFIXES = {"uploads/", "processed/"}


def objects(template):
    resolver = Resolver(template, WebOrigins="https://app.example.com")
    bucket, ledgers = resolver.properties("Bucket"), resolver.properties("LedgerBucket")
    for name, properties in (("Bucket", bucket), ("LedgerBucket", ledgers)):
        blocked = properties.get("PublicAccessBlockConfiguration", {})
        if blocked != dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True):
            yield f"{name} may be made public"
    rules = bucket["LifecycleConfiguration"]["Rules"]
    yield from (f"a lifecycle rule is for {rule.get('Prefix')!r}" for rule in rules if rule.get("Prefix") not in PREFIXES)
    if {rule.get("Prefix") for rule in rules} != PREFIXES or any(rule["Status"] != "Enabled" for rule in rules):
        yield "the last net does not have both prefixes"
    if any(int(rule["ExpirationInDays"]) < 2 for rule in rules):
        yield "a lifecycle rule deletes what may still wait"
    if "LifecycleConfiguration" in ledgers:
        yield "a lifecycle rule deletes ledgers"
    if not ledgers.get("ObjectLockEnabled") or ledgers.get("VersioningConfiguration") != {"Status": "Enabled"}:
        yield "ledgers are not locked"
    if "VersioningConfiguration" in bucket or "ObjectLockEnabled" in bucket:
        yield "deleted files are kept as versions"
    encryption = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    if encryption["ServerSideEncryptionByDefault"] != {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn("kms", "key/objectkey")}:
        yield "objects are encrypted with another key"
    if bucket.get("NotificationConfiguration") != {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}:
        yield "the bucket sends no events to EventBridge"
    yield from cors(bucket)
    if "CorsConfiguration" in Resolver(template).properties("Bucket"):
        yield "pages may use the bucket without an origin"
    documents = {"Bucket": "BucketPolicy", "LedgerBucket": "LedgerBucketPolicy"}
    for name, policy in documents.items():
        properties = resolver.properties(policy)
        statements = {statement["Sid"]: statement for statement in properties["PolicyDocument"]["Statement"]}
        whole = f"arn:aws:s3:::{name.lower()}"
        if properties["Bucket"] != name.lower():
            yield f"{policy} is for another bucket"
        if any(statement["Effect"] != "Deny" for statement in statements.values()):
            yield f"{policy} allows something"
        tls = {"Sid": "OnlyTls", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [whole, whole + "/*"]}
        if statements.get("OnlyTls") != {**tls, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}:
            yield f"{name} may be used without TLS"
        once = {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
        if name == "Bucket" and statements.get("WriteOnce", {}).get("Condition") != once:
            yield "an object may be written twice"
    key = resolver.properties("LedgerKey")
    if (key.get("KeySpec"), key.get("KeyUsage")) != ("ECC_NIST_EDWARDS25519", "SIGN_VERIFY"):
        yield "the key of ledgers cannot sign them"
    kept = ("LedgerKey", "LedgerBucket")
    for name in kept:
        if template["Resources"][name].get("DeletionPolicy") != "Retain":
            yield f"{name} is deleted with the stack"


def cors(bucket):
    rules = bucket.get("CorsConfiguration", {}).get("CorsRules", [{}])
    expected = {
        "AllowedOrigins": ["https://app.example.com"],
        "AllowedMethods": ["PUT", "GET", "HEAD"],
        "AllowedHeaders": ["if-none-match", "content-type", "x-amz-checksum-sha256"],
        "ExposedHeaders": ["ETag"],
        "MaxAge": 600,
    }
    if rules != [expected]:
        yield f"pages may do {rules}"
    # docs/AWS.md shows the same.
    shown = re.search(r"```json\n(\[\{\n  \"AllowedOrigins\".*?\])\n```", source.text("docs/AWS.md"), re.DOTALL)
    documented, = json.loads(shown[1])
    names = {"ExposeHeaders": "ExposedHeaders", "MaxAgeSeconds": "MaxAge"}
    documented = {names.get(name, name): value for name, value in documented.items()}
    if documented != expected:
        yield "docs/AWS.md has another rule for pages"


# --- Records and events ---


def schema(keys):
    return [(key["AttributeName"], key["KeyType"]) for key in keys]


def records(template):
    table = Resolver(template).properties("Table")
    have = {
        "key": schema(table["KeySchema"]),
        "attributes": {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]},
        "indexes": {
            one["IndexName"]: (schema(one["KeySchema"]), one["Projection"]["ProjectionType"]) for one in table["GlobalSecondaryIndexes"]
        },
    }
    if have != source.table():
        yield f"the table is {have}, the code makes {source.table()}"
    if table["BillingMode"] != "PAY_PER_REQUEST" or "TimeToLiveSpecification" in table:
        yield "the table is billed or emptied in another way than the code expects"
    if "PointInTimeRecoverySpecification" in table:
        yield "deleted records are kept in backups"


def events(template):
    resolver = Resolver(template)
    queue, dead, rule = (resolver.properties(name) for name in ("Queue", "DeadLetterQueue", "UploadRule"))
    redrive = {"deadLetterTargetArn": arn("sqs", "deadletterqueue"), "maxReceiveCount": source.most_deliveries()}
    if queue.get("RedrivePolicy") != redrive:
        yield f"dead letters of the queue: {queue.get('RedrivePolicy')}"
    if dead.get("MessageRetentionPeriod") != source.dead_letter_seconds():
        yield "dead letters are kept for another time"
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": ["bucket"]}, "object": {"key": [{"prefix": "uploads/"}]}},
    }
    if rule["EventPattern"] != pattern or rule.get("State", "ENABLED") != "ENABLED":
        yield f"the rule is for {rule['EventPattern']}"
    target, = rule["Targets"]
    if target["Arn"] != arn("sqs", "queue"):
        yield "the rule does not send to the queue"
    if target.get("DeadLetterConfig") != {"Arn": arn("sqs", "undeliveredqueue")}:
        yield "what the rule cannot deliver is lost"
    allowed = set()
    for _, policy in resolver.resources("AWS::SQS::QueuePolicy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            expected = {
                "Sid": "UploadRule",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": "*",
                "Condition": {"ArnEquals": {"aws:SourceArn": arn("events", "rule/uploadrule")}},
            }
            if statement == expected:
                allowed |= set(policy["Queues"])
            elif statement["Effect"] == "Allow":
                yield f"a queue allows {statement}"
    for name in ("Queue", "UndeliveredQueue"):
        if resolver.reference(name) not in allowed:
            yield f"the rule may not send to {name}"


def start_modes(template):
    kinds = {"service": {"AWS::ECS::Service", "AWS::ApplicationAutoScaling::ScalingPolicy"}, "task-per-upload": {"AWS::Pipes::Pipe"}}
    for mode, expected in kinds.items():
        resolver = Resolver(template, StartMode=mode)
        starts = [
            template["Resources"][name]["Type"]
            for name, _ in resolver.resources("AWS::ECS::Service", "AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::Pipes::Pipe")
            if name not in ("ApiService", "CleanupService")
        ]
        if set(starts) != expected or len(starts) != len(expected):
            yield f"{mode}: workers are started by {starts}"
    resolver = Resolver(template, StartMode="task-per-upload")
    worker = resolver.properties("WorkerTask")["ContainerDefinitions"][0]
    for _, pipe in resolver.resources("AWS::Pipes::Pipe"):
        target = pipe["TargetParameters"]["EcsTaskParameters"]
        if pipe["Source"] != arn("sqs", "queue") or pipe["SourceParameters"] != {"SqsQueueParameters": {"BatchSize": 1}}:
            yield "the pipe does not take one message of the queue at a time"
        if target["TaskDefinitionArn"] != resolver.reference("WorkerTask") or target["TaskCount"] != 1:
            yield "the pipe does not start one worker"
        passed = [{"Name": worker["Name"], "Environment": [{"Name": "CADMILL_EVENT", "Value": "$.body"}]}]
        if target["Overrides"] != {"ContainerOverrides": passed}:
            yield f"the pipe passes {target['Overrides']}"


# --- Network ---


def network(template):
    resolver = Resolver(template)
    for name, group in resolver.resources("AWS::EC2::SecurityGroup"):
        for rule in group.get("SecurityGroupIngress", ()):
            if name != "LoadBalancerGroup" and "CidrIp" in rule:
                yield f"{name} lets {rule['CidrIp']} in"
        if "SecurityGroupEgress" not in group:
            yield f"{name} lets everything out"
    for name, service in resolver.resources("AWS::ECS::Service"):
        if service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] != "DISABLED":
            yield f"{name} has public addresses"
    tables = {route["RouteTableId"] for _, route in resolver.resources("AWS::EC2::Route")}
    if tables != {"publicroutes"}:
        yield "the tasks have a way to the internet"
    listener = resolver.properties("Listener")
    if (listener["Protocol"], listener["Port"]) != ("HTTPS", 443) or len(list(resolver.resources("AWS::ElasticLoadBalancingV2::Listener"))) != 1:
        yield "the load balancer listens without TLS"
    attributes = {one["Key"]: one["Value"] for one in resolver.properties("LoadBalancer")["LoadBalancerAttributes"]}
    idle = source.found(r"`api.proxy_idle_time` \|.*?\| duration \| `(\d+)s`", "docs/CONFIGURATION.md", 1)
    if int(attributes["idle_timeout.timeout_seconds"]) >= int(idle[0]):
        yield "the API closes connections that the load balancer uses"
    target = resolver.properties("TargetGroup")
    listen = variables(resolver.properties("ApiTask")["ContainerDefinitions"][0])["CADMILL_API_LISTEN"]
    if target["HealthCheckPath"] != "/healthz" or listen != f"0.0.0.0:{target['Port']}":
        yield "the load balancer asks for another address than the API has"
    services = {endpoint["ServiceName"].removeprefix("com.amazonaws.us-east-1.") for _, endpoint in resolver.resources("AWS::EC2::VPCEndpoint")}
    if services != {"s3", "dynamodb", "sqs", "ecr.api", "ecr.dkr", "logs", "kms"}:
        yield f"a new VPC has endpoints of {services}"
    way = {name for name, _ in resolver.resources("AWS::EC2::VPCEndpoint", "AWS::EC2::SubnetRouteTableAssociation") if "Public" not in name}
    awaited = {word for tag in resolver.properties("Cluster").get("Tags", ()) for word in tag["Value"].split()}
    if {name.lower() for name in way} - awaited:
        yield "tasks may start before they can reach what they need"
    if any(template["Resources"][subnet].get("DependsOn") != "GatewayAttachment" for subnet in ("PublicA", "PublicB")):
        yield "the load balancer may be made before its way to the internet"
    existing = Resolver(template, VpcId="vpc-1")
    kinds = ("AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::VPCEndpoint", "AWS::EC2::InternetGateway")
    yield from (f"{name} is made in an existing VPC" for name, _ in existing.resources(*kinds))


# --- Alarms ---

# Alerts that have no alarm of their own, and the alarm that has them too.
COVERED = {"CadmillJobsLost": "CadmillDeadLetters"}
OWN = {"CadmillTargetDownCleanup", "CadmillTargetDownWorker", "UndeliveredEvents", "PipeFails"}


def shown_metrics(resolver):
    """The metrics of cadmill in alarms and on the dashboard: where, name, dimensions."""
    for name, alarm in resolver.resources("AWS::CloudWatch::Alarm"):
        stats = [one["MetricStat"]["Metric"] for one in alarm.get("Metrics", ()) if "MetricStat" in one]
        for metric in stats or [alarm]:
            if metric.get("Namespace") == "cadmill" and metric["MetricName"].startswith("cadmill_"):
                yield name, metric["MetricName"], {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        for query in (one["Expression"] for one in alarm.get("Metrics", ()) if one.get("Expression", "").startswith("SELECT")):
            about = re.match(r"SELECT SUM\((\w+)\) FROM SCHEMA\(cadmill, ([\w, ]+)\)", query)
            values = dict.fromkeys(about[2].split(", "))
            yield name, about[1], values
            for key, value in re.findall(r"(\w+) != '(\w+)'", query):
                yield name, about[1], {**values, key: value}
    body = json.loads(resolver.properties("Dashboard")["DashboardBody"])
    for widget in body["widgets"]:
        previous = []
        for words in widget["properties"]["metrics"]:
            words = [previous[at] if word == "." else word for at, word in enumerate(words)]
            previous = words
            yield "Dashboard", words[1], dict(zip(words[2::2], words[3::2], strict=True))


def alarms(template):
    known = source.metrics()
    resolver = Resolver(template, StartMode="service")
    names = {name for mode in ("service", "task-per-upload") for name, _ in Resolver(template, StartMode=mode).resources("AWS::CloudWatch::Alarm")}
    expected = source.alerts() - set(COVERED) | OWN
    if names != expected or not set(COVERED.values()) <= names:
        yield f"alarms: {sorted(names ^ expected)}"
    documented = set(re.findall(r"^### (Cadmill\w+)$", source.text("docs/OPERATING.md"), re.MULTILINE))
    yield from (f"docs/OPERATING.md does not say what {name} means" for name in names - OWN - documented)
    for name, alarm in resolver.resources("AWS::CloudWatch::Alarm"):
        if alarm.get("AlarmActions") != ["alarms"]:
            yield f"{name} does nothing"
    for name, metric, dimensions in shown_metrics(resolver):
        if metric not in known:
            yield f"{name}: {metric} is not printed"
            continue
        if set(dimensions) != set(known[metric]):
            yield f"{name}: {metric} has the dimensions {sorted(known[metric])}, not {sorted(dimensions)}"
            continue
        for key, value in dimensions.items():
            if value is not None and value not in known[metric][key]:
                yield f"{name}: {key} of {metric} is never {value}"
    formulas = {name: alarm["Metrics"] for name, alarm in resolver.resources("AWS::CloudWatch::Alarm") if "Metrics" in alarm}
    scaling = resolver.properties("WorkerScaling")["TargetTrackingScalingPolicyConfiguration"]
    formulas["WorkerScaling"] = scaling["CustomizedMetricSpecification"]["Metrics"]
    for name, metrics in formulas.items():
        ids = {one["Id"] for one in metrics}
        texts = [one["Expression"] for one in metrics if not one.get("Expression", "SELECT").startswith("SELECT")]
        if any(ids - {"value", "backlog"} != set(re.findall(r"[a-z]\w*", text)) for text in texts):
            yield f"{name} computes {texts} of {sorted(ids)}"
        if [one["Id"] for one in metrics if one.get("ReturnData", True)] not in (["value"], ["backlog"]):
            yield f"{name} has more than one result"
    if scaling["TargetValue"] != template["Mappings"]["WorkerSizes"]["medium"]["Jobs"]:
        yield "workers scale by another number than that of their jobs"
    silent = resolver.properties("CadmillNoCleanup")
    if silent.get("TreatMissingData") != "breaching" or silent["MetricName"] != "cadmill_oldest_due_seconds":
        yield "a cleanup that is not there raises no alarm"
    forbidden = resolver.properties("ForbiddenCalls")
    transformation, = forbidden["MetricTransformations"]
    alarm = resolver.properties("CadmillForbiddenCall")
    if (transformation["MetricNamespace"], transformation["MetricName"]) != (alarm["Namespace"], alarm["MetricName"]):
        yield "CadmillForbiddenCall looks for another metric than its filter makes"
    message, code = re.fullmatch(r'\{ \(\$\.message = "(\w+)"\) && \(\$\.code = "([\w.]+)"\) \}', forbidden["FilterPattern"]).groups()
    # A line of the worker with these fields; the test of the stack reads one.
    source.found(rf'code = %failure\.code, stage = stage\.as_str\(\), "{message}"\)', "converter/src/worker/handler.rs", 1)
    if code != "engine.violation" or f"`{code}`" not in source.text("docs/FAILURES.md"):
        yield "CadmillForbiddenCall looks for another failure"
    for task, _, container in containers(resolver):
        if variables(container).get("CADMILL_METRICS_EMF") != "true" or variables(container).get("CADMILL_LOG_FORMAT") != "json":
            yield f"{task} prints no metrics"
