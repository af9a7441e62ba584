"""Hadoop's jars: resolved by Maven from a project file made here, kept in a cache.

The cache is outside of any checkout: ``RTB_YARN_CACHE``, else below the user's cache directory.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from attrs import frozen
from twisted.internet.task import deferLater

from rtb.sandbox.accounts import Account
from rtb.sandbox.child import Child
from rtb.sandbox.yarn.java import find_java, find_maven

__all__ = ["HADOOP", "cache_directory", "jars", "project_file"]

#: The version whose services artifacts can be had whole.
HADOOP = "3.4.2"
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_LOOK_EVERY = 0.5


@frozen
class _Artifact:
    group: str
    name: str
    version: str
    why: str


def _hadoop(name: str, why: str) -> _Artifact:
    return _Artifact("org.apache.hadoop", f"hadoop-{name}", HADOOP, why)


_ARTIFACTS = (
    _hadoop("common", "the servers' project files take it for granted"),
    _hadoop("yarn-server-resourcemanager", "the ResourceManager"),
    _hadoop("yarn-server-nodemanager", "the NodeManager"),
    _hadoop("yarn-server-timelineservice", "the ResourceManager links it without naming it"),
    _hadoop("yarn-services-api", "the REST API of YARN Services, inside the ResourceManager"),
    _hadoop("yarn-services-core", "its client side and its ApplicationMaster"),
    _hadoop("yarn-client", "the ApplicationMaster speaks through it"),
    _Artifact("commons-lang", "commons-lang", "2.6", "a submission calls it; nobody names it"),
    _Artifact("org.slf4j", "slf4j-reload4j", "1.7.36", "the logging that Hadoop leaves open"),
)
#: Dragged in for federation and code generation, neither of which happens here; some of them only
#: resolve against repositories that may not be reached.
_UNWANTED = (
    ("org.ehcache", "*"),
    ("com.microsoft.sqlserver", "*"),
    ("org.jsonschema2pojo", "*"),
)


def project_file() -> str:
    """Return the Maven project whose dependencies are the cluster's class path."""
    exclusions = "".join(
        f"<exclusion><groupId>{group}</groupId><artifactId>{name}</artifactId></exclusion>"
        for group, name in _UNWANTED
    )
    dependencies = "".join(
        f"\n    <!-- {escape(a.why)} -->\n    <dependency><groupId>{a.group}</groupId>"
        f"<artifactId>{a.name}</artifactId><version>{a.version}</version>"
        f"<exclusions>{exclusions}</exclusions></dependency>"
        for a in _ARTIFACTS
    )
    versions = (
        "<dependencyManagement><dependencies><dependency><groupId>org.apache.hadoop</groupId>"
        f"<artifactId>hadoop-project</artifactId><version>{HADOOP}</version><type>pom</type>"
        "<scope>import</scope></dependency></dependencies></dependencyManagement>"
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0">\n'
        "  <modelVersion>4.0.0</modelVersion><packaging>pom</packaging>\n"
        "  <groupId>rtb</groupId><artifactId>private-yarn</artifactId><version>0</version>\n"
        f"  {versions}\n  <dependencies>{dependencies}\n  </dependencies>\n</project>\n"
    )


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return where the jars of all checkouts of this user are kept."""
    if environ.get("RTB_YARN_CACHE"):
        return Path(environ["RTB_YARN_CACHE"])
    home = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/root")) / ".cache")
    return Path(home) / "rtb" / "yarn"


async def jars(reactor: Any, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of jars, filled by Maven if that was not done before.

    :raises JavaMissingError: Maven is needed and not there
    :raises ServerFailedError: Maven could not resolve them
    """
    cache = cache_directory(environ)
    text = project_file()
    ready = cache / f"hadoop-{HADOOP}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    if ready.exists():
        return ready
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        await _locked(reactor, lock.fileno())
        if not ready.exists():
            await _resolve(reactor, environ, cache, text, ready)
    return ready


async def _locked(reactor: Any, lock: int) -> None:
    """Wait for another process that fills the cache."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await deferLater(reactor, _LOOK_EVERY)
        else:
            return


async def _resolve(
    reactor: Any, environ: Mapping[str, str], cache: Path, text: str, ready: Path
) -> None:
    maven = find_maven(environ)
    new = cache / "new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    project = cache / "pom.xml"
    project.write_text(text)
    account = Account("", os.getuid(), os.getgid(), foreign=False)
    child = Child(reactor, "maven", account, cache, signal.SIGTERM)
    arguments = ["-B", "-q", "-f", os.fspath(project), f"{_PLUGIN}:copy-dependencies"]
    arguments += ["-DincludeScope=runtime", f"-DoutputDirectory={new}"]
    home = os.fspath(find_java(environ))
    await child.run([os.fspath(maven), *arguments], {**environ, "JAVA_HOME": home}, cache)
    # Under its name only when it is whole: an interrupted download leaves nothing behind.
    new.rename(ready)
