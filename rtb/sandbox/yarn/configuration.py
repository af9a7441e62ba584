"""The configuration of a private cluster, as plain dictionaries that are written as XML.

Each server has a directory of its own with all it reads; nothing comes from the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from attrs import frozen

__all__ = [
    "Layout",
    "Node",
    "ResourceManager",
    "node_settings",
    "rm_settings",
    "write",
    "zookeeper_file",
]

_HOST = "127.0.0.1"
#: Of a NodeManager: what agents may use, without regard to what the machine has.
NODE_MEMORY, NODE_CORES = 4096, 16
_AM_JVM = "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
_QUEUES = {
    "yarn.scheduler.capacity.root.queues": "default",
    "yarn.scheduler.capacity.root.default.capacity": "100",
    "yarn.scheduler.capacity.root.default.user-limit-factor": "1",
    # One ApplicationMaster may be a large part of so small a cluster.
    "yarn.scheduler.capacity.maximum-am-resource-percent": "1.0",
}
_LOGGING = """\
log4j.rootLogger=INFO, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.target=System.err
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=%d %-5p %c{1} %m%n
"""


def _at(port: int) -> str:
    return f"{_HOST}:{port}"


@frozen
class ResourceManager:
    """One ResourceManager: its id and its ports."""

    id: str
    client: int
    scheduler: int
    tracker: int
    admin: int
    web: int

    def addresses(self, suffix: str) -> dict[str, str]:
        """Return its addresses as settings whose names end in *suffix*."""
        prefix = "yarn.resourcemanager."
        return {
            f"{prefix}hostname{suffix}": _HOST,
            f"{prefix}address{suffix}": _at(self.client),
            f"{prefix}scheduler.address{suffix}": _at(self.scheduler),
            f"{prefix}resource-tracker.address{suffix}": _at(self.tracker),
            f"{prefix}admin.address{suffix}": _at(self.admin),
            f"{prefix}webapp.address{suffix}": _at(self.web),
        }


@frozen
class Node:
    """One NodeManager: its number, its ports and its memory for containers."""

    number: int
    address: int
    localizer: int
    web: int
    collector: int
    memory: int = NODE_MEMORY


@frozen
class Layout:
    """Where everything of one start is."""

    #: Holds ``conf``, and all that the cluster writes.
    base: Path
    jars: Path
    zookeeper: int
    managers: Sequence[ResourceManager]
    #: Seconds of silence after which a node, or an ApplicationMaster, is given up.
    expiry: float

    def conf(self, server: str) -> Path:
        """Return the directory of what *server* reads."""
        return self.base / "conf" / server


def write(layout: Layout, server: str, settings: Mapping[str, str]) -> None:
    """Write the directory that *server* reads."""
    place = layout.conf(server)
    place.mkdir(parents=True, exist_ok=True)
    (place / "core-site.xml").write_text(_xml(_core(layout)))
    (place / "yarn-site.xml").write_text(_xml(settings))
    (place / "capacity-scheduler.xml").write_text(_xml(_QUEUES))
    (place / "log4j.properties").write_text(_LOGGING)


def zookeeper_file(layout: Layout) -> str:
    """Return ZooKeeper's own configuration."""
    lines = {
        "clientPort": str(layout.zookeeper),
        "clientPortAddress": _HOST,
        "dataDir": str(layout.base / "zookeeper"),
        "tickTime": "500",
        "maxClientCnxns": "0",
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "ruok",
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _core(layout: Layout) -> dict[str, str]:
    quorum = _at(layout.zookeeper)
    return {
        "fs.defaultFS": "file:///",
        "hadoop.tmp.dir": str(layout.base / "tmp"),
        "hadoop.zk.address": quorum,
        # How long the other ResourceManager waits before it takes over.
        "hadoop.zk.timeout-ms": "4000",
        "hadoop.registry.zk.quorum": quorum,
        # A new ApplicationMaster that cannot read its containers there ends them.
        "hadoop.registry.zk.connection.timeout.ms": "15000",
        "hadoop.registry.zk.session.timeout.ms": "20000",
        "hadoop.registry.zk.retry.times": "5",
        "hadoop.registry.zk.retry.interval.ms": "500",
        "hadoop.registry.zk.retry.ceiling.ms": "2000",
    }


def _common(layout: Layout) -> dict[str, str]:
    if len(layout.managers) == 1:
        where = layout.managers[0].addresses("")
    else:
        where = {
            "yarn.resourcemanager.ha.enabled": "true",
            "yarn.resourcemanager.cluster-id": "rtb",
            "yarn.resourcemanager.ha.rm-ids": ",".join(rm.id for rm in layout.managers),
        }
        for manager in layout.managers:
            where |= manager.addresses(f".{manager.id}")
    expiry = str(int(layout.expiry * 1000))
    return where | {
        "yarn.log-aggregation-enable": "false",
        "yarn.timeline-service.enabled": "false",
        "yarn.resourcemanager.connect.retry-interval.ms": "1000",
        "yarn.resourcemanager.connect.max-wait.ms": "120000",
        "yarn.nm.liveness-monitor.expiry-interval-ms": expiry,
        "yarn.am.liveness-monitor.expiry-interval-ms": str(max(30000, int(expiry))),
        "yarn.service.base.path": str(layout.base / "services"),
        "yarn.service.classpath": f"{layout.jars}/*",
        # Of the ApplicationMaster, which reads what its node does.
        "yarn.service.readiness-check-interval.seconds": "1",
    }


def _own(layout: Layout, manager: ResourceManager) -> dict[str, str]:
    return {} if len(layout.managers) == 1 else {"yarn.resourcemanager.ha.id": manager.id}


def rm_settings(layout: Layout, manager: ResourceManager) -> dict[str, str]:
    """Return what *manager* reads as ``yarn-site.xml``."""
    prefix = "yarn.resourcemanager."
    return _common(layout) | _own(layout, manager) | {
        "yarn.webapp.api-service.enable": "true",
        "yarn.service.am-resource.memory": "512",
        "yarn.service.am.java.opts": f"{_AM_JVM} --add-opens=java.base/java.lang=ALL-UNNAMED",
        f"{prefix}am.max-attempts": "20",
        f"{prefix}recovery.enabled": "true",
        f"{prefix}store.class": "org.apache.hadoop.yarn.server.resourcemanager.recovery."
        "FileSystemRMStateStore",
        f"{prefix}fs.state-store.uri": f"file://{layout.base}/state",
        f"{prefix}work-preserving-recovery.scheduling-wait-ms": "1000",
        f"{prefix}nodemanagers.heartbeat-interval-ms": "500",
        f"{prefix}application-timeouts.monitor.interval-ms": "1000",
        "yarn.dispatcher.drain-events.timeout": "1000",
        "yarn.scheduler.minimum-allocation-mb": "64",
        "yarn.scheduler.maximum-allocation-mb": str(NODE_MEMORY),
        "yarn.scheduler.maximum-allocation-vcores": str(NODE_CORES),
    }  # fmt: skip


def node_settings(layout: Layout, node: Node) -> dict[str, str]:
    """Return what *node* reads as ``yarn-site.xml``."""
    prefix = "yarn.nodemanager."
    place = layout.base / f"nm{node.number}"
    full = f"{prefix}disk-health-checker."
    # Its pages link one ResourceManager: of two at its own address it can choose none, and answers
    # 500. It speaks to whichever is active all the same.
    linked = layout.managers[0]
    return (
        _common(layout)
        | _own(layout, linked)
        | {
            f"{prefix}hostname": _HOST,
            f"{prefix}address": _at(node.address),
            f"{prefix}localizer.address": _at(node.localizer),
            f"{prefix}webapp.address": _at(node.web),
            f"{prefix}collector-service.address": _at(node.collector),
            f"{prefix}local-dirs": str(place / "local"),
            f"{prefix}log-dirs": str(place / "logs"),
            f"{prefix}resource.memory-mb": str(node.memory),
            f"{prefix}resource.cpu-vcores": str(NODE_CORES),
            f"{prefix}vmem-check-enabled": "false",
            f"{prefix}pmem-check-enabled": "false",
            f"{prefix}resource-monitor.interval-ms": "1000",
            # Killed and started again, it takes its containers back; told to stop, it ends them.
            f"{prefix}recovery.enabled": "true",
            f"{prefix}recovery.supervised": "false",
            f"{prefix}recovery.dir": str(place / "recovery"),
            # Hadoop's default: agents have that long between SIGTERM and SIGKILL.
            f"{prefix}sleep-delay-before-sigkill.ms": "250",
            # What is left of a container stays for those who look why it failed.
            f"{prefix}delete.debug-delay-sec": "600",
            f"{full}max-disk-utilization-per-disk-percentage": "100",
            f"{full}min-free-space-per-disk-mb": "0",
        }
    )


def _xml(settings: Mapping[str, str]) -> str:
    rows = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in settings.items()
    )
    return f'<?xml version="1.0"?>\n<configuration>\n{rows}</configuration>\n'
