"""The code that an agent runs: coin flip, noop, command and Python; ``docs/workloads.md``."""

from __future__ import annotations

from rtb.agent.workloads.contract import (
    Already,
    Failed,
    Outcome,
    Running,
    Stopped,
    Succeeded,
    Workload,
)
from rtb.agent.workloads.specs import make_workload, make_workloads

__all__ = [
    "Already",
    "Failed",
    "Outcome",
    "Running",
    "Stopped",
    "Succeeded",
    "Workload",
    "make_workload",
    "make_workloads",
]
