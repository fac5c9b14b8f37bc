"""A page as it was written for the original of 2014, unchanged, in a browser of today."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page
from proxy import Proxy, tcp_proxy
from servers import Server, gunicorn, serving
from uploading import make_file
from waiting import wait_until
from webapp import WebApp, reply, web_app
from webob import Response

MIB = 1 << 20

# Old-fashioned on purpose: var, a host that is set, toString() on everything, no event, no promise.
PAGE = """<!doctype html>
<script src="http://HOST/incoming/0.1/frontend/incoming.js"></script>
<input type="file" id="file"><input type="checkbox" id="pause"><button id="cancel">cancel</button>
<ul id="properties"></ul><pre id="log"></pre>
<script>
  var uploader = null, log = [];
  var names = ["filename", "bytes_total", "bytes_tx", "bytes_acked", "bytes_ahead",
    "frac_complete", "chunks_tx_now", "chunks_acked_now", "chunks_ahead", "state_msg",
    "cancel_msg", "error_code", "error_msg", "connected", "finished", "paused", "can_pause",
    "cancelling", "cancelled", "can_cancel"];
  incoming.set_server_hostname("HOST");
  document.getElementById("file").onchange = function () {
    uploader = incoming.Uploader("TICKET", this.files[0]);
    uploader.onprogress = function (u) {
      var values = {}, html = "";
      for (var i = 0; i < names.length; i++) {
        values[names[i]] = u[names[i]];
        html += "<li>" + names[i] + ": " + (u[names[i]] === null ? "" : u[names[i]].toString());
      }
      document.getElementById("properties").innerHTML = html;
      document.getElementById("pause").disabled = !u.can_pause;
      document.getElementById("pause").checked = u.paused;
      document.getElementById("cancel").disabled = !u.can_cancel;
      log.push(["onprogress", values]);
    };
    uploader.onfinished = function (u) { log.push(["onfinished", u === uploader]); };
    uploader.oncancelled = function (u) { log.push(["oncancelled", u.cancel_msg]); };
    uploader.onerror = function (u) { log.push(["onerror", u.error_code, u.error_msg]); };
    uploader.start();
  };
  document.getElementById("pause").onclick = function () {
    uploader.pause(this.checked ? "pause" : "unpause");
  };
  document.getElementById("cancel").onclick = function () { uploader.cancel("changed my mind"); };
</script>
"""


@pytest.fixture
def app() -> Iterator[WebApp]:
    with web_app() as app:
        yield app


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    environ = {"INCOMING_STORAGE_DIR": str(tmp_path / "storage")}
    with gunicorn("incoming_wsgi.wsgi:application", folder=tmp_path, environ=environ) as server:
        yield server


@pytest.fixture
def line(server: Server) -> Iterator[Proxy]:
    with tcp_proxy(server.port) as proxy:
        proxy.limit(8 * MIB)
        yield proxy


@pytest.fixture
def opened(page: Page, server: Server, line: Proxy, app: WebApp) -> Iterator[str]:
    """The page, served from another origin than the uploads; the ticket."""
    answer = requests.post(
        f"{server.url}/incoming/0.1/backend/new_upload",
        params={"signalFinishURL": app.url, "backendSecret": "s3cret"},
        timeout=30,
    )
    html = PAGE.replace("HOST", line.url.removeprefix("http://")).replace("TICKET", answer.text)
    with serving(Response(html)) as url:
        page.goto(url)
        yield answer.text


def log(page: Page) -> list:
    return page.evaluate("log")


def names(page: Page) -> list[str]:
    return [entry[0] for entry in log(page)]


def wait_for(page: Page, condition: str) -> None:
    wait_until(lambda: page.evaluate(condition), condition, 60)


def check_every_callback(page: Page) -> None:
    flags = ["connected", "finished", "paused", "cancelling", "cancelled"]
    flags += ["can_pause", "can_cancel"]
    for name, values in log(page):
        if name != "onprogress":
            continue
        assert all(isinstance(values[flag], bool) for flag in flags), values
        assert values["bytes_ahead"] == values["bytes_tx"] - values["bytes_acked"] >= 0
        assert values["chunks_ahead"] == values["chunks_tx_now"] - values["chunks_acked_now"] >= 0
        assert values["frac_complete"] == values["bytes_acked"] / values["bytes_total"]
        if values["finished"] or values["cancelled"]:
            assert not values["can_pause"]
            assert not values["can_cancel"]
            assert not values["paused"]


def test_a_file_arrives_and_the_callbacks_come_in_their_order(
    opened: str, page: Page, app: WebApp, tmp_path: Path
) -> None:
    path = make_file(tmp_path, "film.mp4", 6 * MIB)
    page.locator("#file").set_input_files(path)
    wait_for(page, "uploader.finished")

    assert names(page)[-3:] == ["onprogress", "onfinished", "onprogress"]
    last, before = log(page)[-1][1], log(page)[-3][1]
    assert [before["finished"], before["connected"]] == [True, True]
    assert [last["finished"], last["connected"]] == [True, False]
    assert set(names(page)) == {"onprogress", "onfinished"}
    check_every_callback(page)
    [handover] = app.handovers
    assert handover.content == path.read_bytes()
    assert handover.form["backendSecret"] == handover.form["signalFinishSecret"] == "s3cret"


# When to act, said in the page's own words: it acts in the very callback in which this is true.
MOMENTS = {
    "at once": "true",
    "in the middle": "u.frac_complete > 0.3",
    "at the end": "u.bytes_total - u.bytes_tx < u.bytes_total / 3",
}


def click_when(page: Page, moment: str, *buttons: str) -> None:
    """Let the page click these as soon as it is `moment`, which must come before the last byte."""
    page.evaluate(
        """([condition, buttons]) => {
          var is_time = new Function("u", "return " + condition), done = false;
          document.getElementById("file").addEventListener("change", function () {
            uploader.addEventListener("progress", function () {
              if (done || !uploader.can_pause || !is_time(uploader)) return;
              done = true;
              window.acted_at = uploader.frac_complete;
              buttons.forEach(function (id) { document.getElementById(id).click(); });
            });
          });
        }""",
        [MOMENTS[moment], list(buttons)],
    )


@pytest.mark.parametrize("moment", MOMENTS)
def test_pause_and_unpause(
    opened: str, page: Page, app: WebApp, tmp_path: Path, moment: str
) -> None:
    path = make_file(tmp_path, "film.mp4", 32 * MIB)
    click_when(page, moment, "pause")
    page.locator("#file").set_input_files(path)
    wait_for(page, "uploader.paused")
    state = page.evaluate("[uploader.paused, uploader.connected, uploader.can_pause]")
    assert state == [True, False, True]
    assert page.locator("#pause").is_checked()
    requests_sent: list[str] = []
    page.on("request", lambda request: requests_sent.append(request.url))
    page.wait_for_timeout(500)
    assert requests_sent == []

    page.locator("#pause").click()
    wait_for(page, "uploader.finished")

    check_every_callback(page)
    assert app.handovers[0].content == path.read_bytes()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("buttons", [["cancel"], ["pause", "cancel"]])
def test_cancel(
    opened: str, page: Page, app: WebApp, tmp_path: Path, moment: str, buttons: list[str]
) -> None:
    click_when(page, moment, *buttons)
    page.locator("#file").set_input_files(make_file(tmp_path, "film.mp4", 32 * MIB))
    wait_for(page, "uploader.cancelled")

    assert names(page)[-2:] == ["onprogress", "oncancelled"]
    assert log(page)[-1][1] == "changed my mind"
    assert "onerror" not in names(page)
    assert any(values["cancelling"] for name, values in log(page) if name == "onprogress")
    check_every_callback(page)
    # The app was told before the page, and the bytes are gone.
    [handover] = app.handovers
    assert handover.form["cancelled"] == "yes"
    assert handover.form["cancelReason"] == "changed my mind"
    stored = [entry for entry in (tmp_path / "storage").rglob("*") if opened in entry.name]
    assert stored == []


def test_a_cancel_after_the_last_byte_while_the_app_is_down(
    opened: str, page: Page, app: WebApp, server: Server, tmp_path: Path
) -> None:
    app.replies[:] = [reply(503)]
    page.locator("#file").set_input_files(make_file(tmp_path, "film.mp4", MIB))
    wait_for(page, "uploader.frac_complete === 1 && uploader.trouble_code === 'app_waits'")
    assert page.evaluate("[uploader.can_pause, uploader.can_cancel]") == [False, False]

    def is_cancelled() -> bool:
        # It comes too late whenever the app is just being asked; that is no harm, and not for long.
        page.evaluate("uploader.cancel('after all') && null")
        wait_for(page, "!uploader.cancelling")
        return page.evaluate("uploader.cancelled")

    wait_until(is_cancelled, "the cancel", 60)
    assert app.handovers[-1].form["cancelReason"] == "after all"
