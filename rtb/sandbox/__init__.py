"""Private servers for one machine: PostgreSQL and RabbitMQ as children of this process.

Each has its own data directory, its own loopback ports and its own random passwords; a server that
the machine runs already is never touched, and nothing is left behind.
"""

from __future__ import annotations

from rtb.sandbox.directory import default_directory
from rtb.sandbox.errors import DirectoryInUseError, SandboxError, ServerFailedError
from rtb.sandbox.postgres import Postgres
from rtb.sandbox.rabbit import Rabbit
from rtb.sandbox.whole import Sandbox

__all__ = [
    "DirectoryInUseError",
    "Postgres",
    "Rabbit",
    "Sandbox",
    "SandboxError",
    "ServerFailedError",
    "default_directory",
]
