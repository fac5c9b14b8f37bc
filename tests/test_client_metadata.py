"""Upload-Metadata, as it is shown to the app: what can be read is, the rest is left out."""

from __future__ import annotations

import pytest

from incoming_wsgi.client_metadata import decode_metadata


@pytest.mark.parametrize(
    ("header", "decoded"),
    [
        # The example of tus 1.0.0.
        (
            "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential",
            {"filename": "world_domination_plan.pdf", "is_confidential": ""},
        ),
        ("", {}),
        (" , ,", {}),
        ("  a MQ== , b  Mg==  ", {"a": "1", "b": "2"}),
        ("a ,b", {"a": "", "b": ""}),
        ("name R3LDvMOfZQ==", {"name": "Grüße"}),
        ("latin R3L83w==", {"latin": "Gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"}),
        ("a MQ,b Mg==", {"b": "2"}),  # without its padding
        ("a M*Q=,b Mg== Mg==,c Mw==", {"c": "3"}),
        ("a \xe4\xf6,c Mw==", {"c": "3"}),
        ("a MQ==,a Mg==", {"a": "1"}),
    ],
)
def test_what_can_be_read_is(header, decoded):
    assert decode_metadata(header) == decoded
