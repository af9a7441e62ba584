"""Where a command finds the API."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

from rtb.settings import Settings

__all__ = ["api_option", "base_url", "local_environment"]

_LOCAL = "127.0.0.1:8080"

#: ``--api``, for commands that ask the API.
api_option = click.option(
    "--api",
    metavar="URL",
    help=f"The API. [default: http:// and RTB_API_HOST, or {_LOCAL} where that is not set]",
)


def local_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return *environ* with RTB_API_HOST on this machine, if it says nothing of it."""
    return {**environ, "RTB_API_HOST": environ.get("RTB_API_HOST") or _LOCAL}


def base_url(given: str | None, environ: Mapping[str, Any] = os.environ) -> str:
    """Return the URL of the API: the one *given*, else what the settings say."""
    if given:
        return given
    return f"http://{Settings.load({}, local_environment(environ), role='leader').api_host}"
