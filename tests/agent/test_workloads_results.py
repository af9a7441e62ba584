from __future__ import annotations

import functools
import json
import re
from typing import Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtb.agent.output import OUTPUT_BYTES, Tail, clean, one_line
from rtb.agent.results import RESULT_BYTES, UnusableResult, encode
from rtb.agent.workloads.lastline import LastLine
from rtb.settings import Database

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def nested(depth: int) -> Any:
    return functools.reduce(lambda inner, _: [inner], range(depth), 1)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (float("nan"), "no JSON value"),
        ([float("inf")], "no JSON value"),
        ({"a": object()}, "no JSON value"),
        ("\ud800", "half a character"),
        ({"\udfff": 1}, "half a character"),
        ("a\0b", "NUL character"),
        ({"a\0": 1}, "NUL character"),
        ([[{"a": ["\0"]}]], "NUL character"),
        ("x" * RESULT_BYTES, "write it to a file"),
        ("é" * (RESULT_BYTES // 2), "write it to a file"),
        (nested(101), "nested"),
        (nested(100_000), "nested"),
    ],
)
def test_unusable(value: Any, why: str) -> None:
    with pytest.raises(UnusableResult, match=why):
        encode(value)


def test_a_value_that_contains_itself() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(UnusableResult, match="no JSON value"):
        encode(ring)


@pytest.mark.parametrize(
    "value",
    [None, "x" * (RESULT_BYTES - 2), nested(100), [[]] * 500, "\\u0000", "é", 10**4000, 1e308],
)
def test_usable(value: Any) -> None:
    assert json.loads(encode(value)) == value


@pytest.fixture
def cursor(database: Database) -> Any:
    connection = psycopg2.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        dbname=database.name,
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


def test_what_is_usable_can_be_stored(cursor: Any) -> None:
    stored = 0

    @given(VALUES)
    def store(value: Any) -> None:
        nonlocal stored
        try:
            data = encode(value)
        except UnusableResult:
            return
        cursor.execute("SELECT %s::jsonb::text", (data.decode(),))
        (text,) = cursor.fetchone()
        assert json.loads(text, parse_int=float) == json.loads(data, parse_int=float)
        stored += 1

    store()
    assert stored > 10


def test_what_commands_print_is_usable_or_refused(cursor: Any) -> None:
    texts = [
        b"1e400",
        b"1e-20000",
        b"0e-20000",
        b"9" * 5000,
        b'"\\ud800"',
        b"\xff\0x",
        b"NaN",
        b"[" * 9,
    ]
    for text in texts:
        line = LastLine()
        line.feed(text)
        try:
            cursor.execute("SELECT %s::jsonb::text", (line.result().decode(),))
        except UnusableResult:
            continue


def of(*chunks: bytes) -> bytes:
    line = LastLine()
    for chunk in chunks:
        line.feed(chunk)
    return line.result()


@pytest.mark.parametrize(
    ("printed", "result"),
    [
        (b"", b"null"),
        (b"\n \n", b"null"),
        (b"done", b'"done"'),
        (b'log\n{"a": 1}\n', b'{"a":1}'),
        (b'log\r\n{"a": 1}\r\n\r\n', b'{"a":1}'),
        (b"1\n2.50\n", b"2.5"),
        (b"true", b"true"),
        (b"NaN", b'"NaN"'),
        (b"{not json", b'"{not json"'),
        (b"/out/1.2\x1b[0m\0", b'"/out/1.2"'),
        (b"caf\xe9", '"caf\ufffd"'.encode()),
    ],
)
def test_last_line(printed: bytes, result: bytes) -> None:
    assert of(printed) == result


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        (b'{"a": NaN}', "NaN"),
        (b"[1, -Infinity]", "-Infinity"),
        (b"[1e999]", "no JSON value"),
        (b'"a\\u0000b"', "NUL"),
        (b'["\\ud800"]', "half a character"),
        (b"x" * 10_000_000, "longer than"),
        (b'"' * 40_000, "write it to a file"),
        (b"[" * 60_000, "nested"),
    ],
)
def test_last_line_that_is_no_result(printed: bytes, why: str) -> None:
    with pytest.raises(UnusableResult, match=why):
        of(printed)


@given(st.lists(st.text(" \nab\r").map(str.encode), max_size=8))
def test_last_line_in_any_pieces(chunks: list[bytes]) -> None:
    lines = [line.strip() for line in b"".join(chunks).split(b"\n") if line.strip()]
    expected = json.dumps(clean(lines[-1].decode())).encode() if lines else b"null"
    assert of(*chunks) == expected


def test_clean() -> None:
    assert clean("a\0b\r\nc\rd\te\x1b[31;1mred\x1b[0m\x07\x9b \ud800") == "ab\nc\nd\tered "
    assert one_line("a\n b\0\tc") == "a b c"
    assert len(one_line("x" * 5000)) == 1000


@given(st.lists(st.binary(max_size=60), max_size=20), st.integers(1, 50))
def test_tail_in_any_pieces(chunks: list[bytes], size: int) -> None:
    tail = Tail(size)
    for chunk in chunks:
        tail.feed(chunk)
    text, whole = tail.text(), b"".join(chunks)
    mark, kept = re.fullmatch(r"(\[… .* bytes cut …\]\n)?(.*)", text, re.DOTALL).groups()
    assert len(kept.encode()) <= size
    assert bool(mark) or len(whole) <= size
    assert not re.search(r"[^\n\t -~\xa0-\U0010ffff]", kept)


def test_tail_marks_what_it_cut() -> None:
    tail = Tail()
    tail.feed(b"a" * 100 + b"b" * OUTPUT_BYTES)
    assert tail.text() == "[… 100 bytes cut …]\n" + "b" * OUTPUT_BYTES
