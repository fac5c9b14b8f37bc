"""The built wheel, installed where the source is not: complete, silent, and at work."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib.metadata import distribution
from pathlib import Path

import pytest

import incoming_wsgi
from incoming_wsgi.assets import NAMES

ROOT = Path(__file__).parent.parent.parent

JOURNEY = """
import json, time
from pathlib import Path
from webob import Request
from incoming_wsgi import Incoming

taken = []
incoming = Incoming("storage", on_finished=lambda u: taken.append(u.path.read_bytes()))
app = incoming.wrap(lambda environ, start_response: 1 / 0)
url = "/incoming/0.1/frontend/uploads/" + incoming.new_upload()

def ask(method, url, body=b"", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request.blank(url, method=method, body=body, headers=headers).get_response(app)

ask("POST", url, b'{"filename": "a", "length": 3}')
ask("PUT", url, b"abc", Content_Range="bytes 0-2/3")
while (state := json.loads(ask("GET", url).body)["state"]) != "FINISHED":  # in the background
    assert state in ("COMPLETE", "HANDING_OVER"), state
    time.sleep(0.01)
assert taken == [b"abc"], taken
Path("incoming.js").write_bytes(ask("GET", "/incoming/0.1/frontend/incoming.js").body)
incoming.close()
"""


@pytest.fixture(scope="module", autouse=True)
def installed():
    package = Path(incoming_wsgi.__file__).parent
    if package.is_relative_to(ROOT) and not package.is_relative_to(ROOT / ".tox"):
        pytest.exit("tests/wheel is for the installed wheel: run it with tox -e wheel", 1)


def python(*arguments: str, cwd: Path) -> None:
    # WebOb's import of cgi is not ours to mend.
    warnings = ["-W", "error", "-W", "ignore:'cgi' is deprecated:DeprecationWarning"]
    subprocess.run([sys.executable, *warnings, *arguments], cwd=cwd, check=True, timeout=60)


def test_it_takes_a_file_without_a_warning_and_serves_the_browser_library(tmp_path):
    python("-c", JOURNEY, cwd=tmp_path)
    served = (tmp_path / "incoming.js").read_bytes()
    assert served == (ROOT / "static" / "incoming.js").read_bytes()


def test_it_has_every_module_the_types_and_the_licence_and_nothing_else():
    files = distribution("incoming_wsgi").files
    assert files is not None
    inside = {str(path) for path in files if path.parts[0] == "incoming_wsgi"}
    inside = {name for name in inside if "__pycache__" not in name}
    source = ROOT / "incoming_wsgi"
    expected = {f"incoming_wsgi/{path.relative_to(source)}" for path in source.rglob("*.py")}
    expected |= {"incoming_wsgi/py.typed"}
    expected |= {f"incoming_wsgi/static/{name}" for name in NAMES}
    for name in ("incoming", "incoming-upload"):
        expected |= {f"incoming_wsgi/static/{name}.d.{kind}" for kind in ("ts", "mts")}
    assert inside == expected
    assert any(path.name == "LICENSE" for path in files)


def test_it_needs_webob_requests_and_click_and_nothing_else():
    requires = distribution("incoming_wsgi").requires or []
    needed = [text for text in requires if "extra ==" not in text]
    assert sorted(text.split(">")[0] for text in needed) == ["click", "requests", "webob"]


def test_the_command_is_installed(tmp_path):
    command = Path(sysconfig.get_path("scripts")) / "incoming"
    result = subprocess.run(
        [command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert incoming_wsgi.__version__ in result.stdout
