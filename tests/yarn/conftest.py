"""One real YARN cluster for the whole run, and a line whose leader keeps its agents there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from line_support import Line
from pytest_twisted import blockon
from twisted.internet.defer import Deferred, gatherResults
from yarn_support import Ending, YarnLine

from rtb.leader.yarn.client import YarnClient
from rtb.sandbox.yarn import JavaMissingError, YarnCluster, find_java, find_maven
from rtb.settings import Broker, Database


@pytest.fixture(scope="session")
def java() -> None:
    """Skips where a cluster cannot be had; with CI=true that is a failure."""
    try:
        find_java()
        find_maven()
    except JavaMissingError as problem:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"needs a YARN cluster: {problem}")


@pytest.fixture(scope="session")
def cluster(reactor: Any, public_directory: Path, java: None) -> Iterator[YarnCluster]:
    """Two ResourceManagers and two NodeManagers; a silent node is given up after 10 s."""
    cluster = YarnCluster(reactor, public_directory / "yarn", nodes=2, pair=True, expiry=10.0)
    blockon(cluster.start())
    yield cluster
    # How it ends in an orderly way is the matter of another test.
    cluster.kill()
    blockon(cluster.stop())


@pytest.fixture(scope="session")
def yarn(reactor: Any, cluster: YarnCluster) -> YarnClient:
    """A client of the cluster."""
    return YarnClient(reactor, [f"http://{where}" for where in cluster.addresses], "rtb")


@pytest.fixture(scope="session")
def ending(cluster: YarnCluster) -> Iterator[Ending]:
    """Removes services that tests have done with, while the next ones already run."""
    removing: list[Deferred[None]] = []
    yield lambda removal: removing.append(Deferred.fromCoroutine(removal))
    blockon(gatherResults(removing, consumeErrors=True))


@pytest.fixture
def yarn_line(
    reactor: Any,
    database: Database,
    vhost: Broker,
    tmp_path: Path,
    cluster: YarnCluster,
    yarn: YarnClient,
    ending: Ending,
    request: pytest.FixtureRequest,
) -> Iterator[YarnLine]:
    """A line whose leader keeps its agents on the cluster; its service ends with the test."""
    line = YarnLine(Line(reactor, database, vhost, tmp_path), cluster, yarn, request.node.name)
    yield line
    blockon(Deferred.fromCoroutine(line.clean()))
    ending(yarn.destroy(line.service))
