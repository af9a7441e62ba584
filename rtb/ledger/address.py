"""How PostgreSQL is told whom to connect to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2.extensions import make_dsn

if TYPE_CHECKING:
    from rtb.settings import Database

__all__ = ["dsn"]

#: A half-dead server or link is noticed by the kernel, not only by rtb's own timers.
_SOCKET = {
    "tcp_user_timeout": 10000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}


def dsn(database: Database, *, address: str | None = None, options: str = "") -> str:
    """Return libpq's connection string for *database*.

    :param address: the numeric address that its host name resolved to, so that libpq, whose
        look-up blocks, makes none
    :param options: server settings, as ``-c name=value`` words
    """
    words: dict[str, str | int] = {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "dbname": database.name,
        "application_name": "rtb",
        **_SOCKET,
    }
    if database.password:
        words["password"] = database.password
    if database.sslmode:
        words["sslmode"] = database.sslmode
    if address is not None:
        words["hostaddr"] = address
    if options:
        words["options"] = options
    return make_dsn(None, **words)
