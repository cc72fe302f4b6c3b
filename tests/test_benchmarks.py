"""The benchmarks tell the truth: their population is the product's own, and their figures are what they say."""

import asyncio
import itertools
import json
import math
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from benchmarks import families, memory, openloop, report, stream, svg
from benchmarks.aims import AIMS, Outcome, outcomes
from benchmarks.load import Measured, percentile, run
from benchmarks.policy import LEAF, VERSION
from benchmarks.populate import Populated, populated
from benchmarks.population import Voice, identifier_of, permitted, voice_of
from benchmarks.svg import Across, Curve, Point, chart, tick_step
from benchmarks.target import BARE, LOG_OFF, RECORDED, Server, Target, batch, check, check_of_children, filtered
from consent_service.core import ledger as entries
from consent_service.core import merkle
from consent_service.lanes import write_alone
from consent_service.policies import shipped
from consent_service.settings import Settings
from consent_service.store.projection import TABLES
from consent_service.store.rebuild import rebuild
from consent_service.store.tables import ledger_entry, ledger_head
from tests.clock import Clock
from tests.school import School, open_school
from tests.tables import all_of

anyio_test = pytest.mark.anyio

SUBJECTS = 50
CHECK = f"POST /v1/check, {RECORDED}"


@pytest.fixture
async def loaded(settings: Settings, clock: Clock) -> Populated:
    return await populated(settings, SUBJECTS, clock.now)


@pytest.fixture
async def school(settings: Settings, clock: Clock, loaded: Populated) -> AsyncIterator[School]:
    assert loaded.subjects == SUBJECTS
    async with open_school(settings, clock) as opened:
        yield opened


@anyio_test
async def test_a_child_of_the_families_is_answered_yes_by_two_guardians(school: School) -> None:
    for path, body in families.steps(children=1):
        made = await school.post(path, body)
        assert made.status_code == 201, made.text
    child = families.identifier_of(0)
    answer = await school.check(child, LEAF)
    assert [one["code"] for one in answer["reasons"]] == ["consent_granted"]
    assert answer["expires_at"] is not None  # the coming of age, so the guardians were heard
    assert json.loads(check_of_children(Server(), RECORDED).bodies[0]) == {"subject": child, "purpose": LEAF}


def number_saying(voice: Voice) -> int:
    return next(number for number in range(SUBJECTS) if voice_of(number) is voice)


def one_saying(voice: Voice) -> str:
    return str(identifier_of(number_saying(voice)))


@anyio_test
@pytest.mark.parametrize(
    ("voice", "reason"),
    [
        (Voice.YES, "consent_granted"),
        (Voice.YES_FOR_LONG, "consent_granted"),
        (Voice.REFUSED, "refused"),
        (Voice.WITHDRAWN, "withdrawn"),
        (Voice.EXPIRED, "expired"),
    ],
)
async def test_a_loaded_subject_is_answered_as_it_has_said(school: School, voice: Voice, reason: str) -> None:
    answer = await school.check(one_saying(voice), LEAF)
    assert answer["permitted"] is voice.is_yes
    assert [one["code"] for one in answer["reasons"]] == [reason]


@anyio_test
async def test_every_leaf_of_the_shipped_policy_is_decided(school: School) -> None:
    answer = await school.check(one_saying(Voice.YES), "all")
    assert answer["permitted"] is True
    assert [one["purpose"] for one in answer["reasons"]] == [f"all.{leaf.code}" for leaf in shipped().leaves]


@anyio_test
async def test_the_key_of_the_loading_opens_the_service(school: School, loaded: Populated) -> None:
    assert (await school.check(one_saying(Voice.YES), LEAF, key=loaded.key))["permitted"] is True


@anyio_test
@pytest.mark.parametrize("each_leaf", [False, True])
async def test_the_loaded_rows_are_what_a_rebuild_makes_byte_for_byte(
    settings: Settings, clock: Clock, *, each_leaf: bool
) -> None:
    done = await populated(settings, 12, clock.now, each_leaf=each_leaf)
    async with open_school(settings, clock) as school:
        before = await projection(school)
        assert len(before["subject_state"]) == len(before["subject_identifier"]) == 12
        await write_alone(school.service.database, rebuild)
        assert await projection(school) == before
    assert done.statements == 12 * (len(shipped().leaves) if each_leaf else 1)


async def projection(school: School) -> dict[str, list[tuple[Any, ...]]]:
    return {table.name: [tuple(row) for row in await all_of(school, table)] for table in TABLES}


@anyio_test
async def test_the_loaded_entries_are_canonical_dense_and_under_the_heads_frontier(school: School) -> None:
    rows = await all_of(school, ledger_entry)
    assert [row._mapping["index"] for row in rows] == list(range(len(rows)))
    assert all(entries.to_bytes(entries.from_bytes(row.body)) == row.body for row in rows)
    assert all(row.leaf_hash == merkle.leaf_hash(row.body) for row in rows)
    (head,) = await all_of(school, ledger_head)
    assert (head.size, head.at) == (len(rows), rows[-1].at)
    assert head.frontier == b"".join(merkle.grown((), 0, [row.leaf_hash for row in rows])[0])


@anyio_test
async def test_a_loaded_subject_has_the_entries_that_the_service_would_have_recorded(school: School) -> None:
    await school.said("person:by-hand", ("all", "grant"), policy_version=VERSION)
    bodies = [entries.from_bytes(row.body) for row in await all_of(school, ledger_entry)]
    by_hand, alike = bodies[-3:], [body for body in bodies if entries.subject_of(body)]
    first = 3 * number_saying(Voice.YES)
    assert [alone(body) for body in alike[first : first + 3]] == [alone(body) for body in by_hand]


def alone(body: entries.Body) -> dict[str, object]:
    """An entry without what every subject has for itself."""
    own = {"at", "made_at", "subject", "recorded_by", "commitment"}
    return body.model_dump(exclude=own) | {"has_commitment": body.commitment is not None}


@anyio_test
async def test_loading_does_not_go_into_a_database_that_is_in_use(settings: Settings, clock: Clock) -> None:
    async with open_school(settings, clock):
        pass
    with pytest.raises(SystemExit, match="empty"):
        await populated(settings, 1, clock.now)


def test_one_in_ten_says_no_in_three_ways() -> None:
    noes = [voice_of(number) for number in range(300) if not voice_of(number).is_yes]
    assert len(noes) == 30
    assert {voice: noes.count(voice) for voice in set(noes)} == {
        Voice.REFUSED: 10,
        Voice.WITHDRAWN: 10,
        Voice.EXPIRED: 10,
    }
    assert permitted(300) == 270


def test_checks_are_about_yes_sayers_and_bulk_calls_about_everybody() -> None:
    server = Server(subjects=2000)
    asked = [json.loads(body)["subject"] for body in check(server, "x").bodies]
    assert len(set(asked)) == len(asked) == 1800
    batches, (mail,) = batch(server, "x"), filtered(server, "x").bodies
    assert [len(json.loads(body)["questions"]) for body in batches.bodies] == [1000, 1000]
    assert (batches.decisions, filtered(server, "x").decisions) == (1000, 2000)
    assert set(asked) < set(json.loads(mail)["subjects"])
    assert len(json.loads(filtered(Server(subjects=1_000_000), "x").bodies[0])["subjects"]) == 10_000


@pytest.mark.parametrize(("share", "value"), [(1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(share: float, value: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], share) == value


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 50))


def test_arrivals_keep_their_rate_and_do_not_come_in_step() -> None:
    due = list(openloop.arrivals(1000, 10))
    assert due == sorted(due)
    assert 0 < due[0] < due[-1] < 10
    assert len(due) == pytest.approx(10_000, rel=0.05)
    gaps = [later - earlier for earlier, later in itertools.pairwise(due)]
    assert percentile(gaps, 50) == pytest.approx(math.log(2) / 1000, rel=0.1)
    assert due == list(openloop.arrivals(1000, 10))


Answering = Callable[[int], Awaitable[bytes]]


@asynccontextmanager
async def answering(answer: Answering) -> AsyncIterator[Target]:
    """A server that answers its n-th request with what `answer` gives; a connection's requests one after another."""
    counter, talks = itertools.count(), set[asyncio.Task[None]]()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
                writer.write(await answer(next(counter)))
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.close()

    server = await asyncio.start_server(
        lambda reader, writer: talks.add(asyncio.create_task(talk(reader, writer))), "127.0.0.1", 0
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Target("x", Server(port), "/x", ['{"a": 1}', '{"a": 2}'], '"permitted":true')
        for one in talks:
            one.cancel()
        await asyncio.gather(*talks)


def reply(status: str = "200 OK", body: bytes = b'{"permitted":true}') -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@anyio_test
async def test_a_stall_shows_in_the_latencies_of_all_who_would_have_come_meanwhile() -> None:
    async def stalling(number: int) -> bytes:
        if number == 20:
            await asyncio.sleep(0.3)
        return reply()

    async with answering(stalling) as target:
        at_rate = await openloop.offer(target, 1, 200, 1)
    async with answering(stalling) as target:
        closed = await openloop.saturate(target, 1, 0.5)
    assert (at_rate.failed, closed.failed) == (0, 0)
    assert len(at_rate.milliseconds) == len(list(openloop.arrivals(200, 1)))
    assert sum(one > 50 for one in at_rate.milliseconds) > 25  # about 60 were due while it stood still
    assert sum(one > 50 for one in closed.milliseconds) < 10  # which asks the one question and waits


@anyio_test
async def test_who_never_gets_an_answer_counts_with_the_time_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openloop, "_PATIENCE", 0.2)

    async def silent(number: int) -> bytes:
        return reply() if number < 5 else await asyncio.sleep(0.5, b"")

    async with answering(silent) as target:
        tally = await openloop.offer(target, 2, 100, 0.2)
    assert len(tally.milliseconds) == len(list(openloop.arrivals(100, 0.2)))
    assert percentile(tally.milliseconds, 100) > 200


@anyio_test
@pytest.mark.parametrize(
    ("bad", "count"),
    [(reply("503 Service Unavailable"), 1), (reply(body=b'{"permitted":false}'), 1), (reply(), 0)],
)
async def test_an_answer_that_is_not_good_is_counted(bad: bytes, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openloop, "_PATIENCE", 60)
    looks = itertools.count()

    async def sometimes(number: int) -> bytes:
        return bad if number == 3 else reply()

    async with answering(sometimes) as target:
        tally = await openloop.saturate(target, 2, 0.1, clock=lambda: next(looks) / 1000)
    assert tally.failed == count
    assert 10 < len(tally.milliseconds) < 100


@anyio_test
async def test_connections_that_were_slow_to_come_are_asked_for_the_whole_time() -> None:
    async def good(_: int) -> bytes:
        return reply()

    looks = itertools.chain([0.0], itertools.repeat(100.0, 9), itertools.repeat(200.0))  # first: unconnected
    async with answering(good) as target:
        tally = await openloop.saturate(target, 1, 1, clock=lambda: next(looks))
    assert tally.milliseconds


@anyio_test
async def test_an_answer_in_pieces_is_one_answer() -> None:
    large = reply(body=b'{"permitted":true,"more":"' + b"x" * 1_000_000 + b'"}')

    async def big(_: int) -> bytes:
        return large

    async with answering(big) as target:
        tally = await openloop.offer(target, 2, 20, 0.5)
    assert tally.failed == 0
    assert len(tally.milliseconds) == len(list(openloop.arrivals(20, 0.5)))


def taken(rate: float, p50: float = 1.0, p99: float = 2.0, **more: int) -> Measured:
    return Measured(rate, p50, p99, more.pop("failed", 0), **more)


def word_of(rounds: dict[tuple[str, int], list[Measured]], what: str) -> str:
    (word,) = [one.word for one in outcomes(rounds) if one.aim.what.startswith(what)]
    return word


def test_an_aim_is_met_by_the_median_of_the_ratios_within_each_round() -> None:
    bare = [taken(100), taken(200), taken(1000)]
    met = {(BARE, 64): bare, (CHECK, 64): [taken(100), taken(210), taken(500)]}
    missed = {(BARE, 64): bare, (CHECK, 64): [taken(99), taken(190), taken(9000)]}
    assert word_of(met, "check, recorded: requests") == "met"
    assert word_of(missed, "check, recorded: requests") == "missed"
    assert word_of({(BARE, 64): bare}, "check, recorded: requests") == "not measured"


@pytest.mark.parametrize(("p50", "word"), [(3.9, "met"), (4.0, "met"), (4.1, "missed")])
def test_an_aim_at_most_is_met_up_to_its_bound(p50: float, word: str) -> None:
    rounds = {(BARE, 1): [taken(1, 1.0)], (f"POST /v1/check, {LOG_OFF}", 1): [taken(1, p50)]}
    assert word_of(rounds, "check, log off: p50") == word


def test_bulk_calls_are_counted_in_decisions() -> None:
    name = f"POST /v1/check/batch, {RECORDED}"
    assert word_of({(name, 4): [taken(29, decisions=1000)]}, "batch, recorded") == "missed"
    assert word_of({(name, 4): [taken(30, decisions=1000)]}, "batch, recorded") == "met"


def test_growth_compares_the_same_round() -> None:
    many = f"{CHECK}, many subjects"
    rounds = {(CHECK, 1): [taken(1, 1.0), taken(1, 9.0)], (many, 1): [taken(1, 1.1), taken(1, 10.0)]}
    assert word_of(rounds, "growth") == "met"
    rounds[many, 1] = [taken(1, 1.3), taken(1, 12.0)]
    assert word_of(rounds, "growth") == "missed"


def test_a_figure_that_is_no_number_meets_nothing() -> None:
    assert {Outcome(aim, math.nan).word for aim in AIMS} == {"missed"}


def test_the_table_has_a_row_for_each_target_and_says_what_is_not_there() -> None:
    rounds = {
        (BARE, 64): [taken(100, failed=1), taken(300)],
        ("slow", 64): [taken(50, 4.0, 8.0), taken(60, 6.0, 9.0)],
        ("bulk", 4): [taken(2, decisions=1000, peak=2**20 * 70), taken(4, decisions=1000, peak=2**20 * 75)],
    }
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.table(rounds, ["later"])]
    assert len({len(line) for line in lines}) == 1
    assert lines[2] == ["4", "bulk", "3.0", "3,000", "16.67", "1.00", "–", "2.00", "2.0", "75", "0"]
    assert lines[3] == ["64", BARE, "200", "–", "1.00", "1.00", "1.0", "2.00", "2.0", "–", "1"]
    assert lines[4] == ["64", "slow", "55", "–", "0.35", "5.00", "5.0", "8.50", "1.8", "–", "0"]
    assert lines[5][:3] == ["–", "later: not there", "–"]
    assert report.failures(rounds) == 1
    assert "100 to 300 requests/s" in report.noise(rounds)


def test_the_aims_table_names_the_bound() -> None:
    lines = list(report.aims(outcomes({(f"POST /v1/check/filter, {LOG_OFF}", 4): [taken(16, decisions=10_000)]})))
    assert len(lines) == 2 + len(AIMS)
    assert "| filter, log off | 160,000 | ≥ 150,000 decisions/s | met |" in lines
    assert "| check, recorded: p50 on one connection, × bare | – | ≤ 6.00 × | not measured |" in lines


CURVES = [
    Curve("a <b> & c", [Point(100, 1, 2), Point(900, 3, 10), Point(1000, 40, 5000)]),
    Curve("plain", [Point(500, 0.2, 0.9), Point(4200, 2, 30)]),
]


def test_the_picture_is_well_formed_and_shows_every_point() -> None:
    root = ET.fromstring(chart(CURVES, title="A & B", notes=["one", "two"]))  # noqa: S314 (our own)
    name = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{name}svg"
    assert len(root.findall(f".//{name}circle")) == 2 * sum(len(curve.points) for curve in CURVES)
    drawn = [path for path in root.iter(f"{name}g") for path in path]
    assert sorted(path.get("class", "") for path in drawn if path.tag == f"{name}path") == [
        "line p50 c0",
        "line p50 c1",
        "line p99 c0",
        "line p99 c1",
    ]
    words = {text.text for text in root.iter(f"{name}text")}
    assert {"A & B", "one", "two", "0.1 ms", "1,000 ms", "4,000", "a <b> & c", "median"} <= words


def test_the_axes_are_true() -> None:
    across = Across(5000, 1000)
    assert list(across.ticks()) == [0, 1000, 2000, 3000, 4000, 5000]
    assert across.x(2500) == pytest.approx((across.x(0) + across.x(5000)) / 2)
    assert svg.y(10) == pytest.approx((svg.y(1) + svg.y(100)) / 2)
    assert svg.y(svg.HIGHEST) == svg.TOP < svg.y(svg.LOWEST) == svg.HEIGHT - svg.BOTTOM
    assert svg.y(0) > svg.HEIGHT - svg.BOTTOM


@pytest.mark.parametrize(("most", "step"), [(8, 1), (9, 2), (4200, 1000), (16_001, 5000), (17, 5), (0.5, 0.1)])
def test_ticks_are_round_and_at_most_eight_apart(most: float, step: float) -> None:
    assert tick_step(most) == pytest.approx(step)


class Stream(BaseHTTPRequestHandler):
    """Streams what it is told to."""

    subjects: tuple[str, ...] = ()
    resumes = True

    def do_GET(self) -> None:
        after = parse_qs(urlsplit(self.path).query).get("after", [""])[0] if self.resumes else ""
        self.send_response(200)
        self.end_headers()
        for subject in self.subjects:
            if subject > after:
                self.wfile.write(json.dumps({"subject": subject, "identifier": "x", "as_of": 1}).encode() + b"\n")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def streaming(subjects: list[str], *, resumes: bool = True) -> Iterator[Server]:
    handler = type("Handler", (Stream,), {"subjects": tuple(subjects), "resumes": resumes})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Server(server.server_address[1], pid=None, subjects=20)
        finally:
            server.shutdown()
            thread.join()


ALL = [f"sub_{number:02}" for number in range(18)]


def test_the_stream_is_read_whole_and_resumed_from_its_middle() -> None:
    with streaming(ALL) as server:
        said = stream.told(server)
    assert "20 subjects: 18 permitted" in said
    assert "resumed: 9 permitted" in said


@pytest.mark.parametrize(
    ("subjects", "resumes", "fault"),
    [
        (ALL[:-1], True, "has 17 subjects"),
        ([*ALL[:-1], ALL[0]], True, "order"),
        ([ALL[1], ALL[0], *ALL[2:]], True, "order"),
        (ALL, False, "something else"),
    ],
)
def test_a_stream_that_leaves_out_repeats_or_does_not_resume_is_found(
    subjects: list[str], fault: str, *, resumes: bool
) -> None:
    with streaming(subjects, resumes=resumes) as server, pytest.raises(RuntimeError, match=fault):
        stream.told(server)


def test_memory_is_told_where_the_system_tells() -> None:
    assert memory.now(None) is None
    assert memory.peak(0) is None


def test_a_rate_is_offered_in_real_time() -> None:
    async def at_once(_: int) -> bytes:
        return reply()

    async def timed() -> float:
        async with answering(at_once) as target:
            started = time.perf_counter()
            await openloop.offer(target, 4, 300, 0.5)
            return time.perf_counter() - started

    assert 0.4 < run(timed()) < 2
