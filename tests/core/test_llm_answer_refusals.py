"""What the refusal of a server means."""

import pytest

from llm_service.core.answer import (
    Failure,
    body_failure,
    failure_of,
    lacks_model,
    lacks_route,
    refuses_stream_options,
    retry_ms,
)

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (400, b'{"error":{"type":"exceed_context_size_error"}}', Failure.TOO_LONG),
        (400, b'{"object":"error","message":"maximum context length is 9"}', Failure.TOO_LONG),
        (400, b'{"error":{"message":"bad field"}}', Failure.REFUSED),
        (422, b"", Failure.REFUSED),
        (401, b"no", Failure.KEY_REFUSED),
        (403, b"no", Failure.KEY_REFUSED),
        (404, b"404 page not found", Failure.NOT_THERE),
        (429, b"\xff", Failure.OVERLOADED),
        (500, b'{"error":{"message":"context size bug"}}', Failure.BROKEN),
        (503, b'{"error":{"message":"Loading model"}}', Failure.UNAVAILABLE),
    ],
)
def test_a_refusal_is_known_by_its_status_and_body(status: int, body: bytes, failure: Failure) -> None:
    assert body_failure(status, body) == failure


def test_only_a_400_that_names_them_refuses_stream_options() -> None:
    body = b'{"error":{"message":"unknown field stream_options"}}'

    found = [refuses_stream_options(400, body), refuses_stream_options(500, body), refuses_stream_options(400, b"{}")]

    assert found == [True, False, False]


def test_no_status_and_no_words_is_a_broken_server() -> None:
    assert failure_of(0, {}) == Failure.BROKEN


LLAMA_ROUTE = b'{"error":{"message":"File Not Found","type":"not_found_error","code":404}}'
VLLM_MODEL = b'{"error":{"message":"The model `x` does not exist.","type":"NotFoundError","code":404}}'
OPENAI_MODEL = (
    b'{"error":{"message":"The model `x` does not exist or you do not have access to it.","code":"model_not_found"}}'
)
OLLAMA_MODEL = b'{"error":{"message":"model \\"x\\" not found, try pulling it first","type":"api_error","code":null}}'
OLDER_VLLM_MODEL = b'{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","code":404}'
GROK_MODEL = (
    b'{"code":"Some requested entity was not found","error":"The model x does not exist or your team has no access."}'
)


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (404, LLAMA_ROUTE, "route"),
        (404, b"File Not Found", "route"),
        (404, b'{"detail":"Not Found"}', "route"),
        (405, b'{"detail":"Method Not Allowed"}', "route"),
        (404, b"404 page not found\n", "route"),
        (404, VLLM_MODEL, "model"),
        (404, OLDER_VLLM_MODEL, "model"),
        (404, OPENAI_MODEL, "model"),
        (404, OLLAMA_MODEL, "model"),
        (404, GROK_MODEL, "model"),
        (400, GROK_MODEL, "model"),
        (400, b'{"error":{"code":"model_not_found"}}', "model"),
        (400, b'{"error":{"message":"a model was not found in my question"}}', "neither"),
        (404, b'{"error":{"message":"Invalid URL (POST /v1/x)","type":"invalid_request_error"}}', "neither"),
        (404, b'{"detail":["Not Found"]}', "neither"),
        (404, b"", "neither"),
        (500, b"File Not Found", "neither"),
        (500, VLLM_MODEL, "neither"),
        (405, VLLM_MODEL, "neither"),
    ],
)
def test_a_missing_path_is_told_from_a_missing_model(status: int, body: bytes, what: str) -> None:
    assert (lacks_route(status, body), lacks_model(status, body)) == (what == "route", what == "model")


@pytest.mark.parametrize(
    ("header", "expected_ms"),
    [("3", 3_000), ("0", 0), ("", None), ("-1", None), ("9" * 5_000, None), ("٣", None), ("Fri, 31 Dec 2027", None)],
)
def test_a_server_is_believed_that_asks_for_a_sensible_pause(header: str, expected_ms: int | None) -> None:
    assert retry_ms(header) == expected_ms


def test_an_error_that_is_nested_too_deep_is_an_error_all_the_same() -> None:
    nested: object = "deep"
    for _ in range(100_000):
        nested = [nested]

    assert failure_of(500, nested) is Failure.BROKEN


@pytest.mark.parametrize(
    ("status", "event", "expected"),
    [
        (400, {"error": {"code": "unsupported"}}, Failure.UNSUPPORTED),
        (500, {"error": {"code": "unsupported"}}, Failure.BROKEN),
        (400, {"error": {"code": "invalid_message"}}, Failure.REFUSED),
        (400, {"error": "unsupported"}, Failure.REFUSED),
        (400, {"code": "unsupported"}, Failure.REFUSED),
        (400, "unsupported", Failure.REFUSED),
    ],
)
def test_what_another_service_of_this_kind_does_not_do_is_told_as_that(
    status: int, event: object, expected: Failure
) -> None:
    assert failure_of(status, event) is expected
