"""Names for paths that Hadoop cannot have.

Its launchers put paths into shell commands without quoting them: an ApplicationMaster whose files
are below a directory with a space in its name never starts.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from pathlib import Path

from rtb.sandbox.errors import SandboxError

__all__ = ["PlainNames"]

_PLAIN = re.compile(r"[A-Za-z0-9_./+@=-]+\Z")


class PlainNames:
    """Symbolic links that stand for paths with other characters than a shell takes literally.

    :param record: a link that leads to their directory, so that the next run finds what a killed
        one left
    """

    def __init__(self, record: Path) -> None:
        self._record = record

    def of(self, path: Path) -> Path:
        """Return *path*, or a link to it.

        :raises SandboxError: the directory for temporary files has such a name itself
        """
        if _PLAIN.match(str(path)):
            return path
        if not self._record.is_symlink():
            new = tempfile.mkdtemp(prefix="rtb-yarn-")
            self._record.symlink_to(new)
            if not _PLAIN.match(new):
                self.remove()
                raise SandboxError(
                    f"Hadoop cannot have {str(path)!r}, nor a link below {new!r}: choose a path "
                    "of letters, digits and _./+@=- or set TMPDIR to one"
                )
        place = self._record.readlink()
        link = place / str(sum(1 for _ in place.iterdir()))
        link.symlink_to(path)
        return link

    def remove(self) -> None:
        """Remove the links, also those of an earlier run."""
        if self._record.is_symlink():
            place = self._record.readlink()
            with suppress(FileNotFoundError):  # whoever empties /tmp was here
                for link in place.iterdir():
                    link.unlink()
                place.rmdir()
            self._record.unlink()
