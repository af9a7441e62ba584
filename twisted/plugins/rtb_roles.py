"""The roles of rtb, as twistd lists them; a role's modules are imported when it is chosen."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

api = ServiceMaker(
    "rtb API",
    "rtb.roles.api",
    "Red-Tailed Boa Broadcast: keeps the ledger, serves HTTP, sends units to leaders",
    "rtb-api",
)
leader = ServiceMaker(
    "rtb leader",
    "rtb.roles.leader",
    "Red-Tailed Boa Broadcast: keeps the job tracker of a box full, hands units to agents",
    "rtb-leader",
)
agent = ServiceMaker(
    "rtb agent",
    "rtb.roles.agent",
    "Red-Tailed Boa Broadcast: runs units",
    "rtb-agent",
)
whole = ServiceMaker(
    "rtb on one machine",
    "rtb.roles.whole",
    "Red-Tailed Boa Broadcast: API, leader and local agents in one process",
    "rtb",
)
