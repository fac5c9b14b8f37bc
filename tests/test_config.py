"""Settings, as keywords and as variables of the environment."""

from __future__ import annotations

import pytest

from incoming_wsgi.config import Settings


def test_variables_become_settings_of_the_right_kind():
    folder, settings = Settings.from_environ(
        {
            "INCOMING_STORAGE_DIR": "/srv/incoming",
            "INCOMING_CHUNK_BYTES": "524288",
            "INCOMING_IDLE_TIMEOUT_S": "90.5",
            "INCOMING_MAX_LENGTH_BYTES": "",
            "INCOMING_ALLOW_ORIGINS": "https://a.example, https://b.example",
            "INCOMING_BACKEND_API": "false",
            "INCOMING_BACKEND_TOKEN": "t0ken",
            "INCOMING_SIGNING_KEY": "0123456789abcdef",
            "INCOMING_CALLBACK_HOSTS": "app.example, 127.0.0.1:8000,[::1]:80",
            "UNRELATED": "x",
        },
        backend_api=True,
    )
    assert folder == "/srv/incoming"
    assert settings.chunk_bytes == 524288
    assert settings.idle_timeout_s == 90.5
    assert settings.max_length_bytes is None
    assert settings.allow_origins == ("https://a.example", "https://b.example")
    assert settings.backend_api is False
    assert settings.backend_token == "t0ken"
    assert settings.signing_key == "0123456789abcdef"
    assert settings.callback_hosts == ("app.example", "127.0.0.1:8000", "[::1]:80")


def test_defaults_are_those_of_the_design():
    settings = Settings()
    assert (settings.chunk_bytes, settings.max_chunk_bytes) == (1048576, 16777216)
    assert settings.send_ahead == 4
    assert settings.idle_timeout_s == 43200
    assert (settings.handover_timeout_s, settings.handover_retry_s) == (55, 1)
    assert (settings.handover_give_up_s, settings.confirm_timeout_s) == (86400, 600)
    assert (settings.keep_finished_s, settings.keep_failed_s) == (86400, 604800)
    assert settings.durability == "process"
    assert settings.allow_origins == ("*",)
    assert settings.backend_api is False
    assert (settings.signing_key, settings.callback_hosts) == (None, None)


def test_what_origins_may_be():
    origins = {"https://a.example", "http://[::1]:8000", "capacitor://localhost", "file://", "null"}
    assert Settings(allow_origins=origins).allow_origins == origins  # type: ignore[arg-type]


def test_a_misspelt_variable_is_refused():
    with pytest.raises(
        ValueError, match=r"INCOMING_CHUNKBYTES is not a setting; known are .*CHUNK_"
    ):
        Settings.from_environ({"INCOMING_CHUNKBYTES": "1"})


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        (
            "INCOMING_CHUNK_BYTES",
            "1M",
            "INCOMING_CHUNK_BYTES is '1M': it must be a whole number of bytes, without a unit",
        ),
        (
            "INCOMING_IDLE_TIMEOUT_S",
            "12h",
            "INCOMING_IDLE_TIMEOUT_S is '12h': it must be a number of seconds, without a unit",
        ),
        ("INCOMING_SEND_AHEAD", "", "INCOMING_SEND_AHEAD is '': it must be a whole number$"),
        ("INCOMING_ALLOW_ORIGINS", "https://a/", "origins like .* no path"),
        ("INCOMING_ALLOW_ORIGINS", "a.example", "origins like .* no path"),
        ("INCOMING_BACKEND_API", "yes", "say true or false"),
        ("INCOMING_CHUNK_BYTES", "0", "chunk_bytes is 0; it must be 1 or more"),
        ("INCOMING_CHUNK_BYTES", "99999999", "it must be max_chunk_bytes at most"),
        ("INCOMING_IDLE_TIMEOUT_S", "-1", "more than 0 and less than ten years"),
        ("INCOMING_KEEP_FINISHED_S", "inf", "keep_finished_s is inf"),
        ("INCOMING_CONFIRM_TIMEOUT_S", "nan", "confirm_timeout_s is nan"),
        ("INCOMING_DURABILITY", "ram", 'durability is \'ram\'; it must be "process" or "disk"'),
    ],
)
def test_a_bad_value_is_refused_with_its_name(variable, text, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Settings.from_environ({variable: text})


def test_an_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError, match="chunkbytes"):
        Settings(chunkbytes=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("text", ["", "none", "None"])
def test_none_in_a_variable_is_none(text):
    names = (
        "backend_token",
        "database",
        "max_length_bytes",
        "allow_origins",
        "signing_key",
        "callback_hosts",
    )
    _, settings = Settings.from_environ({f"INCOMING_{name.upper()}": text for name in names})
    assert [getattr(settings, name) for name in names] == [None] * 6


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("backend_api", "false", "backend_api is 'false'; it must be True or False"),
        ("background", 0, "background is 0; it must be True or False"),
        ("chunk_bytes", "1048576", "chunk_bytes is '1048576'; it must be a whole number"),
        ("send_ahead", 1.5, "send_ahead is 1.5; it must be a whole number"),
        ("send_ahead", True, "send_ahead is True; it must be a whole number"),
        ("max_length_bytes", "5", "max_length_bytes is '5'; it must be a whole number, or None"),
        ("idle_timeout_s", "12", "idle_timeout_s is '12'; it must be a number"),
        ("idle_timeout_s", None, "idle_timeout_s is None; it must be a number"),
        ("database", 1, "database is 1; it must be a path, or None"),
        ("allow_origins", "https://a.example", "it must be a list of texts, or None"),
        ("allow_origins", [1], "it must be a list of texts, or None"),
    ],
)
def test_a_value_of_another_type_is_a_type_error_that_names_it(name, value, message):
    with pytest.raises(TypeError, match=message):
        Settings(**{name: value})


@pytest.mark.parametrize(
    "host",
    [
        "",
        "http://a.example",
        "a.example/",
        "a.example/x",
        "*.example",
        "u@a.example",
        "a.example:0",
        "a.example:65536",
        "a.example:http",
        "[::1",
        "[a.example]",
        "::1:::",
        "a b",
        "a..b",
        "a.example\\",
    ],
)
def test_what_is_no_host_is_refused(host):
    with pytest.raises(ValueError, match=r"callback_hosts is .*; it must be hosts like"):
        Settings(callback_hosts=["good.example", host])


# secrets


@pytest.mark.parametrize("name", ["signing_key", "backend_token"])
def test_a_secret_is_not_shown(name):
    settings = Settings(**{name: "geheim-geheim-geheim"})
    assert getattr(settings, name) == "geheim-geheim-geheim"
    assert "geheim" not in repr(settings)
    assert "geheim" not in f"{settings}"


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("signing_key", "geheim", ValueError),
        ("signing_key", "geheim geheim geheim", ValueError),
        ("signing_key", "geheim-geheim-geheim\n", ValueError),
        ("signing_key", "géheim-geheim-geheim", ValueError),
        ("signing_key", b"geheim-geheim-geheim", TypeError),
        ("signing_key", ["geheim-geheim-geheim"], TypeError),
        ("backend_token", b"geheim-geheim-geheim", TypeError),
        ("backend_token", "", ValueError),
    ],
)
def test_a_secret_that_cannot_be_is_refused_without_being_shown(name, value, error):
    with pytest.raises(error, match=f"^{name} must be ") as caught:
        Settings(**{name: value})
    assert "geheim" not in str(caught.value)


def test_a_short_key_in_a_variable_is_refused_without_being_shown():
    with pytest.raises(ValueError, match=r"^signing_key must be 16 characters") as caught:
        Settings.from_environ({"INCOMING_SIGNING_KEY": "geheim"})
    assert "geheim" not in str(caught.value)
