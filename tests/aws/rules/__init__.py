"""What must be true of docker/aws/cadmill.yaml. Each rule returns what is wrong, in words."""

from .alarms import alarms, shown_metrics
from .events import events, records
from .network import network
from .objects import objects
from .rights import rights
from .tasks import BINARIES, environment, start_modes, tasks, variables

# Every rule.
RULES = (alarms, environment, events, network, objects, records, rights, start_modes, tasks)
# Bytes of a template that CloudFormation takes with the request.
LARGEST = 51_200
__all__ = ["BINARIES", "LARGEST", "RULES", "shown_metrics", "variables", *(rule.__name__ for rule in RULES)]
