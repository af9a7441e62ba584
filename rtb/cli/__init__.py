"""The ``rtb`` command: one module per noun."""

from __future__ import annotations

from rtb.cli.main import main

__all__ = ["main"]
