"""The process that runs plain Python functions: one after another, in its main thread.

It is run as a file, with the fds of its protocol as arguments, and reads and writes frames: four
bytes of length, then as many bytes. It gets a unit's JSON document in each; it answers an empty
frame when it begins and then one that starts with R (the result, as JSON), F (what went wrong) or
P (the same, and it would again). Standard output and error belong to the function. At the end of
its input it ends.

Standard library only, so that it starts fast and is small.
"""

from __future__ import annotations

import faulthandler
import functools
import importlib
import inspect
import json
import os
import re
import struct
import sys
import traceback
from collections.abc import Callable
from typing import Any

# The agent's own path, since this file may be run where rtb is not installed.
sys.path[:] = json.loads(sys.argv[1])["path"] if __name__ == "__main__" else sys.path

from rtb.agent.results import UnusableResult, encode  # noqa: E402
from rtb.workload import Permanent, Unit  # noqa: E402

__all__ = ["describe", "is_reactive", "load", "read_unit"]

_LENGTH = struct.Struct("!I")


def load(name: str) -> Callable[[Unit], Any]:
    """Return the function that ``MODULE:FUNCTION`` names."""
    module, _, attributes = name.partition(":")
    function: Any = importlib.import_module(module)
    for attribute in attributes.split("."):
        function = getattr(function, attribute)
    if not callable(function):
        raise TypeError(f"{name} is no function")
    return function  # type: ignore[no-any-return]


def is_reactive(function: Callable[..., Any]) -> bool:
    """Say whether *function* is to run on the reactor: ``async``, or it returns a Deferred."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.iscoroutinefunction(function):
        return True
    if inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004
        return True
    return _inlines(function) or _announces_deferred(function)


def _inlines(function: Callable[..., Any]) -> bool:
    # Who has not imported Twisted has not decorated with it.
    defer = sys.modules.get("twisted.internet.defer")
    if defer is None:
        return False
    wrapper = defer.inlineCallbacks(_empty)
    code = getattr(function, "__code__", None)
    return code is not None and code is wrapper.__code__


def _empty() -> Any:
    yield


def _announces_deferred(function: Callable[..., Any]) -> bool:
    returned = getattr(function, "__annotations__", {}).get("return")
    text = returned if isinstance(returned, str) else repr(returned)
    return re.search(r"\bDeferred\b(?!\w)", text) is not None


def read_unit(document: bytes) -> Unit:
    """Return the unit that *document* describes."""
    return Unit(**json.loads(document))


def describe(problem: BaseException) -> str:
    """Return type and message of *problem*."""
    try:
        text = str(problem)
    except Exception:
        text = "(its message cannot be shown)"
    name = type(problem).__name__
    return f"{name}: {text}" if text else name


def _run(name: str, document: bytes) -> bytes:
    try:
        return b"R" + encode(load(name)(read_unit(document)))
    except UnusableResult as problem:
        return b"P" + _short(str(problem))
    except Permanent as problem:
        _print_traceback(problem)
        return b"P" + _short(str(problem) or "Permanent")
    except BaseException as problem:
        # SystemExit as well: it ends the unit, and the process stays warm.
        _print_traceback(problem)
        return b"F" + _short(describe(problem))
    finally:
        _flush()


def _short(text: str) -> bytes:
    return text[:4000].encode(errors="replace")


def _print_traceback(problem: BaseException) -> None:
    _flush()
    inner = problem.__traceback__
    while inner is not None and inner.tb_frame.f_code.co_filename == __file__:
        inner = inner.tb_next
    text = "".join(traceback.format_exception(type(problem), problem, inner))
    # Not through sys.stderr, which the function may have replaced or closed.
    _write_all(2, text.encode(errors="replace"))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _read_frame(fd: int) -> bytes | None:
    head = _read_exactly(fd, _LENGTH.size)
    return None if head is None else _read_exactly(fd, _LENGTH.unpack(head)[0])


def _read_exactly(fd: int, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        piece = os.read(fd, size - len(data))
        if not piece:
            return None
        data += piece
    return data


def _serve(name: str, source: int, sink: int) -> None:
    for fd in (source, sink):
        os.set_inheritable(fd, False)
    # One pipe for both, so that they stay in order.
    os.dup2(1, 2)
    faulthandler.enable()
    while (document := _read_frame(source)) is not None:
        _write_all(sink, _LENGTH.pack(0))
        answer = _run(name, document)
        _write_all(sink, _LENGTH.pack(len(answer)) + answer)


def _check(name: str, sink: int) -> None:
    os.set_inheritable(sink, False)
    try:
        answer = "reactive" if is_reactive(load(name)) else "plain"
    except Exception as problem:
        answer = describe(problem)
    _write_all(sink, answer.encode(errors="replace"))


def _main() -> None:
    name, *fds = sys.argv[2:]
    # Where `python -m` would look for the module.
    sys.path.insert(0, os.getcwd())
    if len(fds) == 1:
        _check(name, int(fds[0]))
    else:
        _serve(name, int(fds[0]), int(fds[1]))


if __name__ == "__main__":
    _main()
