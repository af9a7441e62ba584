"""What can go wrong with private servers."""

from __future__ import annotations

from rtb.errors import RtbError

__all__ = ["DirectoryInUseError", "SandboxError", "ServerFailedError"]


class SandboxError(RtbError):
    """A private server could not be made to run; the message says what to do."""


class ServerFailedError(SandboxError):
    """A private server ended or did not come up; the message ends with the tail of its log."""


class DirectoryInUseError(SandboxError):
    """Another rtb runs its private servers from this directory."""
