"""backend/ of a real server, with a real nginx in front of it as people set one up."""

from __future__ import annotations

import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from nginx import LOCATION, nginx
from servers import Server, gunicorn
from tools import program

from incoming_wsgi.client import IncomingClient
from incoming_wsgi.tickets.sqlite import SQLiteTicketStore

APPLICATION = "incoming_wsgi.wsgi:application"
FORM = {"signalFinishURL": "http://127.0.0.1:9/finished"}
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
DOCUMENT = Path(__file__).parents[1] / "docs" / "operations.md"

# What `location /` says in front of the server, and what that nginx cannot hide.
BARE = "proxy_pass http://{host}:{upstream_port};"
NAMED = "proxy_pass http://behind;"
PROXIES = {
    "bare": BARE,
    "bare, named upstream": NAMED,
    "passing the host": LOCATION,
    "HTTP/1.1, named upstream": f"proxy_http_version 1.1; {NAMED}",
    "X-Forwarded-For": "proxy_http_version 1.1; "
    f"proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; {BARE}",
    "X-Real-IP": f"proxy_http_version 1.1; proxy_set_header X-Real-IP $remote_addr; {BARE}",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "storage")}
    with gunicorn(APPLICATION, folder=tmp_path, environ=environ) as started:
        yield started


def count_tickets(tmp_path: Path) -> int:
    tickets = SQLiteTicketStore(tmp_path / "storage" / "incoming.db")
    try:
        return sum(tickets.count_by_state().values())
    finally:
        tickets.close()


@pytest.mark.parametrize("proxy", PROXIES)
def test_nobody_gets_a_ticket_through_a_proxy_on_the_same_machine(server, tmp_path, proxy):
    with nginx(server.port, folder=tmp_path, location=PROXIES[proxy]) as front:
        for path in ("/backend/new_upload", "/incoming/0.1/backend/new_upload"):
            answer = requests.post(front.url + path, FORM, timeout=30)
            assert (answer.status_code, answer.text[-9:]) == (403, " backend/")
        assert requests.get(front.url + "/incoming/health", timeout=30).status_code == 200
    assert count_tickets(tmp_path) == 0


def test_a_host_that_a_visitor_asks_for_is_not_this_machine(server, tmp_path):
    location = f"proxy_http_version 1.1; {LOCATION}"
    with nginx(server.port, folder=tmp_path, location=location) as front:
        for host in ("app.example", "app", "192.0.2.1:80"):
            headers = {"Host": host}
            answer = requests.post(
                front.url + "/backend/new_upload", FORM, headers=headers, timeout=30
            )
            assert answer.status_code == 403
    assert count_tickets(tmp_path) == 0


def test_the_proxy_shuts_backend_itself_as_the_document_says(server, tmp_path):
    """Also where nothing would show that there is a proxy."""
    [recipe] = re.findall(r"^location .*backend.*$", DOCUMENT.read_text(), re.MULTILINE)
    location = f"proxy_http_version 1.1; {BARE}"
    with nginx(server.port, folder=tmp_path, directives=recipe, location=location) as front:
        for path in (
            "/backend/new_upload",
            "/0.1/backend/new_upload",
            "/incoming/backend/new_upload",
            "/incoming/0.1/backend/uploads/x",
            "/incoming/%62ackend/new_upload",
            "/incoming//backend/new_upload",
            "/incoming/frontend/../backend/new_upload",
            "/x/../incoming/./0.1/backend/new_upload",
        ):
            command = [program("curl"), "-sS", "--path-as-is", "-d", "signalFinishURL=http://x/"]
            command += ["-o", "/dev/null", "-w", "%{http_code}", front.url + path]
            assert subprocess.run(command, capture_output=True, check=True).stdout == b"404", path
        assert requests.get(front.url + "/incoming/health", timeout=30).status_code == 200
    assert count_tickets(tmp_path) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_app_on_the_same_machine_gets_its_ticket(server, host):
    base = f"http://{host}:{server.port}"
    url = f"{base}/incoming/backend/new_upload"
    assert UUID4.fullmatch(requests.post(url, FORM, timeout=30).text)
    assert UUID4.fullmatch(requests.post(url, params=FORM, timeout=30).text)
    data = urllib.parse.urlencode(FORM).encode()
    with urllib.request.urlopen(url, data, timeout=30) as answer:
        assert UUID4.fullmatch(answer.read().decode())
    command = [program("curl"), "-sS", "-d", data.decode(), url]
    curl = subprocess.run(command, capture_output=True, text=True, check=True)
    assert UUID4.fullmatch(curl.stdout)
    assert UUID4.fullmatch(
        IncomingClient(base).new_upload(signal_finish_url=FORM["signalFinishURL"])
    )


def test_the_token_opens_it_through_a_proxy_too(tmp_path):
    environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "storage"), "INCOMING_BACKEND_TOKEN": "t0ken"}
    with (
        gunicorn(APPLICATION, folder=tmp_path, environ=environ) as server,
        nginx(server.port, folder=tmp_path, location=PROXIES["X-Forwarded-For"]) as front,
    ):
        url = front.url + "/backend/new_upload"
        headers = {"Authorization": "Bearer t0ken"}
        assert UUID4.fullmatch(requests.post(url, FORM, headers=headers, timeout=30).text)
        headers = {"Authorization": "Bearer t0kem"}
        assert requests.post(url, FORM, headers=headers, timeout=30).status_code == 403
