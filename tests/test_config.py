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


def test_a_misspelt_variable_is_refused():
    with pytest.raises(
        ValueError, match=r"INCOMING_CHUNKBYTES is not a setting; known are .*CHUNK_"
    ):
        Settings.from_environ({"INCOMING_CHUNKBYTES": "1"})


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("INCOMING_CHUNK_BYTES", "1M", "INCOMING_CHUNK_BYTES is '1M'"),
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


def test_one_origin_as_a_text_is_refused():
    with pytest.raises(ValueError, match="list of origins"):
        Settings(allow_origins="https://a.example")  # type: ignore[arg-type]
