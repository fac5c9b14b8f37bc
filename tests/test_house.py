"""The house stands as drawn: imports run downwards, the state table is complete, words agree."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sqlite3
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import get_type_hints

import pytest

import incoming_wsgi
from incoming_wsgi import errors
from incoming_wsgi.config import SettingKeywords, Settings
from incoming_wsgi.errors import IncomingError, WrongState
from incoming_wsgi.states import TRANSITIONS, Event, UploadState, next_state
from incoming_wsgi.tickets._rows import COLUMNS
from incoming_wsgi.tickets._schema import MIGRATIONS

PACKAGE = Path(incoming_wsgi.__file__).parent

# Floor by floor, from the ground up. A room may use the floors below, and on its own floor only
# what stands before it; rooms in one group (an inner tuple) know nothing of each other.
FLOORS = (
    (("client_metadata", "errors", "file_types", "hosts", "names", "ranges", "tokens"),),  # values
    ("states", "signing", ("uploads", "config"), "log_ids"),  # vocabulary
    (("storage.base", "tickets.base"),),  # contracts
    (  # adapters
        ("folders", "storage._descriptors"),
        (
            "storage._holds",
            "tickets._boot",
            "tickets._chores",
            "tickets._connections",
            "tickets._filesystems",
            "tickets._ranges",
            "tickets._turns",
            "tickets._usage",
            "taking",
            "posting",
        ),
        (
            "storage._writer",
            "tickets._database",
            "tickets._rows",
            "tickets._schema",
            "tickets._synced",
        ),
        "tickets._parts",
        "storage._joining",
        ("storage.file", "tickets.sqlite", "handover"),
    ),
    (
        ("admission", "agreement", "digesting", "ending", "file_digests", "threads"),
        ("issuing", "receiving", "completion"),
        ("last_bytes", "outcomes"),
        "storing",
        ("engine", "concatenation"),
        "assembling",
        "housekeeping",
        "background",
    ),
    (
        ("in_flight", "responses", "rights"),
        ("readers.buffers", "readers.pipes"),
        "readers.base",
        ("readers.gunicorn", "readers.standard"),
        "readers.choice",
        ("body", "cors"),
        "header_fields",
    ),
    (
        ("dialects.description", "dialects.metadata", "dialects.request", "dialects.superset"),
        ("dialects.appending", "dialects.creation"),
        ("dialects.native", "dialects.tus"),
        "dialects.ietf",
        ("dialects.choice", "backend_api", "assets"),
    ),
    ("web", "app"),
    (
        "",  # the package itself: the public names
        ("exchange", "logs", "standalone", "testing.joining", "testing.upkeep"),
        "testing.storage",
        ("remote", "serving", "options", "wsgi", "testing.claims", "testing.parts"),
        "testing.tickets",
        "testing",
        "sending",
        ("client", "cli_common"),
        ("cli_client", "cli_uploads"),
        "cli",
    ),
)


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] == "static":
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


def imports_of(name: str, path: Path) -> set[str]:
    """The rooms of this house that `path` imports, also under TYPE_CHECKING and in functions."""
    names = set(modules())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = package.split(".") if package else []
                base = base[: len(base) - (node.level - 1)]
                target = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            elif node.module and node.module.split(".")[0] == "incoming_wsgi":
                target = node.module.partition(".")[2]
            else:
                continue
            for alias in node.names:
                inner = f"{target}.{alias.name}" if target else alias.name
                found.add(inner if inner in names else target)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "incoming_wsgi":
                    found.add(alias.name.partition(".")[2])
    return found


def ranks() -> dict[str, int]:
    rank, found = 0, {}
    for floor in FLOORS:
        for group in floor:
            rank += 1
            for name in (group,) if isinstance(group, str) else group:
                found[name] = rank
    return found


PACKAGES_WITHOUT_CODE = {"dialects", "readers", "storage", "tickets"}


def test_every_room_stands_on_a_floor():
    assert set(ranks()) == set(modules()) - PACKAGES_WITHOUT_CODE
    for name in PACKAGES_WITHOUT_CODE:
        tree = ast.parse(modules()[name].read_text())
        assert [type(node) for node in tree.body] == [ast.Expr], f"{name} has grown code"


@pytest.mark.parametrize("name", sorted(set(modules()) - PACKAGES_WITHOUT_CODE))
def test_imports_run_downwards(name):
    rank = ranks()
    upwards = {used for used in imports_of(name, modules()[name]) if rank[used] >= rank[name]}
    assert upwards == set(), f"{name or 'incoming_wsgi'} imports {upwards}"


def test_values_need_the_standard_library_alone():
    for name in ("errors", "names", "ranges", "states"):
        tree = ast.parse(modules()[name].read_text())
        used = {
            node.module.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and not node.level
        }
        assert used <= {"__future__", "bisect", "collections", "dataclasses", "enum"}, name


@pytest.mark.parametrize(
    ("library", "rooms"),
    [
        (
            "sqlite3",
            {
                f"tickets.{room}"
                for room in [
                    "sqlite",
                    "_chores",
                    "_connections",
                    "_database",
                    "_parts",
                    "_ranges",
                    "_rows",
                    "_schema",
                    "_synced",
                    "_usage",
                ]
            },
        ),
        (
            "fcntl",
            {
                "readers.pipes",
                "storage._holds",
                "storage._writer",
                "storage.file",
                "tickets._turns",
            },
        ),
        ("requests", {"handover", "posting", "exchange"}),
        ("urllib3", {"posting"}),
        ("webob", {"backend_api"}),
        ("click", {"cli", "cli_client", "cli_common", "cli_uploads", "options"}),
        ("gunicorn", {"serving"}),
    ],
)
def test_an_outside_library_is_known_in_its_own_rooms_alone(library, rooms):
    users = set()
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import) and any(
                alias.name.split(".")[0] == library for alias in node.names
            ):
                users.add(name)
            if (
                isinstance(node, ast.ImportFrom)
                and not node.level
                and ((node.module or "").split(".")[0] == library)
            ):
                users.add(name)
    assert users == rooms


# the state table


def test_the_state_table_has_a_row_for_each_state_and_a_cell_for_each_event():
    assert set(TRANSITIONS) == set(UploadState)
    for state, row in TRANSITIONS.items():
        assert set(row) == set(Event), state


# Written down from the design, not from the table.
LEGAL = """
CREATED declare CREATED
CREATED store UPLOADING
CREATED complete COMPLETE
CREATED cancel CANCELLED
CREATED expire CANCELLED
UPLOADING declare UPLOADING
UPLOADING store UPLOADING
UPLOADING complete COMPLETE
UPLOADING cancel CANCELLED
UPLOADING expire CANCELLED
COMPLETE hand_over HANDING_OVER
COMPLETE finish FINISHED
COMPLETE give_up FAILED
COMPLETE cancel CANCELLED
HANDING_OVER hand_over HANDING_OVER
HANDING_OVER delay COMPLETE
HANDING_OVER wait AWAITING_CONFIRMATION
HANDING_OVER finish FINISHED
HANDING_OVER confirm FINISHED
HANDING_OVER give_up FAILED
AWAITING_CONFIRMATION finish FINISHED
AWAITING_CONFIRMATION confirm FINISHED
AWAITING_CONFIRMATION give_up FAILED
CANCELLED tell CANCELLED
FAILED retry COMPLETE
FAILED cancel CANCELLED
"""


def test_the_legal_transitions_are_those_of_the_design():
    legal = {tuple(line.split()) for line in LEGAL.strip().splitlines()}
    for state in UploadState:
        for event in Event:
            expected = [target for s, e, target in legal if (s, e) == (state.value, event.value)]
            if expected:
                assert next_state(state, event).value == expected[0]
            else:
                with pytest.raises(WrongState) as caught:
                    next_state(state, event)
                assert (caught.value.state, caught.value.event) == (state.value, event.value)


# names


def test_every_error_is_exported_and_has_a_code_of_its_own():
    classes = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, IncomingError)
    ]
    assert {cls.__name__ for cls in classes} == set(errors.__all__)
    assert set(errors.__all__) <= set(incoming_wsgi.__all__)
    codes = [cls.code for cls in classes]
    assert len(codes) == len(set(codes))
    # The tree that opens the file shows each of them with its status.
    for cls in classes[1:]:
        line = next(x for x in errors.__doc__.splitlines() if f" {cls.__name__} " in f"{x} ")
        statuses = [word for word in line.split() if word.isdigit()]
        assert statuses == [str(cls.status)], cls


def test_every_public_name_exists():
    for name in incoming_wsgi.__all__:
        assert hasattr(incoming_wsgi, name), name


def test_every_setting_is_a_typed_keyword():
    assert get_type_hints(SettingKeywords) == {
        field.name: get_type_hints(Settings)[field.name] for field in dataclasses.fields(Settings)
    }


def test_every_setting_explains_itself():
    for field in dataclasses.fields(Settings):
        assert field.metadata["help"].rstrip().endswith("."), field.name


def test_the_table_of_uploads_has_a_column_for_each_field():
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in chain.from_iterable(MIGRATIONS):
            connection.execute(statement)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(uploads)")]
    assert sorted(columns) == sorted(
        ["key", *COLUMNS, "lease", "boot_id", "sync_at", "bytes_received", "bytes_synced"]
    )


def test_every_test_that_a_document_names_is_there():
    home = Path(__file__).parent.parent
    named = {
        name
        for path in [*home.glob("*.md"), *home.glob("docs/*.md")]
        for name in re.findall(r"`(tests/[\w/.]+)`", path.read_text())
    }
    assert "tests/faults" in named
    assert [name for name in named if not (home / name).exists()] == []
