"""The alarms, the dashboard, and the number that workers scale by."""

import json
import re

import source
from template import Resolver

from .tasks import containers, variables

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
