"""The settings, from their table."""

from __future__ import annotations

from markdown_text import table

from rtb.settings import SETTINGS, Setting

__all__ = ["markdown"]


def markdown() -> str:
    """Return a table of all settings, and a section for each."""
    rows = [
        [f"[`{row.name}`](#{_anchor(row)})", _default(row), ", ".join(sorted(row.roles))]
        for row in SETTINGS
    ]
    return "\n\n".join([table(["variable", "default", "roles"], rows), *map(_section, SETTINGS)])


def _section(row: Setting) -> str:
    flag = f"`{row.flag} FILE`" if row.secret else f"`{row.flag} VALUE`"
    lines = [f"({_anchor(row)})=", f"## `{row.name}`", "", f"{_sentence(row.help)}", ""]
    lines += [f"Default: {_default(row)}. Flag: {flag}. Roles: {', '.join(sorted(row.roles))}."]
    if row.secret:
        lines += ["", f"Secret: it is never shown. `{row.file_name}` names a file that holds it."]
    return "\n".join(lines)


def _anchor(row: Setting) -> str:
    return row.name.lower().replace("_", "-")


def _default(row: Setting) -> str:
    return f"`{row.default}`" if row.default else row.default_says or "none"


def _sentence(text: str) -> str:
    # What is written in capitals or with a colon between words is code.
    return f"{text[0].upper()}{text[1:]}."
