"""What tests and checks ask of RabbitMQ's management API."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from rtb.sandbox.errors import SandboxError

__all__ = ["Management"]


class Management:
    """The management API of one server."""

    def __init__(
        self, reactor: Any, port: int, user: str, password: str, *, host: str = "127.0.0.1"
    ) -> None:
        self._reactor = reactor
        self._base = f"http://{host}:{port}/api"
        self._user = user
        self._auth = (user, password)

    async def add_vhost(self, name: str) -> None:
        """Make a virtual host in which the user may do everything."""
        await self.ask("PUT", f"/vhosts/{quote(name, safe='')}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        await self.ask(
            "PUT", f"/permissions/{quote(name, safe='')}/{quote(self._user)}", everything
        )

    async def remove_vhost(self, name: str) -> None:
        """Remove a virtual host with all that is in it."""
        await self.ask("DELETE", f"/vhosts/{quote(name, safe='')}")

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and return the decoded answer, None when it is empty.

        :raises SandboxError: the answer is an error
        """
        # Imported here because it is slow to import, and only tests and checks come here.
        import treq
        from twisted.web.client import Agent

        response = await treq.request(
            method,
            self._base + path,
            auth=self._auth,
            json={} if body is None else body,
            agent=Agent(self._reactor),
        )
        text = await response.text()
        if response.code >= 400:
            raise SandboxError(f"RabbitMQ refused {method} {path}: {response.code} {text}")
        return json.loads(text) if text else None
