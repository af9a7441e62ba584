"""The servers of a private cluster, started in order and ended so that nothing is left."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from rtb.sandbox.accounts import Account
from rtb.sandbox.child import Child
from rtb.sandbox.directory import DataDirectory, free_port
from rtb.sandbox.proc import end_those_below
from rtb.sandbox.readiness import until_ready, zookeeper_answers
from rtb.sandbox.yarn import configuration
from rtb.sandbox.yarn.configuration import NODE_MEMORY, Layout, Node, ResourceManager
from rtb.sandbox.yarn.jars import jars
from rtb.sandbox.yarn.java import find_java
from rtb.sandbox.yarn.plain import PlainNames
from rtb.sandbox.yarn.web import ask

__all__ = ["YarnCluster"]

_STOP_PATIENCE = 15.0
_SERVICES = "/app/v1/services/version?user.name=rtb"
_INFO = "/ws/v1/cluster/info"
#: What Hadoop reaches into that Java closed.
_OPENED = (
    "java.io", "java.lang", "java.lang.reflect", "java.math", "java.net", "java.text",
    "java.util", "java.util.concurrent", "java.util.zip", "sun.security.util",
    "sun.security.x509",
)  # fmt: skip
_JVM = (
    "-XX:+IgnoreUnrecognizedVMOptions", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
    "-Djava.security.manager=allow", "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
)  # fmt: skip
_ZOOKEEPER = "org.apache.zookeeper.server.ZooKeeperServerMain"
_MANAGER = "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager"
_NODE = "org.apache.hadoop.yarn.server.nodemanager.NodeManager"


class YarnCluster:
    """A private cluster; its files are in *directory*, and all but logs are new at each start.

    Containers run as the user that runs this, as they do on a cluster without Kerberos.

    :param nodes: how many NodeManagers
    :param pair: two ResourceManagers, one of which stands by
    :param expiry: seconds of silence after which a node is given up
    """

    def __init__(
        self,
        reactor: Any,
        directory: Path,
        *,
        nodes: int = 1,
        pair: bool = False,
        expiry: float = 15.0,
        node_memory: int = NODE_MEMORY,
    ) -> None:
        self._reactor = reactor
        self._directory = DataDirectory(directory)
        self._expiry = expiry
        self._memory = node_memory
        self.zookeeper = self._child("zookeeper")
        self.managers = [self._child(f"rm{n}") for n in range(1, 3 if pair else 2)]
        self.nodes = [self._child(f"nm{n}") for n in range(1, nodes + 1)]
        self._names = PlainNames(directory / "names")
        self._layout: Layout | None = None
        self._java = Path()
        self._node_ports: list[Node] = []

    @property
    def path(self) -> Path:
        """Where its files are."""
        return self._directory.path

    @property
    def layout(self) -> Layout:
        """Ports and places of the present start."""
        assert self._layout is not None
        return self._layout

    @property
    def addresses(self) -> list[str]:
        """Host and port of each ResourceManager's web address."""
        return [f"127.0.0.1:{manager.web}" for manager in self.layout.managers]

    @property
    def ports(self) -> list[Node]:
        """The NodeManagers' numbers and ports of the present start."""
        return self._node_ports

    def start(self) -> Deferred[None]:
        """Start all servers; fires when services can be created.

        :raises SandboxError: Java, Maven or a jar is missing, or a server does not come up
        """
        return Deferred.fromCoroutine(self._start())

    def stop(self) -> Deferred[None]:
        """End all servers and what they ran; fires when nothing of them is left."""
        return Deferred.fromCoroutine(self._stop())

    def kill(self) -> None:
        """End all at once, for somebody who does not want to wait; :meth:`stop` fires sooner."""
        for child in self._children:
            child.signal_all(signal.SIGKILL)

    def start_manager(self, number: int) -> Deferred[None]:
        """Start the ResourceManager *number* (from 0) again, after a kill."""
        return Deferred.fromCoroutine(self._start_manager(number))

    def start_node(self, number: int) -> Deferred[None]:
        """Start the NodeManager *number* (from 0) again, after a kill."""
        return Deferred.fromCoroutine(self._start_node(number))

    async def active(self) -> int | None:
        """Return the number (from 0) of the ResourceManager that is active now."""
        for number, manager in enumerate(self.layout.managers):
            info = await ask(self._reactor, manager.web, _INFO)
            if info is not None and info["clusterInfo"].get("haState") == "ACTIVE":
                return number
        return None

    # ---- start

    @property
    def _children(self) -> list[Child]:
        return [*self.nodes, *self.managers, self.zookeeper]

    def _child(self, name: str) -> Child:
        ourselves = Account("", os.getuid(), os.getgid(), foreign=False)
        return Child(self._reactor, name, ourselves, self._directory.path, signal.SIGTERM)

    async def _start(self) -> None:
        java = find_java()
        place = await jars(self._reactor)
        self._directory.open()
        try:
            await self._clean()
            self._java = self._names.of(java)
            self._lay_out(self._names.of(place))
            await self._start_servers()
        except BaseException:
            await self._stop()
            raise

    async def _clean(self) -> None:
        for child in self._children:
            await child.end_leftover(_STOP_PATIENCE)
        # An ApplicationMaster whose cluster was killed knocks at the old ports for ever.
        await end_those_below(self._reactor, self._base, patience=0.0)
        self._names.remove()
        shutil.rmtree(self._base, ignore_errors=True)
        self._base.mkdir(parents=True)

    @property
    def _base(self) -> Path:
        return self._directory.path / "cluster"

    def _lay_out(self, place: Path) -> None:
        taken: set[int] = set()

        def port() -> int:
            while (free := free_port()) in taken:
                pass
            taken.add(free)
            return free

        managers = [
            ResourceManager(child.name, port(), port(), port(), port(), port())
            for child in self.managers
        ]
        self._node_ports = [
            Node(n, port(), port(), port(), port(), self._memory)
            for n, _ in enumerate(self.nodes, 1)
        ]
        base = self._names.of(self._base)
        layout = self._layout = Layout(base, place, port(), managers, self._expiry)
        for manager in managers:
            settings = configuration.rm_settings(layout, manager)
            configuration.write(layout, manager.id, settings)
        for node in self._node_ports:
            settings = configuration.node_settings(layout, node)
            configuration.write(layout, f"nm{node.number}", settings)
        conf = layout.conf("zookeeper")
        conf.mkdir(parents=True)
        (conf / "zoo.cfg").write_text(configuration.zookeeper_file(layout))
        shutil.copy(layout.conf(managers[0].id) / "log4j.properties", conf)

    async def _start_servers(self) -> None:
        conf = self.layout.conf("zookeeper") / "zoo.cfg"
        self._spawn(self.zookeeper, "128m", _ZOOKEEPER, os.fspath(conf))
        port = self.layout.zookeeper
        await until_ready(
            self._reactor, self.zookeeper, lambda: zookeeper_answers(self._reactor, port)
        )
        # The nodes knock until a ResourceManager is there: all of them start at once.
        starts = [self._start_manager(n) for n, _ in enumerate(self.managers)]
        starts += [self._start_node(n) for n, _ in enumerate(self.nodes)]
        await _all(starts)
        await self._until(self._serves, self.managers[0])

    async def _start_manager(self, number: int) -> None:
        child = self.managers[number]
        self._spawn(child, "512m", _MANAGER)
        port = self.layout.managers[number].web

        async def up() -> bool:
            return await ask(self._reactor, port, _INFO) is not None

        await until_ready(self._reactor, child, up)

    async def _start_node(self, number: int) -> None:
        child = self.nodes[number]
        self._spawn(child, "256m", _NODE)
        port = self._node_ports[number].web

        async def up() -> bool:
            return await ask(self._reactor, port, "/ws/v1/node/info") is not None

        await until_ready(self._reactor, child, up)

    async def _serves(self) -> bool:
        number = await self.active()
        if number is None:
            return False
        port = self.layout.managers[number].web
        metrics = await ask(self._reactor, port, "/ws/v1/cluster/metrics")
        if metrics is None or metrics["clusterMetrics"]["activeNodes"] < len(self.nodes):
            return False
        return await ask(self._reactor, port, _SERVICES) is not None

    async def _until(self, true: Callable[[], Awaitable[bool]], child: Child) -> None:
        await until_ready(self._reactor, child, true, patience=90.0)

    def _spawn(self, child: Child, heap: str, main: str, *arguments: str) -> None:
        conf = self.layout.conf(child.name)
        base = self.layout.base
        logs = f"-Dhadoop.log.dir={base}/logs", f"-Dyarn.log.dir={base}/logs"
        opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED]
        command = [os.fspath(self._java / "bin" / "java"), f"-Xmx{heap}", *_JVM, *logs, *opened]
        command += ["-cp", f"{conf}:{self.layout.jars}/*", main, *arguments]
        child.spawn(command, self._environment(conf), self._directory.path)

    def _environment(self, conf: Path) -> dict[str, str]:
        # Containers get PATH from here, and JAVA_HOME and HADOOP_CONF_DIR for ApplicationMasters.
        return {
            "PATH": f"{self._java}/bin:{os.environ.get('PATH', os.defpath)}",
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "JAVA_HOME": os.fspath(self._java),
            "HADOOP_CONF_DIR": os.fspath(conf),
        }

    # ---- end

    async def _stop(self) -> None:
        try:
            # The nodes end their containers, and tell the ResourceManager while it is there.
            await _all([child.end(signal.SIGTERM, _STOP_PATIENCE) for child in self.nodes])
            await _all([child.end(signal.SIGTERM, _STOP_PATIENCE) for child in self.managers])
            await self.zookeeper.end(signal.SIGTERM, _STOP_PATIENCE)
            # What a killed node left running has no parent any more.
            await end_those_below(self._reactor, self._base, patience=2.0)
            self._names.remove()
        finally:
            self._directory.close()


async def _all(works: list[Any]) -> None:
    results = await DeferredList(
        [Deferred.fromCoroutine(work) for work in works], consumeErrors=True
    )
    for succeeded, result in results:
        if not succeeded:
            result.raiseException()
