"""Whatever step of an upload's life a process is killed at, the upload comes to its end.

In each test a worker of a real server dies at one fault point (`points.py`), which is asserted, and
the others go on. The expected numbers of the app's attempts follow from the order of trust alone:
an attempt is recorded before the app is called, an answer after it has been heard.

There are two ways from the last byte to the app. A request that knows that it brings the last takes
the short one: sealed, recorded, complete and handed over in one transaction. Of two that bring the
last bytes at once neither knows, and each step is for itself: the long way.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from deliveries import Delivery
from house import House, house
from raw_put import RawPut
from waiting import wait_until

from incoming_wsgi.client import upload_file
from incoming_wsgi.errors import IncomingError, UploadNotFound, WrongState

CONTENT = random.Random(4).randbytes(3 * 512 * 1024)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CHUNK_BYTES = 512 * 1024  # the server reads 64 KiB, 256 KiB and the rest of it


def around(*steps: str) -> list[str]:
    """The points of transactions."""
    return [f"{step}.{where}" for step in steps for where in ("before", "within", "after")]


DECLARING = around("declare")
STORING = [
    *around("claim"),
    "open.after",
    "write.before",
    "write.half",
    "write.after",
    *around("record"),
]
SEALING = ["seal.before", "seal.after"]
ENDING = [*SEALING, "complete.within", "hand_over.within"]  # the short way
COMPLETING = [*SEALING, *around("complete")]  # the long way
# Which attempts an app sees that reads the file and leaves it. One that is recorded and of which
# nobody knows whether the app was called is followed by another.
LONG_WAY = {
    "lease.after": [1],
    "hand_over.before": [1],
    "hand_over.within": [1],
    "hand_over.after": [2],
}
ATTEMPTS = {
    **LONG_WAY,
    "record.after": [2],
    "call.before": [2],
    "call.after": [1, 2],
    "finish.before": [1, 2],
    "finish.within": [1, 2],
    "finish.after": [1],
}
REMOVING = ["delete.before", "delete.after"]


@pytest.fixture(scope="module")
def whole_house(tmp_path_factory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("points")) as here:
        yield here


@pytest.fixture
def here(whole_house) -> Iterator[House]:
    whole_house.points.clear()
    yield whole_house
    whole_house.points.clear()


@pytest.fixture(scope="module")
def short_lived_house(tmp_path_factory) -> Iterator[House]:
    """Where nothing waits long for anybody."""
    folder = tmp_path_factory.mktemp("lifetimes")
    with house(folder, idle_timeout_s=3, confirm_timeout_s=1, keep_finished_s=2) as here:
        yield here


@pytest.fixture
def short_lived(short_lived_house) -> Iterator[House]:
    short_lived_house.points.clear()
    yield short_lived_house
    short_lived_house.points.clear()


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "film.mkv"
    path.write_bytes(CONTENT)
    return path


def send_with_client(here: House, upload_id: str, source: Path) -> None:
    upload_file(source, here.url(upload_id), chunk_bytes=CHUNK_BYTES, timeout_s=10, wait=False)


def send_raw(here: House, upload_id: str, source: Path) -> None:
    """A client without a memory and without digests: what is missing, says the server."""
    content = source.read_bytes()
    while (gap := first_gap(here, upload_id, len(content))) is not None:
        start, stop = gap
        with suppress(requests.RequestException):
            put(here, upload_id, content, start, min(stop, start + CHUNK_BYTES))


def first_gap(here: House, upload_id: str, length: int) -> tuple[int, int] | None:
    def ask() -> requests.Response | None:
        with suppress(requests.RequestException):
            return requests.get(here.url(upload_id), timeout=10)
        return None

    position = 0
    for start, stop in [*wait_until(ask, "an answer").json()["received"], [length, length]]:
        if position < start:
            return position, start
        position = stop
    return None


def put(here: House, upload_id: str, content: bytes, start: int, stop: int) -> requests.Response:
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
    return requests.put(here.url(upload_id), content[start:stop], headers=headers, timeout=10)


def send_all(here: House, upload_id: str) -> None:
    """The whole file, after which the background may be so quick to die that the answer is lost."""
    with suppress(requests.RequestException):
        put(here, upload_id, CONTENT, 0, len(CONTENT))


def send_by_the_long_way(here: House, upload_id: str) -> None:
    """The same in two requests that are under way at once."""
    half, length = len(CONTENT) // 2, len(CONTENT)
    with (
        suppress(OSError, requests.RequestException),
        RawPut(here.url(upload_id), 0, half, length) as first,
    ):
        first.send(CONTENT[: half - 1])
        wait_until(lambda: here.client.status(upload_id).length == length, "the first request")
        put(here, upload_id, CONTENT, half, length)
        first.send(CONTENT[half - 1 : half])
        first.answer()


def insist(step: Callable[[], object]) -> None:
    """Repeat a backend function until it has been done, whoever's answer was lost."""

    def done() -> bool:
        try:
            step()
        except WrongState:
            return True  # done before
        except IncomingError:
            return False
        return True

    wait_until(done, "an answer")


def wait_for_state(here: House, upload_id: str, state: str) -> None:
    wait_until(lambda: here.state(upload_id) == state, state)


def wait_until_forgotten(here: House, upload_id: str) -> None:
    def forgotten() -> bool:
        try:
            here.client.status(upload_id)
        except UploadNotFound:
            return True
        except IncomingError:
            return False
        return False

    wait_until(forgotten, "the end of its time")


def wait_until_nothing_is_left(here: House, upload_id: str) -> None:
    wait_until_forgotten(here, upload_id)
    assert not here.file(upload_id).exists()


def check_deliveries(
    here: House, upload_id: str, attempts: list[int], sha256: str = SHA256
) -> None:
    deliveries = here.deliveries.of(upload_id)
    assert [delivery.attempt for delivery in deliveries] == attempts
    assert len({delivery.delivery_id for delivery in deliveries}) == 1
    assert {delivery.sha256 for delivery in deliveries} == {sha256}
    assert all(delivery.alone for delivery in deliveries)
    assert here.deliveries.effects()[upload_id] == [sha256]


def check_cancellation(here: House, upload_id: str, calls: int) -> None:
    """The app was told, and nothing is left."""

    def told() -> list[Delivery]:
        # Under gunicorn a new worker begins to work at its first request (wsgi.py).
        here.state(upload_id)
        return here.deliveries.of(upload_id, cancelled=True)

    wait_until(told, "the call of the app")
    wait_until(lambda: not here.file(upload_id).exists(), "removal")
    assert len(told()) <= calls
    assert len({delivery.delivery_id for delivery in told()}) == 1
    assert here.deliveries.of(upload_id) == []


# on the way


def test_a_ticket_whose_number_was_lost_is_nobodys(here, source):
    here.points.arm("create.after")
    with pytest.raises(IncomingError):
        here.ticket()
    here.points.wait_for_death("create.after")
    upload_id = here.ticket()
    send_with_client(here, upload_id, source)
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, [1])


@pytest.mark.parametrize("point", [*DECLARING, *STORING, *ENDING])
def test_our_client_goes_on(here, source, point):
    upload_id = here.ticket()
    here.points.arm(point, upload_id)
    send_with_client(here, upload_id, source)
    assert here.points.has_killed(point)
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, [1])
    wait_until(lambda: not here.file(upload_id).exists(), "removal")


@pytest.mark.parametrize("point", [*STORING, *ENDING])
def test_any_client_goes_on(here, source, point):
    upload_id = here.ticket(remove=False)
    here.points.arm(point, upload_id)
    send_raw(here, upload_id, source)
    assert here.points.has_killed(point)
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, [1])
    assert hashlib.sha256(here.file(upload_id).read_bytes()).hexdigest() == SHA256


@pytest.mark.parametrize("number", [2, 3, 5, 8])
def test_a_chunk_is_lost_in_the_middle(here, source, number):
    upload_id = here.ticket()
    here.points.arm("write.half", upload_id, n=number)
    send_raw(here, upload_id, source)
    assert here.points.has_killed("write.half")
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, [1])


def test_what_was_acknowledged_is_there_whatever_dies_later(here, source):
    upload_id = here.ticket()
    assert put(here, upload_id, CONTENT, 0, CHUNK_BYTES).json()["received"] == [[0, CHUNK_BYTES]]
    here.points.arm("write.half", upload_id)
    with pytest.raises(requests.RequestException):
        put(here, upload_id, CONTENT, CHUNK_BYTES, 2 * CHUNK_BYTES)
    here.points.wait_for_death("write.half")
    assert first_gap(here, upload_id, len(CONTENT)) == (CHUNK_BYTES, len(CONTENT))
    assert here.file(upload_id).read_bytes()[:CHUNK_BYTES] == CONTENT[:CHUNK_BYTES]


@pytest.mark.parametrize("point", [*around("store"), *COMPLETING])
def test_an_empty_file_arrives(here, tmp_path, point):
    source = tmp_path / "empty"
    source.touch()
    upload_id = here.ticket()
    here.points.arm(point, upload_id)
    send_with_client(here, upload_id, source)
    here.points.wait_for_death(point)  # an empty file is sealed when it is about to be handed over
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, [1], sha256=hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize(
    ("point", "send", "attempts"),
    [
        ("record.after", send_all, [2]),
        *((point, send_by_the_long_way, [1]) for point in COMPLETING),
    ],
)
def test_a_file_that_is_all_there_is_delivered_though_its_client_never_comes_back(
    here, point, send, attempts
):
    upload_id = here.ticket()
    here.points.arm(point, upload_id)
    send(here, upload_id)
    here.points.wait_for_death(point)
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, attempts)
    wait_until(lambda: not here.file(upload_id).exists(), "removal")


@pytest.mark.parametrize(
    ("point", "attempts"),
    [
        ("write.half", [1]),
        ("record.within", [1]),
        ("record.after", [1]),
        ("complete.within", [1]),
        ("hand_over.within", [1]),
        ("call.before", [2]),
        ("call.after", [1, 2]),
    ],
)
def test_master_and_workers_die_at_once(here, source, point, attempts):
    upload_id = here.ticket(remove=False)
    here.points.arm(point, upload_id, all_die=True)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send_with_client, here, upload_id, source)
        here.points.wait_for_death(point)
        here.revive()
        sending.result(60)
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, attempts)
    assert here.file(upload_id).read_bytes() == CONTENT


# the handover


@pytest.mark.parametrize("point", ATTEMPTS)
@pytest.mark.parametrize("remove", [True, False], ids=["removed", "kept"])
@pytest.mark.parametrize("way", ["url", "function"])
def test_the_app_gets_the_file(here, way, remove, point):
    upload_id = here.ticket(way, remove=remove)
    here.points.arm(point, upload_id)
    send = send_by_the_long_way if point in LONG_WAY else send_all
    send(here, upload_id)
    here.points.wait_for_death(point)
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, ATTEMPTS[point])
    if not remove:
        assert here.file(upload_id).read_bytes() == CONTENT
    elif point != "finish.after":  # see `test_a_finished_file_goes_with_its_record`
        wait_until(lambda: not here.file(upload_id).exists(), "removal")


@pytest.mark.parametrize("point", ["call.after", *around("finish")])
@pytest.mark.parametrize("way", ["url", "function"])
def test_an_app_that_has_moved_the_file_away_is_not_asked_again(here, way, point):
    upload_id = here.ticket(way, moves=True)
    here.points.arm(point, upload_id)
    send_all(here, upload_id)
    here.points.wait_for_death(point)
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, [1])
    assert here.deliveries.archived(upload_id) == SHA256
    assert not here.file(upload_id).exists()


@pytest.mark.parametrize(
    ("point", "attempts"),
    [
        ("wait.before", [1, 2]),
        ("wait.within", [1, 2]),
        ("wait.after", [1]),
        *((point, [1]) for point in around("confirm")),
    ],
)
@pytest.mark.parametrize("way", ["url", "function"])
def test_an_app_that_said_wait_finishes(here, way, point, attempts):
    upload_id = here.ticket(way, remove=False, answers="wait")
    here.points.arm(point, upload_id)
    send_all(here, upload_id)
    wait_for_state(here, upload_id, "AWAITING_CONFIRMATION")
    assert here.file(upload_id).read_bytes() == CONTENT
    insist(lambda: here.client.finish_upload(upload_id))
    here.points.wait_for_death(point)
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, attempts)
    assert here.file(upload_id).read_bytes() == CONTENT


@pytest.mark.parametrize("point", around("delay"))
@pytest.mark.parametrize("way", ["url", "function"])
def test_an_app_that_failed_is_asked_again(here, way, point):
    upload_id = here.ticket(way, answers="500,done")
    here.points.arm(point, upload_id)
    send_all(here, upload_id)
    here.points.wait_for_death(point)
    wait_for_state(here, upload_id, "FINISHED")
    check_deliveries(here, upload_id, [1, 2])


@pytest.mark.parametrize("point", [*around("give_up"), *around("retry")])
def test_a_failed_upload_keeps_its_file_and_can_be_handed_over_again(short_lived, point):
    upload_id = short_lived.ticket(answers="wait,done")
    short_lived.points.arm(point, upload_id)
    send_all(short_lived, upload_id)
    wait_for_state(short_lived, upload_id, "FAILED")
    assert short_lived.file(upload_id).read_bytes() == CONTENT
    insist(lambda: short_lived.client.retry_handover(upload_id))
    short_lived.points.wait_for_death(point)
    wait_for_state(short_lived, upload_id, "FINISHED")
    check_deliveries(short_lived, upload_id, [1, 2])
    wait_until_nothing_is_left(short_lived, upload_id)


# the end


@pytest.mark.parametrize("point", ["finish.after", *REMOVING, *around("confirm")])
def test_a_finished_file_goes_with_its_record(short_lived, point):
    wait = point.startswith("confirm")
    upload_id = short_lived.ticket(answers="wait" if wait else "done")
    short_lived.points.arm(point, upload_id)
    send_all(short_lived, upload_id)
    if wait:
        wait_for_state(short_lived, upload_id, "AWAITING_CONFIRMATION")
        insist(lambda: short_lived.client.finish_upload(upload_id))
    short_lived.points.wait_for_death(point)
    wait_until_nothing_is_left(short_lived, upload_id)
    check_deliveries(short_lived, upload_id, [1])


@pytest.mark.parametrize("point", [*REMOVING, "remove.before", "remove.after"])
def test_a_file_that_a_crash_has_left_is_never_left_alone(short_lived, point):
    """Killed between the record of the app's answer and the removal, and in the removal again."""
    upload_id = short_lived.ticket()
    for each in ("finish.after", point):
        short_lived.points.arm(each, upload_id)
    send_all(short_lived, upload_id)
    short_lived.points.wait_for_death("finish.after")
    assert short_lived.file(upload_id).read_bytes() == CONTENT
    wait_until_nothing_is_left(short_lived, upload_id)
    short_lived.points.wait_for_death(point)


@pytest.mark.parametrize(
    "point", ["leave.before", "leave.after", "remove.before", "remove.after", "delete.before"]
)
def test_a_record_is_forgotten(short_lived, point):
    """A kept file stays; `delete` is that of an upload that was cancelled."""
    cancelled = point == "delete.before"
    upload_id = short_lived.ticket(remove=False)
    if not cancelled:
        send_all(short_lived, upload_id)
    else:
        put(short_lived, upload_id, CONTENT, 0, CHUNK_BYTES)
        assert requests.delete(short_lived.url(upload_id), timeout=10).status_code == 200
    short_lived.points.arm(point, upload_id)
    short_lived.points.wait_for_death(point)
    if cancelled:
        wait_until_nothing_is_left(short_lived, upload_id)
        return
    wait_until_forgotten(short_lived, upload_id)
    assert short_lived.file(upload_id).read_bytes() == CONTENT
    check_deliveries(short_lived, upload_id, [1])
    assert list(short_lived.file(upload_id).parents[1].glob(f"left/{upload_id}"))
    short_lived.file(upload_id).unlink()


@pytest.mark.parametrize(
    ("point", "calls"),
    [
        *((point, 1) for point in [*around("cancel"), *REMOVING]),
        ("tell.before", 2),
        ("tell.within", 2),
        ("tell.after", 1),
        ("call.before", 1),
        ("call.after", 2),
    ],
)
@pytest.mark.parametrize("way", ["url", "function"])
def test_a_cancelled_upload_leaves_nothing_and_the_app_learns_of_it(here, way, point, calls):
    upload_id = here.ticket(way)
    put(here, upload_id, CONTENT, 0, CHUNK_BYTES)
    here.points.arm(point, upload_id)

    def cancel() -> bool:
        try:
            return requests.delete(here.url(upload_id), timeout=10).status_code == 200
        except requests.RequestException:
            return False

    wait_until(cancel, "an answer")
    here.points.wait_for_death(point)
    wait_for_state(here, upload_id, "CANCELLED")
    wait_until(lambda: here.client.status(upload_id).notified, "the record of it")
    check_cancellation(here, upload_id, calls)


@pytest.mark.parametrize("point", [*around("expire"), *REMOVING])
def test_an_expired_upload_leaves_nothing_and_the_app_learns_of_it(short_lived, point):
    upload_id = short_lived.ticket()
    put(short_lived, upload_id, CONTENT, 0, CHUNK_BYTES)
    short_lived.points.arm(point, upload_id)
    short_lived.points.wait_for_death(point)
    check_cancellation(short_lived, upload_id, 1)
    wait_until_nothing_is_left(short_lived, upload_id)
