"""The whole line as separate processes on real servers: it moves, and survives its roles."""

from __future__ import annotations

import signal
import socket
from contextlib import suppress
from typing import Any

import pytest
import pytest_twisted
from line_support import Line, order
from twisted.internet.task import deferLater

from rtb.client import ApiUnreachableError, Client, ClientError

ensure = pytest_twisted.ensureDeferred


def start_all(line: Line, *, agents: int = 1) -> dict[str, Any]:
    roles = {name: line.start(name) for name in ("rtb-api", "rtb-leader")}
    for number in range(agents):
        roles[f"rtb-agent-{number}"] = line.start("rtb-agent")
    return roles


@ensure
async def test_1000_units_with_two_agents(line: Line) -> None:
    line.environment["RTB_EPOCH"] = "5"
    start_all(line, agents=2)
    await line.until_led(agents=2)
    placed = await line.client.place(order(1000, account="jane"))
    assert placed["going"] is False
    assert "/go/" in placed["hint"]
    await deferLater(line.reactor, 0.5, lambda: None)
    assert (await line.client.status()).units.waiting == 1000, "nothing before go"
    await line.client.go()
    summary = await line.until_settled(1000)
    assert summary.units.success + summary.units.error == 1000
    assert line.sql("SELECT count(*) FROM history WHERE kind = 'claimed'") == [(1000,)]
    shown = await line.client.order(placed["id"])
    assert shown["units"]["total"] == 1000
    assert shown["finished_at"]
    # Work went to both, and N was never exceeded: the claims say so.
    assert len(line.sql("SELECT DISTINCT who FROM history WHERE kind = 'processing'")) == 2
    most = """SELECT max(n) FROM (SELECT sum(CASE WHEN kind = 'claimed' THEN 1
        WHEN kind = 'processing' THEN -1 ELSE 0 END) OVER (ORDER BY id) AS n FROM history) flow"""
    assert line.sql(most)[0][0] <= 50
    await line.end()
    line.check()


@ensure
async def test_queues_are_empty_afterwards(line: Line, broker_server: Any, vhost: Any) -> None:
    roles = start_all(line)
    await line.until_led()
    await line.client.place(order(100))
    await line.client.go()
    await line.until_settled(100)
    # Not the API: it reads the last words of the others.
    await roles["rtb-agent-0"].end()
    await roles["rtb-leader"].end()
    # The broker samples these every 5 s.
    for _ in range(240):
        queues = await broker_server.management.ask("GET", f"/queues/{vhost.vhost}")
        counts = {queue["name"]: queue.get("messages", -1) for queue in queues}
        if set(counts) == {"inbox", "dead", "outbox", "outbox.track"} and not any(
            count for name, count in counts.items() if name != "outbox.track"
        ):
            break
        await deferLater(line.reactor, 0.25, lambda: None)
    else:
        raise AssertionError(counts)
    await line.end()


@ensure
@pytest.mark.parametrize("victim", ["rtb-api", "rtb-leader", "rtb-agent"])
async def test_a_killed_role_costs_no_unit(line: Line, victim: str) -> None:
    line.environment["RTB_WORKLOADS"] = "default=coinflip:error=0.1,seconds=0.2"
    roles = {name: line.start(name) for name in ("rtb-api", "rtb-leader", "rtb-agent")}
    await line.until_led()
    await line.client.place(order(150))
    await line.client.go()
    await line.until(lambda summary: summary.units.settled > 20)
    await roles[victim].end(signal.SIGKILL)
    line.start(victim)
    await line.until_settled(150)
    await line.end()
    line.check()
    outcomes = """SELECT count(*) FROM (SELECT unit_id FROM history
        WHERE kind IN ('success', 'error') GROUP BY unit_id HAVING count(*) = 1) once"""
    assert line.sql(outcomes) == [(150,)]


@ensure
async def test_a_long_unit_survives_a_leader_that_is_away_for_long(line: Line) -> None:
    """As 3 minutes and 2 do at an epoch of 10 s: here epochs last a tenth of that.

    The leader is away for 12 epochs of 1 s, four times as long as nobody may vouch for a unit.
    """
    gate = line.gate()
    roles = {name: line.start(name) for name in ("rtb-api", "rtb-leader", "rtb-agent")}
    await line.until_led()
    await line.client.place(order(3))
    await line.client.go()
    await line.until(lambda summary: summary.units.processing == 3)
    began = line.reactor.seconds()
    await roles["rtb-leader"].end(signal.SIGKILL)
    await deferLater(line.reactor, 12.0, lambda: None)
    line.start("rtb-leader")
    await line.until_led()
    await deferLater(line.reactor, max(0.0, began + 18 - line.reactor.seconds()), lambda: None)
    gate.touch()
    await line.until_settled(3)
    assert line.sql("SELECT kind, count(*) FROM history GROUP BY kind ORDER BY kind") == [
        ("claimed", 3), ("queued", 3), ("processing", 3), ("success", 3),
    ]  # fmt: skip
    await line.end()
    line.check()


@ensure
async def test_a_database_made_anew_under_a_surviving_broker(line: Line) -> None:
    """Old results touch no new unit, whoever still runs and whatever still travels."""
    line.environment["RTB_WORKLOADS"] = "default=coinflip:error=0,seconds=1.5"
    line.start("rtb-api")
    line.start("rtb-leader")
    line.start("rtb-agent")
    await line.until_led()
    await line.client.place(order(24))
    await line.client.go()
    await line.until(lambda summary: summary.units.processing > 0)
    line.sql("DROP SCHEMA public CASCADE")
    line.sql("CREATE SCHEMA public")
    # The API finds its tables gone and makes them anew, with a new ledger_id.
    await line.until(lambda summary: summary.units.total == 0)
    await line.client.place(order(8))
    await line.until_led()
    await deferLater(line.reactor, 3.0, lambda: None)  # the old units end meanwhile, if they run
    assert line.sql("SELECT count(*) FROM history") == [(0,)]
    await line.client.go()
    await line.until_settled(8)
    assert line.sql("SELECT count(*) FROM history WHERE kind = 'success'") == [(8,)]
    await line.end()
    line.check()


@ensure
async def test_stop_ends_claiming_and_what_is_in_the_tracker_finishes(line: Line) -> None:
    gate = line.gate(free=8)
    start_all(line)
    await line.until_led()
    await line.client.place(order(120))
    await line.client.go()
    await line.until(lambda summary: summary.units.settled == 8 and summary.units.processing == 8)
    await line.client.stop()
    gate.touch()
    summary = await line.until(
        lambda summary: summary.units.sent + summary.units.queued + summary.units.processing == 0
    )
    assert summary.going is False
    left = summary.units.waiting
    assert 0 < left < 112
    await line.client.go()
    await line.until_settled(120)
    await line.end()
    line.check()


@ensure
async def test_api_and_leader_in_one_process(line: Line) -> None:
    line.start("rtb-api", "--with-leader")
    line.start("rtb-agent")
    await line.until_led()
    await line.client.place(order(50))
    await line.client.go()
    await line.until_settled(50)
    await line.end()
    line.check()


@ensure
async def test_the_whole_in_one_process_seeds_once(line: Line) -> None:
    whole = line.start("rtb", SEED_COUNT="100", WORKLOADS="default=command:false")
    summary = await line.until(lambda summary: summary.units.total > 0)
    assert summary.units.waiting == 100
    await line.until_led()
    await line.client.go()
    await line.until_settled(100)
    # The backlog runs only the coin flip, whatever else is configured.
    assert line.sql("SELECT DISTINCT workload FROM orders") == [("coinflip",)]
    assert line.sql("SELECT count(*) > 50 FROM history WHERE kind = 'success'") == [(True,)]
    assert await whole.end() == 0
    again = line.start("rtb", SEED_COUNT="100")
    summary = await line.until(lambda summary: summary.units.total > 0)
    assert summary.going, "go is kept in the ledger"
    assert summary.units.total == 100
    assert await again.end() == 0
    line.check()


@ensure
async def test_a_standby_leader_takes_over(line: Line) -> None:
    line.environment["RTB_WORKLOADS"] = "default=coinflip:error=0,seconds=0.2"
    line.start("rtb-api")
    first = line.start("rtb-leader")
    line.start("rtb-agent")
    await line.until_led()
    line.start("rtb-leader")
    await line.client.place(order(100))
    await line.client.go()
    await line.until(lambda summary: summary.units.settled > 10)
    await first.end(signal.SIGKILL)
    await line.until_settled(100)
    await line.end()
    line.check()


@ensure
async def test_sigterm_of_a_busy_agent_gives_back_what_does_not_finish(line: Line) -> None:
    line.environment["RTB_WORKLOADS"] = "default=coinflip:error=0,seconds=60"
    line.start("rtb-api")
    line.start("rtb-leader")
    agent = line.start("rtb-agent", DRAIN_TIMEOUT="1")
    await line.until_led()
    await line.client.place(order(8))
    await line.client.go()
    await line.until(lambda summary: summary.units.processing == 8)
    assert await agent.end() == 0
    await line.until(lambda summary: summary.units.processing == 0)
    returned = """SELECT count(*), min(failures), max(losses)
        FROM history e JOIN units u ON u.id = e.unit_id WHERE e.kind = 'returned'"""
    await line.until(lambda _: line.sql(returned)[0][0] >= 8)
    assert line.sql(returned)[0][1:] == (0, 0)
    await line.end()


@ensure
async def test_draining_an_agent_by_hand(line: Line) -> None:
    gate = line.gate()
    start_all(line)
    await line.until_led()
    await line.client.place(order(12))
    await line.client.go()
    await line.until(lambda summary: summary.units.processing == 8)
    ((agent,),) = line.sql("SELECT incarnation FROM agents")
    await line.client.drain(agent)
    await line.until(lambda _: line.sql("SELECT presence FROM agents") == [("draining",)])
    gate.touch()
    await line.until(lambda summary: summary.units.processing == 0)
    assert line.sql("SELECT count(*) FROM history WHERE kind = 'success'") == [(8,)]
    with pytest.raises(ClientError) as refused:
        await line.client.drain("nobody")
    assert refused.value.status == 404
    line.start("rtb-agent")
    await line.until_settled(12)
    await line.end()
    line.check()


@ensure
async def test_bad_messages_die_alone(line: Line, vhost: Any) -> None:
    from rtb.broker import BrokerClient, Outgoing, shared

    start_all(line)
    await line.until_led()
    client = BrokerClient(line.reactor, vhost, name="test", random=lambda: 0.5, topology=shared())
    client.startService()
    await client.when_ready()
    ledger = line.sql("SELECT ledger_id FROM gate")[0][0]
    good = '{"v":1,"ledger":"%s","box":"outbox","source":"x","kind":"success","units":%s}'
    bad = {
        "status.success": [
            b"", b"no json", b"{}", b'{"v":1}', (good % (ledger, "[[-1,1]]")).encode(),
            (good % (ledger, '[["one",1]]')).encode(),
            (good % (ledger, "[[9223372036854775808,1]]")).encode(),
            (good % (ledger, "[[999999,1],[999998,7]]")).encode(),  # no such units: two letters
        ],
        "status.queued": [b'{"v":1,"ledger":"x","box":"outbox"}'],
        "status.sideways": [b"{}"],
        "barrier": [b'{"v":1,"ledger":"x","epoch":"soon"}'],
        "out.outbox": [b"[]", b'{"v":1,"ledger":"x","box":"outbox","units":[[1]]}'],
        "track.outbox": [b"{"],
    }  # fmt: skip
    for key, bodies in bad.items():
        for number, body in enumerate(bodies):
            message_id = f"{key}-{number}"
            await client.publish(
                Outgoing(key, body, message_id=message_id, persistent=True, mandatory=True)
            )
    await line.client.place(order(100))
    await line.client.go()
    await line.until_settled(100)
    dead: list[tuple[str, str]] = []

    async def read(session: Any) -> None:
        await session.consume(
            "dead",
            lambda delivery: dead.append(
                (str(delivery.headers["x-rtb-key"]), str(delivery.headers["x-rtb-reason"]))
            ),
            prefetch=100,
        )

    client.on_session(read)
    expected = sum(len(bodies) for bodies in bad.values()) + 1
    for _ in range(1200):
        if len(dead) >= expected:
            break
        await deferLater(line.reactor, 0.05, lambda: None)
    assert len(dead) == expected, "\n".join(map(str, dead))
    assert all(reason for _, reason in dead)
    await client.stopService()
    await line.end()
    line.check()


@ensure
async def test_roles_wait_for_servers_that_are_away_and_say_so(line: Line) -> None:
    nowhere = {
        "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/postgres",
        "AMQP_URL": "amqp://guest:guest@127.0.0.1:1/",
    }
    roles = [line.start(role, **nowhere) for role in ("rtb-api", "rtb-leader", "rtb-agent")]
    client = Client(f"http://127.0.0.1:{line.port}", line.reactor)
    await _until_it_listens(client, line)
    with pytest.raises(ClientError) as refused:
        await client.status()
    assert refused.value.status == 503
    for _ in range(600):
        if all("RTB_BROKER_HOST" in role.log.read_text() for role in roles):
            break
        await deferLater(line.reactor, 0.1, lambda: None)
    assert "RTB_DB_HOST" in roles[0].log.read_text()
    for role in roles:
        assert "RTB_BROKER_HOST" in role.log.read_text(), role.log.read_text()
        assert await role.end() == 0
    await client.close()
    assert "Traceback" not in line.logs()


async def _until_it_listens(client: Client, line: Line) -> None:
    for _ in range(600):
        with suppress(ClientError):
            try:
                await client.status()
            except ApiUnreachableError:
                await deferLater(line.reactor, 0.1, lambda: None)
                continue
        return


@ensure
async def test_a_port_that_is_taken_is_one_line_and_exit_78(line: Line) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", line.port))
        taken.listen()
        role = line.start("rtb-api")
        assert await role.life.ended == 78
    said = role.log.read_text()
    assert "Traceback" not in said
    assert "RTB_API_HOST" in said


@ensure
async def test_what_is_queued_is_booked_with_what_follows_and_alone_where_nothing_does(
    line: Line,
) -> None:
    line.environment |= {"RTB_EPOCH": "60", "RTB_WORKLOADS": "default=noop"}
    line.start("rtb-api")
    line.start("rtb-leader")
    agent = line.start("rtb-agent")
    await line.until_led()
    await line.client.go()
    for number in range(1, 11):
        await line.client.place(order(1, name=f"one {number}"))
        await line.until_settled(number)
    together = """SELECT count(*) FROM history q JOIN history s USING (unit_id, at)
                   WHERE q.kind = 'queued' AND s.kind = 'success'"""
    ((folded,),) = line.sql(together)
    assert folded > 0, "queued and success of no unit are of one transaction"
    await agent.end()
    await line.until_led(agents=0)
    await line.client.place(order(20))
    # Neither a barrier nor a full report comes so soon.
    await line.until(lambda summary: summary.units.queued == 20, limit=20)


@ensure
async def test_many_quick_units_leave_few_rows_that_tell_all(line: Line) -> None:
    line.environment |= {
        "RTB_EPOCH": "60",
        "RTB_WORKLOADS": "default=noop",
        "RTB_BROADCAST_MAX_QUEUE": "500",
        "RTB_AGENT_SLOTS": "200",
    }
    for role in ("rtb-api", "rtb-leader", "rtb-agent"):
        line.start(role)
    await line.until_led()
    await line.client.go()
    await line.client.place(order(5000))
    await line.until_settled(5000)
    assert line.sql("SELECT kind::text, count(*) FROM history GROUP BY 1 ORDER BY 1") == [
        (kind, 5000) for kind in ("claimed", "processing", "queued", "success")
    ]
    ((rows,),) = line.sql("SELECT count(*) FROM events")
    assert rows < 10_000, "what was said of a unit is booked together, where it can be"


@ensure
async def test_a_box_without_agents_gives_its_units_to_one_with_free_slots(line: Line) -> None:
    line.environment["RTB_WORKLOADS"] = "default=coinflip:error=0,seconds=0.05"
    line.start("rtb-api")
    line.start("rtb-leader", BROKER_BOX="east")
    agent = line.start("rtb-agent", BROKER_BOX="east")
    await line.until_led(box="east")
    await agent.end()
    await line.until_led(box="east", agents=0)
    await line.client.place(order(20))
    await line.client.go()
    await line.until(lambda summary: summary.units.queued == 20)
    west = line.start("rtb-leader", BROKER_BOX="west")
    line.start("rtb-agent", BROKER_BOX="west")
    await line.until_settled(20)
    assert line.sql("SELECT DISTINCT who FROM history WHERE kind = 'queued' ORDER BY 1") == [
        ("east",),
        ("west",),
    ]
    # A box that lives cannot be forgotten; one that is gone can, with its queues.
    with pytest.raises(ClientError) as refused:
        await line.client.forget("west")
    assert refused.value.status == 409
    await west.end()
    await line.until(
        lambda summary: {leader.box: leader.state for leader in summary.leaders}["west"] == "away"
    )
    await line.client.forget("west")
    summary = await line.client.status()
    assert [leader.box for leader in summary.leaders] == ["east"]
    await line.end()
    line.check()
