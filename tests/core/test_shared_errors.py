"""The error tree: one code a leaf, drawn as it is, told in one shape."""

import re
from inspect import getdoc

import pytest

from shared import errors
from shared.errors import ParleyError, error_body, leaves

pytestmark = pytest.mark.core

OWN = [leaf for leaf in leaves() if leaf.__module__ == errors.__name__]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [leaf.code for leaf in leaves()]
    assert sorted(set(codes)) == sorted(codes)
    assert [code for code in codes if not re.fullmatch("[a-z]+(_[a-z]+)*", code)] == []


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"^ +((?:│   )*[├└]── )?(\w+)(?: +(\d{3})  \S.*)?$", errors.__doc__ or "", re.MULTILINE)
    depths = [len(branch) // 4 for branch, _, _ in drawn]
    parents = [
        next((drawn[above][1] for above in range(at - 1, -1, -1) if depths[above] < depth), "Exception")
        for at, depth in enumerate(depths)
    ]
    assert [(name, parent, status) for (_, name, status), parent in zip(drawn, parents, strict=True)] == [
        ("ParleyError", "Exception", ""),
        *((leaf.__name__, leaf.__base__.__name__, str(leaf.status)) for leaf in OWN if leaf.__base__),
    ]


def test_a_close_code_is_one_that_a_websocket_may_send() -> None:
    assert [leaf.code for leaf in leaves() if leaf.close_code not in {1008, 1009, 1011, 1013}] == []


def test_a_retry_can_help_where_the_service_is_at_fault_and_never_where_the_request_is() -> None:
    assert {leaf.code for leaf in OWN if leaf.retryable} == {
        "overloaded", "too_many_sessions", "audio_overrun", "service_unavailable", "service_timeout", "engine_failed",
        "request_in_flight",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (404, "invalid_request_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_an_error_is_told_in_the_shape_that_openai_s_clients_read(status: int, kind: str) -> None:
    told = [error_body(leaf("No.", param="cups")) for leaf in leaves() if leaf.status == status]
    assert told == [
        {"error": {"message": "No.", "type": kind, "param": "cups", "code": leaf.code}}
        for leaf in leaves()
        if leaf.status == status
    ]
    assert told


def test_an_error_carries_what_it_was_given() -> None:
    error = errors.Overloaded("Later.", service="tts", retry_after_ms=500)
    assert (str(error), error.message, error.service, error.param, error.retry_after_ms) == (
        "Later.", "Later.", "tts", None, 500,
    )  # fmt: skip
    assert error_body(error)["error"]["param"] is None
    assert getdoc(ParleyError)
