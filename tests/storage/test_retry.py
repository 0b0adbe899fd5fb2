from __future__ import annotations

import errno
import socket
from datetime import UTC, datetime

import pytest

from landsat_downsample.errors import ReadError, UsageError, WriteError
from landsat_downsample.model.policy import Policy
from landsat_downsample.storage.retry import Mismatch, Refusal, RetryBudget, classify, retry_after

QUICK = Policy(budget=1, timeout=1, base=0.001, cap=0.01)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_retryable_statuses(status):
    assert classify(Refusal(status)).retryable


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 412, 416, 501])
def test_statuses_that_do_not(status):
    assert not classify(Refusal(status)).retryable


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (TimeoutError(), True),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (Mismatch("short"), True),
        (socket.gaierror(socket.EAI_NONAME, "x"), False),
        (FileNotFoundError("secret"), False),
        (OSError(28, "full"), False),
        (OSError(5, "secret"), False),
        (OSError("secret"), False),
        (ValueError("secret"), False),
    ],
)
def test_errors_by_type(error, retryable):
    fault = classify(error)
    assert fault.retryable is retryable
    assert "secret" not in fault.reason


def test_errors_of_botocore_are_judged_by_their_answer():
    from botocore.exceptions import ClientError

    def answer(code, status):
        return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")

    wrapped = OSError(16, "busy")
    wrapped.__cause__ = answer("SlowDown", 503)
    assert classify(wrapped).retryable
    assert classify(answer("RequestTimeout", 400)).retryable
    assert classify(answer("BadDigest", 400)).retryable
    assert not classify(answer("ExpiredToken", 400)).retryable
    assert not classify(answer("AccessDenied", 403)).retryable


def test_retry_after_in_seconds_and_as_a_date():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"Retry-After": "Thu, 01 Jan 2026 00:00:09 GMT"}, now) == 9
    assert retry_after({"Retry-After": "Thu, 01 Jan 2020 00:00:09 GMT"}, now) == 0
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({}) is None


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds


def budget(policy: Policy = QUICK, error=ReadError) -> tuple[RetryBudget, Clock]:
    clock = Clock()
    return RetryBudget(policy, error, clock=lambda: clock.now, pause=clock.pause), clock


def failing(*errors):
    left = list(errors)

    def attempt(_seconds):
        if left:
            raise left.pop(0)
        return "done"

    return attempt


def test_what_is_retryable_is_tried_again_and_nothing_else():
    made, _ = budget()
    assert made.call("x", failing(Refusal(503), TimeoutError(), Mismatch("short"))) == "done"
    assert made.retries == 3
    with pytest.raises(ReadError, match="x: status 404: there is no such object"):
        budget()[0].call("x", failing(Refusal(404)))
    with pytest.raises(ReadError, match=r"^x: there is no such object$"):  # nobody answered with a 404
        budget()[0].call("x", failing(FileNotFoundError("secret")))
    with pytest.raises(WriteError, match="x: status 403"):
        budget(error=WriteError)[0].call("x", failing(Refusal(403)))


def test_the_budget_holds_whatever_the_server_asks():
    made, clock = budget()
    with pytest.raises(ReadError, match=r"status 503; gave up after \d+ tries \(budget 1 s\)"):
        made.call("x", failing(*[Refusal(503)] * 100_000))
    assert QUICK.budget - QUICK.cap < clock.now < QUICK.budget
    made, clock = budget()
    with pytest.raises(ReadError, match="gave up after 1 tries"):
        made.call("x", failing(Refusal(503, "", 3600.0)))
    assert clock.now == 0


def test_retry_after_is_honoured():
    made, clock = budget()
    assert made.call("x", failing(Refusal(429, "", 0.3))) == "done"
    assert clock.now >= 0.3


def test_bytes_that_stay_wrong_are_given_up_early():
    with pytest.raises(ReadError, match="x: short; gave up after 4 tries"):
        budget(Policy())[0].call("x", failing(*[Mismatch("short")] * 10))


def test_large_objects_get_the_time_they_need():
    made, _ = budget()
    made.allow(2_500_000)
    made.allow(2_500_000)
    assert made.left == 11


def test_requester_pays_is_named_where_it_may_be_missing():
    with pytest.raises(ReadError, match="--requester-pays"):
        RetryBudget(QUICK).call("cannot read 's3://usgs-landsat/a'", failing(Refusal(403)))
    paying = Policy(requester_pays=True)
    with pytest.raises(ReadError) as caught:
        RetryBudget(paying).call("cannot read 's3://usgs-landsat/a'", failing(Refusal(403)))
    assert "requester" not in str(caught.value)


def test_policy_from_the_environment():
    environ = {"LANDSAT_DOWNSAMPLE_BUDGET": "30", "AWS_REQUEST_PAYER": "requester"}
    assert Policy.from_environ(environ) == Policy(budget=30, requester_pays=True)
    with pytest.raises(UsageError, match="give seconds"):
        Policy.from_environ({"LANDSAT_DOWNSAMPLE_TIMEOUT": "soon"})
    with pytest.raises(UsageError, match="more than 0"):
        Policy(budget=-1)


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EIO, "input/output error"), (errno.EMFILE, "too many open files")]
)
def test_an_error_of_the_system_is_called_by_its_words(number, words):
    assert classify(OSError(number, "secret")).reason == words


def test_a_store_that_is_not_there_names_its_settings():
    def refuse(_):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "secret")

    with pytest.raises(ReadError, match="no server listens there; see AWS_ENDPOINT_URL and AWS_DEFAULT_REGION; gave"):
        RetryBudget(QUICK).call("cannot read 's3://b/k'", refuse)
