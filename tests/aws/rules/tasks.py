"""The tasks: their variables, their limits, and how workers are started."""

import re
import subprocess

from template import REPOSITORY, Resolver, arn

BINARIES = REPOSITORY / "target/debug"

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
            if variables(container).get("CADMILL_AUDIT_SINKS", "file") == "file":
                yield f"{task} keeps its ledgers in a root that it may not write to"
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
