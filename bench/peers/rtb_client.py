"""rtb's client: orders over HTTP, by nothing but the standard library."""

from __future__ import annotations

import http.client
import itertools
import json
import os
from collections.abc import Iterator
from typing import Any

from client import serve

PIECE = 2_000

numbers = itertools.count(1)
api = http.client.HTTPConnection("127.0.0.1", int(os.environ["BENCH_API_PORT"]), timeout=300)


def answered() -> Any:
    """Return what the API answers, which is to have placed an order."""
    response = api.getresponse()
    answer = response.read()
    if response.status != 201:
        raise SystemExit(f"an order was refused: {response.status} {answer.decode()}")
    return json.loads(answer)


def lines(count: int) -> Iterator[bytes]:
    """Return JSON lines, each a unit with a name, in pieces."""
    for first in range(0, count, PIECE):
        upto = min(count, first + PIECE)
        yield "".join(f'{{"name":"unit-{n}"}}\n' for n in range(first, upto)).encode()


def place_many(count: int) -> None:
    """Place one order of *count* named units, streamed."""
    api.putrequest("POST", "/orders?account=bench")
    api.putheader("content-type", "application/x-ndjson")
    api.putheader("transfer-encoding", "chunked")
    api.endheaders(lines(count), encode_chunked=True)
    answered()


def place_one() -> int:
    """Place an order of one unit, and return its id."""
    order = {"account": "bench", "units": [f"one-{next(numbers)}"]}
    body = json.dumps(order).encode()
    api.request("POST", "/orders", body, {"content-type": "application/json"})
    return int(answered()["id"])


serve(place_many, place_one, "SELECT status = 'success' FROM units WHERE order_id = %s")
