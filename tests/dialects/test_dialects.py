"""One journey for every protocol, and one through all of them.

A file is declared, its line breaks, the server is killed and started again, the client asks where
to go on and sends the rest; the app gets the file once. What differs is how each protocol says so.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import random
import socket
from collections.abc import Mapping
from contextlib import closing

import pytest
import requests
from servers import gunicorn
from waiting import wait_until
from webapp import reply, web_app

CONTENT = random.Random(6).randbytes(3_000_000)
LENGTH = len(CONTENT)
NAME = "journey – 1.bin"
TIMEOUT_S = 30


class Client:
    """One protocol: `declare` and `ask` are whole requests, `head_of` is the head of one that
    brings bytes."""

    def declare(self, url: str) -> None:
        raise NotImplementedError

    def ask(self, url: str) -> int:
        """The offset of what is stored without a gap."""
        raise NotImplementedError

    def head_of(self, start: int, stop: int) -> tuple[str, dict[str, str]]:
        raise NotImplementedError

    def check_end(self, answer: requests.Response) -> None:
        """What a client takes for success."""
        raise NotImplementedError

    def send(self, url: str, start: int, stop: int) -> requests.Response:
        method, headers = self.head_of(start, stop)
        return requests.request(
            method, url, data=CONTENT[start:stop], headers=headers, timeout=TIMEOUT_S
        )

    def break_off(self, url: str, start: int, stop: int, sent: int) -> None:
        """Announce [start, stop), send `sent` bytes of it, and hang up."""
        method, headers = self.head_of(start, stop)
        host, _, path = url.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
        with closing(connection):
            connection.putrequest(method, "/" + path)
            for name, value in {**headers, "Content-Length": str(stop - start)}.items():
                connection.putheader(name, value)
            connection.endheaders(CONTENT[start : start + sent])
            connection.sock.shutdown(socket.SHUT_WR)
            connection.sock.recv(1000)  # until it has been read


class Native(Client):
    def declare(self, url):
        said = {"filename": NAME, "length": LENGTH}
        requests.post(url, json=said, timeout=TIMEOUT_S).raise_for_status()

    def ask(self, url):
        received = requests.get(url, timeout=TIMEOUT_S).json()["received"]
        return received[0][1] if received and received[0][0] == 0 else 0

    def head_of(self, start, stop):
        return "PUT", {"Content-Range": f"bytes {start}-{stop - 1}/{LENGTH}"}

    def check_end(self, answer):
        assert answer.status_code == 200
        assert answer.json()["state"] in ("COMPLETE", "HANDING_OVER", "FINISHED")


class Tus(Client):
    COMMON: Mapping[str, str] = {"Tus-Resumable": "1.0.0"}

    def declare(self, url):
        name = base64.b64encode(NAME.encode()).decode()
        headers = {"Upload-Length": str(LENGTH), "Upload-Metadata": f"filename {name}"}
        answer = requests.post(url, headers={**self.COMMON, **headers}, timeout=TIMEOUT_S)
        assert answer.status_code == 201
        assert requests.compat.urljoin(url, answer.headers["Location"]) == url

    def ask(self, url):
        answer = requests.head(url, headers=self.COMMON, timeout=TIMEOUT_S)
        assert answer.status_code == 200
        assert answer.headers["Upload-Length"] == str(LENGTH)
        return int(answer.headers["Upload-Offset"])

    def head_of(self, start, stop):
        headers = {
            "Upload-Offset": str(start),
            "Content-Type": "application/offset+octet-stream",
        }
        return "PATCH", {**self.COMMON, **headers}

    def check_end(self, answer):
        assert answer.status_code == 204
        assert answer.headers["Upload-Offset"] == str(LENGTH)
        assert answer.headers["Upload-State"] == "FINISHED"


class Draft(Client):
    version = 8

    @property
    def common(self) -> dict[str, str]:
        return {"Upload-Draft-Interop-Version": str(self.version)}

    def declare(self, url):
        headers = {
            "Upload-Complete": "?0",
            "Upload-Length": str(LENGTH),
            "Content-Disposition": "inline; filename*=UTF-8''journey%20%E2%80%93%201.bin",
        }
        answer = requests.post(url, headers={**self.common, **headers}, timeout=TIMEOUT_S)
        assert answer.status_code == 201
        assert requests.compat.urljoin(url, answer.headers["Location"]) == url

    def ask(self, url):
        answer = requests.head(url, headers=self.common, timeout=TIMEOUT_S)
        assert answer.status_code in (200, 204)
        assert answer.headers["Upload-Length"] == str(LENGTH)
        return int(answer.headers["Upload-Offset"])

    def head_of(self, start, stop):
        headers = {
            "Upload-Offset": str(start),
            "Upload-Complete": "?1" if stop == LENGTH else "?0",
            "Content-Type": "application/partial-upload",
        }
        return "PATCH", {**self.common, **headers}

    def check_end(self, answer):
        assert answer.status_code == 200
        assert answer.headers["Upload-Complete"] == "?1"
        assert answer.json()["state"] == "FINISHED"


class OldDraft(Draft):
    """As it was in the beginning, and as Apple has shipped it."""

    version = 3

    def declare(self, url):
        headers = {
            "Upload-Incomplete": "?1",
            "Upload-Length": str(LENGTH),
            "Content-Disposition": "inline; filename*=UTF-8''journey%20%E2%80%93%201.bin",
        }
        answer = requests.post(url, headers={**self.common, **headers}, timeout=TIMEOUT_S)
        assert answer.status_code == 201

    def head_of(self, start, stop):
        headers = {
            "Upload-Offset": str(start),
            "Upload-Incomplete": "?0" if stop == LENGTH else "?1",
        }
        return "PATCH", {**self.common, **headers}

    def check_end(self, answer):
        assert answer.status_code == 200
        assert answer.headers["Upload-Incomplete"] == "?0"


def name_of(client: Client) -> str:
    return type(client).__name__


CLIENTS = [Native(), Tus(), Draft(), OldDraft()]
every_client = pytest.mark.parametrize("client", CLIENTS, ids=name_of)


@pytest.fixture
def server(tmp_path):
    environ = {"INCOMING_STORAGE_DIR": str(tmp_path), "INCOMING_HANDOVER_RETRY_S": "0.2"}
    with gunicorn(
        "incoming_wsgi.wsgi:application", "--workers", "2", folder=tmp_path, environ=environ
    ) as server:
        yield server


@pytest.fixture
def app():
    with web_app() as app:
        yield app


def new_upload(server, app) -> str:
    answer = requests.post(
        f"{server.url}/incoming/backend/new_upload",
        params={"signalFinishURL": app.url},
        timeout=TIMEOUT_S,
    )
    answer.raise_for_status()
    return f"{server.url}/incoming/0.1/frontend/uploads/{answer.text}"


def wait_for_offset(client: Client, url: str, at_least: int) -> int:
    return wait_until(lambda: (o := client.ask(url)) >= at_least and o, f"offset {at_least}")


def check_delivered(app) -> None:
    [handover] = app.wait_for(1)
    assert handover.content == CONTENT
    assert handover.form["filenameFromBrowser"] == NAME
    assert handover.form["length"] == str(LENGTH)


@every_client
def test_a_journey_with_a_broken_line_and_a_killed_server(server, app, client):
    url = new_upload(server, app)
    client.declare(url)
    assert client.ask(url) == 0
    assert client.send(url, 0, 1_000_000).ok
    client.break_off(url, 1_000_000, LENGTH, 700_000)
    assert wait_for_offset(client, url, 1_700_000) == 1_700_000
    server.kill()
    server.start()
    assert client.ask(url) == 1_700_000
    assert client.send(url, 1_700_000, 2_000_000).ok
    client.check_end(client.send(url, 2_000_000, LENGTH))
    check_delivered(app)
    assert client.ask(url) == LENGTH
    check_delivered(app)


@every_client
def test_an_answer_that_was_lost_is_given_again(server, app, client):
    """The last bytes, sent a second time or asked about, are no second delivery."""
    url = new_upload(server, app)
    client.declare(url)
    client.check_end(client.send(url, 0, LENGTH))
    assert client.ask(url) == LENGTH
    if isinstance(client, Native):
        client.check_end(client.send(url, 0, LENGTH))
    else:
        client.check_end(client.send(url, LENGTH, LENGTH))  # nothing is left to send
    check_delivered(app)


@pytest.mark.parametrize(
    "clients",
    list(itertools.permutations(CLIENTS[:3])),
    ids=lambda order: "+".join(map(name_of, order)),
)
def test_one_file_by_three_protocols(server, app, clients):
    url = new_upload(server, app)
    first, second, third = clients
    first.declare(url)
    assert first.send(url, 0, 1_000_000).ok
    assert second.ask(url) == 1_000_000
    second.break_off(url, 1_000_000, 2_500_000, 900_000)
    assert wait_for_offset(third, url, 1_900_000) == 1_900_000
    third.check_end(third.send(url, 1_900_000, LENGTH))
    check_delivered(app)
    for client in clients:
        assert client.ask(url) == LENGTH


@every_client
def test_what_came_out_of_order_is_not_sent_again(server, app, client):
    """Ranges of the native protocol, behind the offset: whoever appends runs through them."""
    url = new_upload(server, app)
    Native().declare(url)
    for start in (500_000, 1_500_000, 2_500_000):
        assert Native().send(url, start, start + 500_000).ok
    assert client.ask(url) == 0
    assert client.send(url, 0, 500_000).ok
    assert client.ask(url) == 1_000_000
    client.check_end(client.send(url, 1_000_000, LENGTH))
    check_delivered(app)


@pytest.mark.parametrize("client", [Tus(), Draft()], ids=name_of)
def test_an_app_that_refuses_is_no_success(server, client):
    with web_app(reply(body=b"refused: it has a virus")) as app:
        url = new_upload(server, app)
        client.declare(url)
        answer = client.send(url, 0, LENGTH)
        assert answer.status_code == 422
        assert "it has a virus" in answer.json()["detail"]
        assert "Upload-Offset" not in answer.headers
        # The answer was lost, and the client asks, begins anew, or sends its last request again.
        again = requests.head(url, headers=client.head_of(0, 1)[1], timeout=TIMEOUT_S)
        assert (again.status_code, "Upload-Offset" in again.headers) == (422, False)
        assert again.headers["Upload-Reason"] == "it has a virus"
        assert client.send(url, LENGTH, LENGTH).status_code == 422
        assert len(app.handovers) == 1


@pytest.mark.parametrize("client", [Tus(), Draft()], ids=name_of)
def test_an_app_that_is_down_is_no_success_until_it_has_the_file(tmp_path, client):
    environ = {
        "INCOMING_STORAGE_DIR": str(tmp_path / "storage"),
        "INCOMING_HANDOVER_RETRY_S": "0.2",
        "INCOMING_COMPLETE_WAIT_S": "1",
    }
    with (
        gunicorn("incoming_wsgi.wsgi:application", folder=tmp_path, environ=environ) as server,
        web_app(reply(status=500, body=b"no database")) as app,
    ):
        url = new_upload(server, app)
        client.declare(url)
        answer = client.send(url, 0, LENGTH)
        assert answer.status_code == 423
        assert "500" in answer.json()["reason"]
        assert int(answer.headers["Retry-After"]) > 0
        app.replies[:] = [reply()]
        wait_until(lambda: requests.get(url, timeout=TIMEOUT_S).json()["state"] == "FINISHED", "it")
        client.check_end(client.send(url, LENGTH, LENGTH))
        assert len({handover.form["deliveryId"] for handover in app.handovers}) == 1


@pytest.mark.parametrize("client", [Tus(), Draft()], ids=name_of)
def test_what_came_of_a_body_in_chunks_counts(server, app, client):
    """Clients for phones send nothing else, over lines that break: each try gets on."""
    url = new_upload(server, app)
    client.declare(url)
    offset = 0
    for _ in range(3):
        method, headers = client.head_of(offset, LENGTH)
        host, _, path = url.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
        with closing(connection):
            connection.putrequest(method, "/" + path)
            for name, value in {**headers, "Transfer-Encoding": "chunked"}.items():
                connection.putheader(name, value)
            connection.endheaders()
            for start in range(offset, offset + 60_000, 10_000):
                connection.send(b"2710\r\n" + CONTENT[start : start + 10_000] + b"\r\n")
            connection.sock.shutdown(socket.SHUT_WR)
            connection.sock.recv(1000)  # until it has been read
        before, offset = offset, client.ask(url)
        assert offset >= before + 50_000
    client.check_end(client.send(url, offset, LENGTH))
    check_delivered(app)


@pytest.mark.parametrize("kind", ["tus", "draft"])
def test_a_file_that_is_sent_again_as_a_whole_gets_its_answer(server, app, kind):
    """A task of URLSession that has lost its answer does, and hears nothing before it has sent all
    of it: however much that is."""
    url = new_upload(server, app)
    content = random.Random(7).randbytes(40_000_000)
    headers = {"Upload-Complete": "?1"}
    if kind == "tus":
        headers = {**Tus.COMMON, "Upload-Length": str(len(content))}
        headers["Content-Type"] = "application/offset+octet-stream"
    for _ in range(2):
        answer = requests.post(url, content, headers=headers, timeout=TIMEOUT_S)
        assert answer.status_code == 201
        assert answer.headers["Upload-State"] == "FINISHED"
    [handover] = app.wait_for(1)
    assert handover.content == content
