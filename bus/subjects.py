"""Every subject and key of the bus, in one place."""

AGENT_STATUS = "foresteer.agents.status"
"""Agents say each second that they live and what state they hold."""

PREDICT = "foresteer.predict"
"""Shards of a forecast are asked for here; one worker of the queue group answers each."""

PREDICTORS = "predictors"
"""The queue group of the predictor workers."""

SERIES = "foresteer.series"
"""Measurements of series and signals are pushed here, and answered."""

INVENTORY = "inventory"
"""Key: the network file that the brain plans on."""

PLAN = "plan"
"""Key: the brain's last plan, with its term, so that the next brain goes on from it."""


OPERATORS = "operators"
"""Key: what operators asked for while the brain runs."""

POLICIES = "policies"
"""Key: the versions of the policy document, and the declared services."""

SHADOWED = "shadows"
"""Key: which engines are whose shadows, so that the next brain changes nothing without need."""

EPOCH = "epoch"
"""Key: the epoch of the domain's keys, and since when."""


def agent_apply(agent: str) -> str:
    """Return the subject on which an agent takes its desired state."""
    return f"foresteer.agent.{agent}.apply"


def agent_counters(agent: str) -> str:
    """Return the subject on which an agent is asked for its counters."""
    return f"foresteer.agent.{agent}.counters"


def agent_shadows(agent: str) -> str:
    """Return the subject on which an agent is told who is whose shadow."""
    return f"foresteer.agent.{agent}.shadows"
