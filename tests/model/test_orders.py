from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rtb.model.json_text import depth, pointer_to, read_json
from rtb.model.orders import BadOrderError, NewOrder, NewUnit, read_order


def refused(body: bytes | dict[str, Any]) -> tuple[str, str, bool]:
    with pytest.raises(BadOrderError) as caught:
        read_order(body if isinstance(body, bytes) else json.dumps(body).encode())
    return caught.value.pointer, str(caught.value), caught.value.malformed


def test_the_least_order() -> None:
    assert read_order(b'{"units":["a",{}]}') == NewOrder(
        account="default",
        name=None,
        workload="default",
        priority=0,
        units=[NewUnit("a", b"null"), NewUnit("", b"null")],
    )


def test_a_whole_order() -> None:
    order = read_order(
        b'{"account":"Ada L.","name":"april","workload":"scene","priority":-3,'
        b'"units":[{"name":"\xc3\xa9","payload":{"a" : 1.50}},{"payload":[1,"\\u0041"]}]}'
    )
    assert order == NewOrder(
        account="Ada L.",
        name="april",
        workload="scene",
        priority=-3,
        units=[NewUnit("é", b'{"a" : 1.50}'), NewUnit("", b'[1,"\\u0041"]')],
    )


def test_a_payload_is_stored_on_one_line_with_its_numbers_as_written() -> None:
    order = read_order(b'{"units":[{"payload":{\r\n "a" : [1.000,\n "x y"]}}]}')
    assert order.units[0].payload == b'{"a":[1.000,"x y"]}'


DEEP = "[" * 21 + "]" * 21


@pytest.mark.parametrize(
    ("body", "pointer", "malformed"),
    [
        (b"", "", True),
        (b"\xff", "", True),
        (b"{", "", True),
        (b'{"units":["a"]} x', "", True),
        (b"[]", "", False),
        (b"7", "", False),
        (b"{}", "", False),
        (b'{"units":[]}', "/units", False),
        (b'{"units":{}}', "/units", False),
        (b'{"units":["a",3]}', "/units/1", False),
        (b'{"units":["a",{"name":3}]}', "/units/1/name", False),
        (b'{"units":["a",""]}', "/units/1", False),
        (b'{"units":[{"name":""}]}', "/units/0/name", False),
        (b'{"units":["a",{"nme":"b"}]}', "/units/1/nme", False),
        (b'{"units":["a"],"a/b~c":1}', "/a~1b~0c", False),
        (b'{"units":["a","b",{"name":"a"}]}', "/units/2/name", False),
        (b'{"units":["a","a"]}', "/units/1", False),
        (b'{"units":["a"],"account":""}', "/account", False),
        (b'{"units":["a"],"account":" x"}', "/account", False),
        (b'{"units":["a"],"workload":"A B"}', "/workload", False),
        (b'{"units":["a"],"name":""}', "/name", False),
        (b'{"units":["a"],"priority":2147483648}', "/priority", False),
        (b'{"units":["a"],"priority":1.5}', "/priority", False),
        (b'{"units":["a"],"not_before":"2030-01-01T00:00:00"}', "/not_before", False),
        (b'{"units":["a"],"priority":9223372036854775808}', "/priority", False),
        (b'{"units":[{"payload":[1,{"x":9223372036854775808}]}]}', "/units/0/payload/1/x", False),
        (b'{"units":["a",{"payload":[1,-1e999]}]}', "/units/1/payload/1", False),
        (b'{"units":["a",{"payload":{"x":NaN}}]}', "/units/1/payload/x", True),
        (b'{"units":["a",{"payload":{"x":-Infinity}}]}', "/units/1/payload/x", True),
        (b'{"units":["a"],"units":["b"]}', "", True),
        (b'{"units":["a",{"payload":{"k":{"x":1,"x":2}}}]}', "/units/1/payload/k", True),
        (b'{"units":["a","\\u0000"]}', "/units/1", False),
        (b'{"units":["a",{"payload":{"k":["\\ud800"]}}]}', "/units/1/payload/k/0", False),
        (b'{"units":["a",{"payload":{"\\uDC00":1}}]}', "/units/1/payload", False),
        (b'{"units":["a"],"account":"\\u0000"}', "/account", False),
        (f'{{"units":["a",{{"payload":{DEEP}}}]}}'.encode(), "/units/1/payload", True),
        (b'{"units":["a",{"payload":' + b"[" * 9000 + b"]" * 9000 + b"}]}", "", True),
        (b'{"units":["a",{"payload":"' + b"x" * 65535 + b'"}]}', "/units/1/payload", False),
        ({"units": ["x" * 256]}, "/units/0", False),
    ],
)  # fmt: skip
def test_what_is_refused_is_refused_with_its_place(
    body: bytes, pointer: str, malformed: bool
) -> None:
    place, why, is_malformed = refused(body)
    assert (place, is_malformed) == (pointer, malformed), why
    assert why.isprintable()


def test_limits_are_inclusive() -> None:
    payload = b'"' + b"x" * 65534 + b'"'
    nested = b"[" * 20 + b"]" * 20
    body = b'{"units":[{"payload":%s},{"payload":%s},"%s"]}' % (payload, nested, b"y" * 255)
    assert [len(unit.payload) for unit in read_order(body).units] == [65536, 40, 4]
    read_order(b'{"units":[{"payload":[9223372036854775807,-9223372036854775808,1e308]}]}')


def test_the_number_of_units_is_limited() -> None:
    assert len(read_order(json.dumps({"units": [{}] * 100_000}).encode()).units) == 100_000
    assert refused({"units": [{}] * 100_001})[0] == "/units"


def test_pairs_of_surrogates_are_characters() -> None:
    assert read_order(b'{"units":["\\ud83d\\ude00"]}').units[0].name == "\N{GRINNING FACE}"


texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(texts, below, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from([None, 1]), st.booleans())
def test_a_payload_comes_out_as_it_went_in(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps({"units": [{"payload": value}]}, indent=indent, ensure_ascii=ascii_only)
    assume("\\u0000" not in text)
    payload = read_order(text.encode()).units[0].payload
    assert json.loads(payload) == value
    assert b"\n" not in payload


@given(st.binary(max_size=60))
@example(b'{"":1e310')
@example(b'{"":1e310,"":')
@example(b"[1e310" + 50_000 * b"[")
def test_no_bytes_do_harm(body: bytes) -> None:
    with pytest.raises(BadOrderError):
        read_order(body)


@given(json_values)
def test_depth(value: Any) -> None:
    def deep(value: Any) -> int:
        below = list(value.values()) if isinstance(value, dict) else value
        return 1 + max(map(deep, below), default=0) if isinstance(below, list) else 0

    assert depth(value) == deep(value)


def test_pointers() -> None:
    assert pointer_to() == ""
    assert pointer_to("a", 0, "b/c~") == "/a/0/b~1c~0"
    assert read_json(b' {"a":[1]} ') == {"a": [1]}
