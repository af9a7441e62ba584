"""A private Hadoop YARN: ZooKeeper, ResourceManagers and NodeManagers as children of this process.

It is Hadoop's own, of one version, on loopback ports that are new at each start; its jars come
through Maven once and stay in a cache.
"""

from __future__ import annotations

from rtb.sandbox.yarn.cluster import YarnCluster
from rtb.sandbox.yarn.java import JavaMissingError, find_java, find_maven

__all__ = ["JavaMissingError", "YarnCluster", "find_java", "find_maven"]
