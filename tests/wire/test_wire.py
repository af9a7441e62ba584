from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtb.model import wire
from rtb.model.wire import (
    LARGEST_BYTES,
    MESSAGE_BYTES,
    MESSAGE_UNITS,
    VERSION,
    Barrier,
    Ended,
    NewerVersionError,
    Report,
    Status,
    StatusKind,
    Track,
    WireError,
    decode,
    encode,
    parts,
)

GOLDEN = sorted((Path(__file__).parent / "v1").glob("*.json"))


def key_of(file: Path) -> str:
    return file.stem.partition("@")[0]


def body_of(key: str) -> dict[str, Any]:
    """Return the golden message that travels by *key*, to be spoilt."""
    (file,) = (file for file in GOLDEN if key_of(file) == key and "@" not in file.stem)
    body: dict[str, Any] = json.loads(file.read_bytes())
    return body


def extends(old: Any, new: Any) -> bool:
    """Is everything of *old* in *new*, at its place?"""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(
            key in new and extends(value, new[key]) for key, value in old.items()
        )
    if isinstance(old, list):
        return (
            isinstance(new, list)
            and len(old) <= len(new)
            and all(extends(*pair) for pair in zip(old, new, strict=False))
        )
    return type(old) is type(new) and bool(old == new)


# ---- golden files


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_a_golden_message_is_read_and_written_as_ever(file: Path) -> None:
    body = file.read_bytes()
    message = decode(key_of(file), body)
    again = encode(message)
    assert extends(json.loads(body), json.loads(again))
    assert decode(key_of(file), again) == message


@pytest.mark.parametrize("key", sorted({key_of(file) for file in GOLDEN}))
def test_every_field_is_in_a_golden_message(key: str) -> None:
    bodies = [file.read_bytes() for file in GOLDEN if key_of(file) == key]
    assert any(json.loads(encode(decode(key, body))) == json.loads(body) for body in bodies)


def test_every_message_and_every_kind_of_news_is_golden() -> None:
    messages = [decode(key_of(file), file.read_bytes()) for file in GOLDEN]
    assert {type(message) for message in messages} == set(get_args(wire.Message))
    kinds = {message.kind for message in messages if isinstance(message, Status)}
    assert kinds == set(StatusKind)


def test_every_message_says_its_version_and_its_ledger() -> None:
    for kind in get_args(wire.Message):
        assert {"v", "ledger"} <= set(kind.__struct_fields__)


# ---- readers of older and newer writers


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_unknown_fields_are_ignored(file: Path) -> None:
    body = json.loads(file.read_bytes())
    message = decode(key_of(file), json.dumps(body).encode())
    body["later"] = {"more": [1, 2]}
    for entry in body.get("units", []) + body.get("give", []) + body.get("holding", []):
        if len(entry) != 2:  # pairs (unit, attempt) are pairs for ever
            whole = len(entry) if not key_of(file).startswith("status.") else 6
            entry += [None] * (whole - len(entry)) + ["later"]
    for agent in body.get("agents", []):
        agent["later"] = True
    assert decode(key_of(file), json.dumps(body).encode()) == message


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_a_newer_version_is_told_apart(file: Path) -> None:
    body = json.loads(file.read_bytes()) | {"v": VERSION + 1}
    with pytest.raises(NewerVersionError, match="version 2"):
        decode(key_of(file), json.dumps(body).encode())


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_a_newer_version_may_look_quite_different(file: Path) -> None:
    with pytest.raises(NewerVersionError):
        decode(key_of(file), b'{"v": 2, "units": "elsewhere", "epoch": {}}')


def test_a_message_without_a_version_is_of_the_first() -> None:
    assert decode("barrier", b'{"ledger":"x","epoch":3}') == Barrier(ledger="x", epoch=3)


# ---- bad messages: each is one WireError, and nothing else


@pytest.mark.parametrize("key", sorted({key_of(file) for file in GOLDEN}))
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="no JSON"),
        pytest.param(b"\xff\xfe\x00", id="bytes"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"{}", id="no fields"),
        pytest.param(b'{"v":1', id="cut"),
        pytest.param(b'{"v":1}{"v":1}', id="two"),
        pytest.param(b"[" * 10_000 + b"]" * 10_000, id="deep array"),
        pytest.param(b'{"v":' + b"[" * 10_000 + b"]" * 10_000 + b"}", id="deep version"),
        pytest.param(b'{"x":' * 10_000 + b"1" + b"}" * 10_000, id="deep object"),
        pytest.param(b'{"v":1,"ledger":' + b"9" * 10_000 + b"}", id="long number"),
    ],
)
def test_what_is_no_message(key: str, body: bytes) -> None:
    with pytest.raises(WireError):
        decode(key, body)


@pytest.mark.parametrize("key", ["", "dead", "status", "outbox", "Out.outbox", "statusx.error"])
def test_a_key_that_carries_none(key: str) -> None:
    with pytest.raises(WireError):
        decode(key, encode(Barrier(ledger="x", epoch=1)))


@pytest.mark.parametrize("key", sorted({key_of(file) for file in GOLDEN}))
@pytest.mark.parametrize("version", [0, -1, "1", 1.5, None, True, [], 1e400, -(2**70)])
def test_no_version(key: str, version: Any) -> None:
    body = json.dumps(body_of(key) | {"v": version}).encode()
    with pytest.raises(WireError):
        decode(key, body)


@pytest.mark.parametrize("key", sorted({key_of(file) for file in GOLDEN}))
def test_each_missing_field_is_missed(key: str) -> None:
    body = body_of(key)
    (kind,) = {type(decode(key, json.dumps(body).encode()))}
    for field in msgspec.structs.fields(kind):
        if not field.required:
            continue
        with pytest.raises(WireError, match=field.encode_name):
            decode(key, json.dumps({k: v for k, v in body.items() if k != field.name}).encode())


PLACES = [
    ("out.outbox", "units"),
    ("track.outbox", "holding"),
    ("work.a1a2a3a4a5a6a7a8a9aaabac", "give"),
    ("work.a1a2a3a4a5a6a7a8a9aaabac", "drop"),
    ("status.queued", "units"),
    ("status.success", "units"),
    ("control.outbox", "closed"),
]
NO_NUMBERS = [-1, 0, "1", 1.5, None, True, 2**63, 2**64, 10**4000, [1]]


@pytest.mark.parametrize(("key", "field"), PLACES)
@pytest.mark.parametrize("element", [0, 1], ids=["unit", "attempt"])
@pytest.mark.parametrize("number", NO_NUMBERS, ids=lambda number: str(number)[:20])
def test_no_unit_or_no_attempt(key: str, field: str, element: int, number: Any) -> None:
    body = body_of(key)
    body[field][0][element] = number
    with pytest.raises(WireError):
        decode(key, json.dumps(body).encode())


@pytest.mark.parametrize(("key", "field"), PLACES)
def test_the_largest_unit_and_attempt(key: str, field: str) -> None:
    body = body_of(key)
    body[field][0][:2] = [2**63 - 1, 2**31 - 1]
    decode(key, json.dumps(body).encode())
    body[field][0][1] = 2**31
    with pytest.raises(WireError, match="2147483647"):
        decode(key, json.dumps(body).encode())


@pytest.mark.parametrize("kind", ["exploded", "queued", "claimed", "", 1, None])
def test_no_kind_of_news(kind: Any) -> None:
    body = body_of("status.success") | {"kind": kind}
    with pytest.raises(WireError):
        decode("status.success", json.dumps(body).encode())


def test_news_that_came_by_another_key() -> None:
    body = json.dumps(body_of("status.success")).encode()
    with pytest.raises(WireError, match=r"a success came by 'status\.error'"):
        decode("status.error", body)


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"01", b"'a'"])
@pytest.mark.parametrize("place", [b"12.5", b"0.25"], ids=["time", "inside a result"])
def test_no_json_number(word: bytes, place: bytes) -> None:
    body = json.dumps(body_of("status.success")).encode()
    assert body.count(place) == 1
    if (word, place) == (b"1e999", b"0.25"):
        pytest.skip("is JSON: the agent refuses such a result, and the ledger as well")
    with pytest.raises(WireError):
        decode("status.success", body.replace(place, word))


@pytest.mark.parametrize("text", [rb"\ud800", rb"a\udfffb", rb"\uDC00\uD800", b"\xed\xa0\x80"])
@pytest.mark.parametrize("field", ["box", "source", "name", "ledger"])
def test_half_a_surrogate_pair(text: bytes, field: str) -> None:
    body = json.dumps(body_of("status.success") | {field: "TEXT"}).encode()
    with pytest.raises(WireError):
        decode("status.success", body.replace(b"TEXT", text))


@pytest.mark.parametrize("key", sorted({key_of(file) for file in GOLDEN}))
def test_nul_in_a_text(key: str) -> None:
    """Neither PostgreSQL nor a process's arguments can carry it."""
    for field, value in body_of(key).items():
        if isinstance(value, str):
            with pytest.raises(WireError):
                decode(key, json.dumps(body_of(key) | {field: "a\x00b"}).encode())


def test_nul_in_one_event_does_not_cost_its_neighbours() -> None:
    """The ledger refuses that one alone."""
    body = body_of("status.error")
    body["units"][0][4] = "a\x00b"
    message = decode("status.error", json.dumps(body).encode())
    assert isinstance(message, Status)


@pytest.mark.parametrize("field", ["capacity", "queued", "slots", "busy"])
@pytest.mark.parametrize("number", [-1, 2**31, 2**63, "8", 1.5, None])
def test_a_report_of_impossible_counts(field: str, number: Any) -> None:
    """The ledger would refuse it for ever, with all that waits behind it."""
    with pytest.raises(WireError):
        decode("status.queued", json.dumps(body_of("status.queued") | {field: number}).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slots", -1),
        ("slots", 2**31),
        ("busy", 2**31),
        ("silent", -1.0),
        ("silent", 1e300),
        ("agent", "a\x00"),
        ("name", "a\x00"),
        ("host", "a\x00"),
        ("workloads", ["a\x00"]),
        ("presence", "asleep"),
    ],
)
def test_a_report_of_an_impossible_agent(field: str, value: Any) -> None:
    body = body_of("status.queued")
    body["agents"][0][field] = value
    with pytest.raises(WireError):
        decode("status.queued", json.dumps(body).encode())


@pytest.mark.parametrize("box", ["", "A", "inbox", "a b", "a" * 64])
def test_a_report_of_a_box_that_cannot_be(box: str) -> None:
    with pytest.raises(WireError, match="no name for a box"):
        decode("status.queued", json.dumps(body_of("status.queued") | {"box": box}).encode())


@given(st.binary(max_size=60), st.sampled_from(sorted({key_of(file) for file in GOLDEN})))
def test_any_bytes_are_a_message_or_a_wire_error(body: bytes, key: str) -> None:
    with suppress(WireError, NewerVersionError):
        decode(key, body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.data(), st.sampled_from(sorted({key_of(file) for file in GOLDEN})))
def test_any_spoilt_message_is_a_message_or_a_wire_error(data: Any, key: str) -> None:
    body = body_of(key)
    field = data.draw(st.sampled_from(sorted(body)))
    body[field] = data.draw(JSON)
    try:
        message = decode(key, json.dumps(body).encode())
    except (WireError, NewerVersionError):
        return
    assert decode(key, encode(message)) == message


# ---- cutting


@given(st.lists(st.integers(0, 70_000), max_size=40))
def test_parts_fit_a_message_and_keep_the_order(sizes: list[int]) -> None:
    entries = [Ended(i, 1, why="x" * size) for i, size in enumerate(sizes, 1)]
    cut = list(parts(entries))
    assert [entry for part in cut for entry in part] == entries
    assert all(cut)
    for part in cut:
        assert len(part) == 1 or sum(len(encode_entry(entry)) for entry in part) <= MESSAGE_BYTES
    # No two neighbours could have been one.
    for one, other in pairwise(cut):
        first = sum(len(encode_entry(entry)) for entry in one)
        assert first + len(encode_entry(other[0])) > MESSAGE_BYTES


def encode_entry(entry: Ended) -> bytes:
    return msgspec.json.encode(entry)


def test_parts_are_cut_by_count_as_well() -> None:
    cut = list(parts([Ended(i, 1) for i in range(1, 2 * MESSAGE_UNITS + 2)]))
    assert [len(part) for part in cut] == [MESSAGE_UNITS, MESSAGE_UNITS, 1]


def test_readable_bytes_only_where_they_are_expected() -> None:
    track = decode("track.outbox", json.dumps(body_of("track.outbox")).encode())
    report = decode("status.queued", json.dumps(body_of("status.queued")).encode())
    assert isinstance(track, Track)
    assert isinstance(report, Report)
    assert [held.key for held in track.holding] == report.units


def test_nothing_longer_than_the_limit_is_read() -> None:
    body = b'{"ledger":"x","epoch":3}'
    assert decode("barrier", body.ljust(LARGEST_BYTES)) == Barrier(ledger="x", epoch=3)
    with pytest.raises(WireError, match="longer than"):
        decode("barrier", body.ljust(LARGEST_BYTES + 1))
