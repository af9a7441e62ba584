"""What YARN says, as values: of its answers only what the leader uses, each field optional.

A cluster of another version may leave out or add what it likes; what is not understood as JSON is
an error of its own, whatever the status code says.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from rtb.errors import RtbError

__all__ = [
    "COMPONENT",
    "Application",
    "Away",
    "Component",
    "Container",
    "Denied",
    "Gibberish",
    "Info",
    "Node",
    "Service",
    "YarnError",
    "read",
    "words",
]

_T = TypeVar("_T")
#: The one component of our services.
COMPONENT = "agent"
_SHOWN = 300


class YarnError(RtbError):
    """YARN could not be asked, or said no; the message tells which in words."""

    retryable = True


class Away(YarnError):
    """No ResourceManager answers, or none is active."""


class Denied(YarnError):
    """YARN refused; the message is its own."""


class Gibberish(YarnError):
    """Whoever answered is not a ResourceManager with YARN Services, or not a healthy one."""


class Container(msgspec.Struct, frozen=True):
    """A container of a service."""

    id: str
    component_instance_name: str = ""
    #: RUNNING_BUT_UNREADY and READY live; FAILED, SUCCEEDED, STOPPED and the like have ended.
    state: str = ""
    hostname: str = ""
    bare_host: str = ""

    @property
    def lives(self) -> bool:
        """Does its process run, as far as YARN knows?"""
        return self.state in ("", "INIT", "STARTED", "RUNNING_BUT_UNREADY", "READY")


class Component(msgspec.Struct, frozen=True):
    """A component of a service: one kind of containers."""

    name: str = ""
    number_of_containers: int = 0
    containers: list[Container] = []
    decommissioned_instances: list[str] = []


class Service(msgspec.Struct, frozen=True):
    """A service, as a GET shows it."""

    name: str
    #: Of its application; empty before there is one.
    id: str = ""
    state: str = ""
    version: str = ""
    #: Seconds that are left, -1 for no end.
    lifetime: int = -1
    components: list[Component] = []

    @property
    def agents(self) -> Component | None:
        """Its one component; None while the ApplicationMaster is away: no news."""
        return self.components[0] if self.components else None


class Node(msgspec.Struct, frozen=True):
    """A NodeManager."""

    id: str
    state: str = ""
    nodeHTTPAddress: str = ""
    availMemoryMB: int = 0
    usedMemoryMB: int = 0
    availableVirtualCores: int = 0
    usedVirtualCores: int = 0


class Application(msgspec.Struct, frozen=True):
    """The application behind a service."""

    state: str = ""
    finalStatus: str = ""
    diagnostics: str = ""


class Info(msgspec.Struct, frozen=True):
    """A ResourceManager."""

    state: str = ""
    haState: str = ""
    resourceManagerVersion: str = ""


def read(body: bytes, kind: type[_T], where: str) -> _T:
    """Return what *body*, which *where* answered, says.

    :raises Gibberish: it is no JSON, or of another shape
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        shown = body[:80].decode(errors="replace").strip()
        raise Gibberish(f"{where} did not answer as YARN does ({problem}): {shown!r}") from None


def words(body: bytes) -> str:
    """Return what a refusal says, in one line, whichever of YARN's shapes it has."""
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = body.decode(errors="replace")
    if isinstance(said, dict):
        inner = said.get("RemoteException")
        said = inner if isinstance(inner, dict) else said
        said = said.get("diagnostics") or said.get("message") or said
    return " ".join(str(said).split())[:_SHOWN]
