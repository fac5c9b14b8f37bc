"""The command `incoming`."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner
from servers import free_port, serving
from waiting import wait_until
from webapp import reply, web_app

from incoming_wsgi import Incoming, UploadState
from incoming_wsgi.cli import main
from incoming_wsgi.client import IncomingClient, upload_file
from incoming_wsgi.config import Settings

NOBODY = "http://127.0.0.1:9/finished"
DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in [name for name in os.environ if name.startswith("INCOMING_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "storage"


@pytest.fixture
def incoming(folder):
    incoming = Incoming(folder, backend_api=True, background=False, handover_retry_s=0.05)
    yield incoming
    incoming.close()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    return path


def run(*arguments, **variables):
    return CliRunner().invoke(main, [str(a) for a in arguments], env=variables)


def start(*arguments) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "incoming_wsgi.cli", *map(str, arguments)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environ, text=True, **pipes)


def words(text: str) -> str:
    """Without the line breaks of the terminal's width."""
    return " ".join(text.split())


# options and settings

# Written down, not computed: what an operator reads of each setting.
UNIT_AND_DEFAULT = {
    "chunk_bytes": ("BYTES", "1048576 = 1 MiB"),
    "max_chunk_bytes": ("BYTES", "16777216 = 16 MiB"),
    "send_ahead": ("NUMBER", "4"),
    "max_length_bytes": ("BYTES", "none"),
    "max_requests_per_upload": ("NUMBER", "none"),
    "min_rate_bytes_s": ("BYTES/S", "1024"),
    "stall_timeout_s": ("SECONDS", "30"),
    "idle_timeout_s": ("SECONDS", "43200 = 12 h"),
    "handover_timeout_s": ("SECONDS", "55"),
    "handover_retry_s": ("SECONDS", "1"),
    "handover_give_up_s": ("SECONDS", "86400 = 1 d"),
    "confirm_timeout_s": ("SECONDS", "600 = 10 min"),
    "complete_wait_s": ("SECONDS", "none"),
    "keep_finished_s": ("SECONDS", "86400 = 1 d"),
    "keep_failed_s": ("SECONDS", "604800 = 7 d"),
    "max_total_bytes": ("BYTES", "none"),
    "max_owner_bytes": ("BYTES", "none"),
    "max_owner_uploads": ("NUMBER", "none"),
    "min_free_bytes": ("BYTES", "67108864 = 64 MiB"),
    "durability": ("TEXT", "process"),
    "allow_origins": ("ORIGIN,…", "*"),
    "backend_api": ("TRUE|FALSE", "true"),
    "backend_token": ("TEXT", "none"),
    "signing_key": ("TEXT", "none"),
    "callback_hosts": ("HOST,…", "none"),
    "ietf_draft": ("TRUE|FALSE", "true"),
    "background": ("TRUE|FALSE", "true"),
    "fast_reading": ("TRUE|FALSE", "true"),
    "database": ("TEXT", "none"),
}


@pytest.mark.parametrize("command", ["serve", "housekeeping"])
def test_the_help_explains_every_setting_with_unit_variable_and_default(command):
    shown = words(run(command, "--help").output)
    for setting in dataclasses.fields(Settings):
        unit, default = UNIT_AND_DEFAULT[setting.name]
        option = f"--{setting.name.replace('_', '-')} {unit} {words(setting.metadata['help'])}"
        variable = "INCOMING_" + setting.name.upper()
        # Some versions of click write units as they are, others in capitals.
        assert f"{option} [{variable}; default: {default}]".lower() in shown.lower()


def test_the_help_of_serve_explains_its_own_options():
    shown = words(run("serve", "--help").output)
    assert "--bind HOST:PORT Where to listen" in shown
    assert "[default: 127.0.0.1:4000]" in shown
    assert "--workers NUMBER Worker processes. [default: one for each processor core]" in shown
    assert re.search(r"--threads NUMBER Threads of each worker.* \[default: 8\]", shown)
    assert re.search(r"--storage-dir \S+ The folder .* \[INCOMING_STORAGE_DIR; required\]", shown)


def test_every_command_and_option_has_a_help():
    for name, command in main.commands.items():
        assert command.help, name
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or parameter.help, (name, parameter)


def test_the_table_in_the_documentation_is_that_of_the_settings():
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| `(.+?)` \| (.+) \|$", (DOCS / "settings.md").read_text(), re.M
    )
    assert [row[0] for row in rows] == [setting.name for setting in dataclasses.fields(Settings)]
    for setting, (_, variable, default, text) in zip(
        dataclasses.fields(Settings), rows, strict=True
    ):
        assert variable == "INCOMING_" + setting.name.upper()
        assert text == setting.metadata["help"]
        # What the table calls the default makes, as a variable, the settings that nothing makes.
        _, settings = Settings.from_environ({variable: default})
        assert settings == Settings(), setting.name


@pytest.mark.parametrize("command", ["serve", "list", "housekeeping", "show x", "retry x"])
def test_a_missing_storage_folder_is_one_clear_line(command):
    done = run(*command.split())
    assert done.exit_code == 1
    assert done.output == (
        "Error: There is no storage folder: set INCOMING_STORAGE_DIR, or give --storage-dir to the "
        "command, to where files and tickets shall be kept, for example /var/lib/incoming\n"
    )


@pytest.mark.parametrize("command", ["serve", "list", "housekeeping", "show x", "retry x"])
def test_a_misspelt_variable_is_refused(command, folder):
    done = run(*command.split(), "--storage-dir", folder, INCOMING_CHUNKBYTES="1")
    assert done.exit_code == 1
    assert done.output.startswith("Error: INCOMING_CHUNKBYTES is not a setting; known are ")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (["--chunk-bytes", "1M"], {}, "--chunk-bytes': '1M'"),
        ([], {"INCOMING_CHUNK_BYTES": "1M"}, "for INCOMING_CHUNK_BYTES: '1M': it must be a"),
        (["--bind", "4000"], {}, "--bind': '4000': it must be HOST:PORT or unix:PATH"),
        (["--backend-api", "yes"], {}, "--backend-api': 'yes': not a truth value; say true or"),
        (["--chunk-bytes", "0"], {}, "chunk_bytes is 0; it must be 1 or more"),
        (["--durability", "ram"], {}, "durability is 'ram'; it must be"),
        (["--workers", "0"], {}, "--workers"),
    ],
)
def test_a_value_that_cannot_be_is_refused(arguments, variables, message, folder):
    done = run("serve", "--storage-dir", folder, *arguments, **variables)
    assert done.exit_code in (1, 2)
    assert message in words(done.output)
    assert "Traceback" not in done.output
    assert not folder.exists()


def test_an_option_wins_over_its_variable(folder, incoming, tmp_path):
    del incoming  # has made the folder
    done = run("list", "--storage-dir", folder, INCOMING_STORAGE_DIR=str(tmp_path / "other"))
    assert (done.exit_code, done.output) == (0, "")


def test_serve_says_how_to_get_gunicorn(folder, monkeypatch):
    import incoming_wsgi

    monkeypatch.setitem(sys.modules, "gunicorn.app.base", None)
    monkeypatch.delitem(sys.modules, "incoming_wsgi.serving", raising=False)
    monkeypatch.delattr(incoming_wsgi, "serving", raising=False)
    done = run("serve", "--storage-dir", folder)
    assert done.exit_code == 1
    assert "pip install 'incoming_wsgi[server]'" in done.output


def test_a_storage_folder_that_cannot_be_is_one_clear_line(tmp_path):
    (tmp_path / "file").touch()
    done = run("serve", "--storage-dir", tmp_path / "file" / "storage")
    assert done.exit_code == 1
    assert done.output.startswith("Error: The storage folder ")


# a look at uploads


@pytest.mark.parametrize("command", ["list", "housekeeping", "show x", "retry x"])
def test_looking_makes_no_folder(command, folder):
    done = run(*command.split(), "--storage-dir", folder)
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: There is no storage folder {folder}.")
    assert not folder.exists()


@pytest.mark.parametrize("command", ["list", "show x", "retry x"])
def test_looking_makes_no_database(command, tmp_path):
    done = run(*command.split(), "--storage-dir", tmp_path)
    assert done.exit_code == 1
    assert done.output.startswith("Error: There is no ticket database ")
    assert list(tmp_path.iterdir()) == []


def test_uploads_are_listed_the_newest_first(incoming, folder):
    first = incoming.new_upload(signal_finish_url=NOBODY, length=10, filename="a\x1b[2J.txt")
    second = incoming.new_upload(signal_finish_url=NOBODY)
    done = run("list", "--storage-dir", folder)
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines] == [second, first]
    assert re.fullmatch(rf"{second}  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ  CREATED +0/\?", lines[0])
    assert re.fullmatch(rf"{first}  .*Z  CREATED +0/10  a\[2J\.txt", lines[1])


def test_the_list_can_be_narrowed(incoming, folder):
    first = incoming.new_upload(signal_finish_url=NOBODY)
    second = incoming.new_upload(signal_finish_url=NOBODY)
    third = incoming.new_upload(signal_finish_url=NOBODY)
    incoming.cancel_upload(second)
    variables = {"INCOMING_STORAGE_DIR": str(folder)}
    assert run("list", "--limit", 1, **variables).output.split()[0] == third
    cancelled = json.loads(run("list", "--state", "cancelled", "--json", **variables).output)
    assert [upload["id"] for upload in cancelled] == [second]
    created = json.loads(run("list", "--state", "CREATED", "--json", **variables).output)
    assert [upload["id"] for upload in created] == [third, first]
    assert json.loads(run("list", "--state", "FAILED", "--json", **variables).output) == []


def test_an_upload_is_shown_without_its_secret(incoming, folder):
    ticket = incoming.new_upload(
        signal_finish_url=NOBODY, secret="geheim", owner="Jörg\n", length=10
    )
    for upload_id in (ticket, ticket[:8]):
        done = run("show", upload_id, "--json", "--storage-dir", folder)
        facts = json.loads(done.output)
        assert (facts["id"], facts["state"], facts["owner"]) == (ticket, "CREATED", "Jörg\n")
        assert (facts["length"], facts["received"], facts["bytes_received"]) == (10, [], 0)
        assert "secret" not in facts
    lines = run("show", ticket, "--storage-dir", folder).output.splitlines()
    assert f'id: "{ticket}"' in lines
    assert 'owner: "J\\u00f6rg\\n"' in lines
    assert "reason: -" in lines
    assert "geheim" not in "".join(lines)
    [due] = [line for line in lines if line.startswith("due_at: ")]
    assert re.fullmatch(r"due_at: \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", due)


def test_looking_changes_nothing(incoming, folder):
    ticket = incoming.new_upload(signal_finish_url=NOBODY)
    before = incoming.status(ticket)
    run("list", "--storage-dir", folder)
    run("show", ticket, "--storage-dir", folder)
    assert incoming.status(ticket) == before


@pytest.mark.parametrize("command", ["show", "retry"])
@pytest.mark.parametrize("upload_id", ["00000000-0000-4000-8000-000000000000", "12345678", ""])
def test_an_unknown_upload_is_one_clear_line(incoming, folder, upload_id, command):
    incoming.new_upload(signal_finish_url=NOBODY)
    done = run(command, upload_id, "--storage-dir", folder)
    assert done.exit_code == 1
    assert done.output.startswith(f"Error: There is no upload {upload_id}")


def test_a_database_elsewhere_is_found(folder, tmp_path):
    database = tmp_path / "tickets.sqlite"
    incoming = Incoming(folder, database=database)
    ticket = incoming.new_upload(signal_finish_url=NOBODY)
    incoming.close()
    done = run("list", "--storage-dir", folder, "--database", database)
    assert done.output.split()[0] == ticket
    done = run("list", INCOMING_STORAGE_DIR=str(folder), INCOMING_DATABASE=str(database))
    assert done.output.split()[0] == ticket


# secrets


def test_a_secret_of_a_variable_is_not_in_the_help():
    secrets = {"INCOMING_SIGNING_KEY": "geheim" * 5, "INCOMING_BACKEND_TOKEN": "geheim" * 5}
    assert "geheim" not in run("serve", "--help", **secrets).output


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_key_that_is_too_short_is_refused_and_not_shown(folder, how):
    options = ["--signing-key", "geheim"] if how == "option" else []
    variables = {} if how == "option" else {"INCOMING_SIGNING_KEY": "geheim"}
    done = run("serve", "--storage-dir", folder, *options, **variables)
    assert done.exit_code == 1
    assert done.output.startswith("Error: signing_key must be 16 characters or more")
    assert "geheim" not in done.output


# retry


def make_failed(incoming, file, url=NOBODY) -> str:
    """An upload that its app has not confirmed in time."""
    ticket = incoming.new_upload(signal_finish_url=url)
    with serving(incoming) as server:
        upload_file(file, f"{server}/frontend/uploads/{ticket}", wait=False)
    while incoming.status(ticket).state is not UploadState.FAILED:
        incoming.do_housekeeping()
    return ticket


@pytest.mark.parametrize("whole", [True, False])
def test_retry_hands_a_failed_upload_over_again(folder, file, whole):
    server = Incoming(folder, background=False, confirm_timeout_s=0.01)
    with closing(server), web_app(reply(200, b"wait"), reply()) as app:
        ticket = make_failed(server, file, app.url)
        done = run("retry", ticket if whole else ticket[:8], "--storage-dir", folder)
        assert done.exit_code == 0
        assert words(done.output) == (
            f"{ticket[:8]} is due again. A running server hands it over within seconds; where none "
            "runs, start it, or see `incoming housekeeping`."
        )
        assert server.status(ticket).state is UploadState.COMPLETE
        assert len(app.handovers) == 1  # the command itself calls nobody
        assert run("housekeeping", "--storage-dir", folder).output == "1 thing done.\n"
        assert server.status(ticket).state is UploadState.FINISHED
        assert [h.form["attempt"] for h in app.handovers] == ["1", "2"]
        assert app.handovers[1].content == b"0123456789"


def test_a_running_server_hands_over_what_is_retried_by_command(folder, file):
    server = Incoming(folder, background=False, confirm_timeout_s=0.01)
    with closing(server), web_app(reply(200, b"wait"), reply()) as app:
        ticket = make_failed(server, file, app.url)
        with closing(Incoming(folder)) as running:
            running.start_background()
            run("retry", ticket, "--storage-dir", folder)
            app.wait_for(2)


def test_what_has_not_failed_is_not_retried_and_said_why(incoming, folder, file):
    def said() -> str:
        done = run("retry", ticket, "--storage-dir", folder)
        assert done.exit_code == 1
        assert done.output.startswith(f"Error: {ticket[:8]} is ")
        return words(done.output).removeprefix(f"Error: {ticket[:8]} is ")

    def retry_while_asked(handover, handler):
        during.append(said())
        reply(200, b"wait")(handover, handler)

    during: list[str] = []
    with web_app(retry_while_asked) as app, serving(incoming) as url:
        ticket = incoming.new_upload(signal_finish_url=app.url)
        assert said() == "CREATED: nothing of its file is stored yet."
        page = f"{url}/frontend/uploads/{ticket}"
        headers = {"Content-Range": "bytes 0-4/10"}
        requests.put(page, b"01234", headers=headers, timeout=30).raise_for_status()
        assert said() == "UPLOADING: its file is not complete yet."
        headers = {"Content-Range": "bytes 5-9/10"}
        requests.put(page, b"56789", headers=headers, timeout=30).raise_for_status()
        assert re.fullmatch(r"COMPLETE: it is going to .* by itself, next at 20.*Z\.", said())
        incoming.do_housekeeping()
        assert during == ["HANDING_OVER: the web app is being asked at this moment."]
        assert re.fullmatch(r"AWAITING_CONFIRMATION: the web app has .* until 20.*Z\.", said())
        incoming.finish_upload(ticket)
        assert said() == "FINISHED: the web app has taken its file."
        ticket = incoming.new_upload(signal_finish_url=app.url)
        incoming.cancel_upload(ticket)
        assert said() == "CANCELLED: its bytes are deleted."


def test_every_command_is_in_the_documentation():
    text = "".join(path.read_text() for path in DOCS.glob("*.md"))
    for name in main.commands:
        assert f"incoming {name}" in text, name


# housekeeping


def test_housekeeping_delivers_what_was_completed_while_the_app_was_down(incoming, folder, file):
    with web_app() as app:
        port = app.port
    # Nobody listens there any more.
    ticket = incoming.new_upload(signal_finish_url=f"http://127.0.0.1:{port}/finished")
    with serving(incoming) as url:
        upload_file(file, f"{url}/frontend/uploads/{ticket}", wait=False)
    command = ("housekeeping", "--storage-dir", folder, "--handover-retry-s", "0.5")
    assert run(*command).output == "1 thing done.\n"
    status = incoming.status(ticket)
    assert (status.state, status.attempt) == (UploadState.COMPLETE, 1)
    with web_app(port=port) as app:
        wait_until(lambda: run(*command).output != "0 things done.\n", "the next attempt")
        [handover] = app.handovers
    assert (handover.path, handover.content) == ("/finished", b"0123456789")
    assert incoming.status(ticket).state is UploadState.FINISHED
    assert run(*command).output == "0 things done.\n"


def test_housekeeping_leaves_the_uploads_of_other_processes_alone(folder, file):
    taken = []
    incoming = Incoming(folder, on_finished=taken.append, background=False)
    with serving(incoming) as url:
        ticket = incoming.new_upload()
        upload_file(file, f"{url}/frontend/uploads/{ticket}", wait=False)
    assert run("housekeeping", "--storage-dir", folder).output == "0 things done.\n"
    assert incoming.status(ticket).state is UploadState.COMPLETE
    assert incoming.do_housekeeping() == 1
    assert [upload.id for upload in taken] == [ticket]
    incoming.close()


def test_housekeeping_makes_nothing_in_a_folder_that_is_not_the_servers(tmp_path):
    done = run("housekeeping", "--storage-dir", tmp_path)
    assert done.exit_code == 1
    assert "There is no ticket database" in words(done.output)
    assert list(tmp_path.iterdir()) == []


# upload


def test_a_file_is_uploaded_by_id_or_url(tmp_path, file):
    incoming = Incoming(tmp_path / "storage", on_finished=lambda upload: None)
    with serving(incoming) as url:
        ticket = incoming.new_upload()
        done = run("upload", file, "--ticket", ticket, "--server", url)
        assert done.exit_code == 0
        assert done.output.endswith("a.bin: 10 bytes, handed over.\n")
        done = run("upload", file, "--ticket", f"{url}/frontend/uploads/{incoming.new_upload()}")
        assert done.exit_code == 0
        assert done.output.endswith("a.bin: 10 bytes, handed over.\n")
    incoming.close()


def test_it_says_what_it_waits_for(tmp_path, file):
    incoming = Incoming(tmp_path / "storage", handover_retry_s=0.05)
    with serving(incoming) as url, web_app(reply(503)) as app:
        ticket = incoming.new_upload(signal_finish_url=app.url)
        with start(
            "upload", file, "--ticket", ticket, "--server", url, "--give-up-s", 1
        ) as process:
            try:
                said = ""
                while "So far: the web app answered 503" not in said:
                    said = process.stderr.readline()
                    assert said, "it ended"
                assert said.startswith("All is stored. Waiting for the web app to take it.")
                app.replies = [reply()]
                end, _ = process.communicate(timeout=60)
            finally:
                process.kill()  # harmless if it has ended
    assert (process.returncode, end) == (0, "a.bin: 10 bytes, handed over.\n")
    incoming.close()


def test_without_waiting_it_says_that_the_handover_is_to_come(incoming, file):
    with serving(incoming) as url:
        ticket = incoming.new_upload(signal_finish_url=NOBODY)
        done = run("upload", file, "--no-wait", "--ticket", ticket, "--server", url)
    assert done.exit_code == 0
    assert done.output.endswith("a.bin: 10 bytes, stored; to be handed over.\n")


@pytest.mark.parametrize(
    ("ticket", "message"),
    [
        ("00000000-0000-4000-8000-000000000000", "There is no such upload"),
        ("http://", "'http://' is no URL of a server"),
    ],
)
def test_a_failed_upload_says_why_and_its_status_is_not_zero(incoming, file, ticket, message):
    with serving(incoming) as url:
        done = run("upload", file, "--ticket", ticket, "--server", url)
    assert done.exit_code == 1
    assert f"Error: {message}" in done.output
    assert "Traceback" not in done.output


def test_a_server_that_is_down_is_said_at_once_and_given_up_in_time(file):
    server = f"http://127.0.0.1:{free_port()}"
    done = run("upload", file, "--ticket", "x", "--server", server, "--give-up-s", "0.4")
    assert done.exit_code == 1
    assert "Trying again in 0." in done.output
    assert f"Error: {server} cannot be reached" in done.output


def test_a_file_that_does_not_exist_is_a_usage_error(tmp_path):
    done = run("upload", tmp_path / "nothing", "--ticket", "x")
    assert done.exit_code == 2
    assert "nothing' does not exist" in words(done.output)


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path, file):
    incoming = Incoming(tmp_path / "storage", backend_api=True, handover_retry_s=0.05)
    with serving(incoming) as url, web_app(reply(503)) as app:
        ticket = IncomingClient(url).new_upload(signal_finish_url=app.url)
        with start("upload", file, "--ticket", ticket, "--server", url) as process:
            try:
                app.wait_for(1)  # all is stored, the command waits for the app
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=60)
            finally:
                process.kill()  # harmless if it has ended
        assert process.returncode == 130
        assert "Stopped. What is stored stays: the same command goes on from there." in said
        assert "Traceback" not in said
        app.replies = [reply()]
        done = run("upload", file, "--ticket", ticket, "--server", url)
        assert done.exit_code == 0
        assert done.output.endswith("a.bin: 10 bytes, handed over.\n")
    incoming.close()
