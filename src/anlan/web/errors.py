"""Errors of the web floor and how every error reaches a client: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from anlan.core.errors import AnlanError, InvalidInputError

PROBLEM = "application/problem+json"

logger = logging.getLogger(__name__)


class SignInRequiredError(AnlanError):
    """Nobody is signed in, or the session or token is no longer good."""

    code = "sign-in-required"
    status = 401


class SignInRefusedError(AnlanError):
    """Account, password or code are wrong; which one is not said."""

    code = "sign-in-refused"
    status = 401


class SecondFactorRequiredError(AnlanError):
    """The password is right and the account also asks for a one-time code."""

    code = "second-factor-required"
    status = 401


class PasswordChangeRequiredError(AnlanError):
    """A new password must be chosen before anything else."""

    code = "password-change-required"
    status = 403


class ForeignOriginError(AnlanError):
    """A change or a socket asked for by a page of another origin."""

    code = "foreign-origin"
    status = 403


class TooManyRequestsError(AnlanError):
    """Asked too often; ``retry_after`` says in how many seconds to try again."""

    code = "too-many-requests"
    status = 429

    def __init__(self, message: str, *, retry_after: int, where: str = "", fix: str = "") -> None:
        super().__init__(message, where=where, fix=fix or f"try again in {retry_after} s")
        self.retry_after = retry_after


class TooLargeError(AnlanError):
    """The request's body is larger than allowed."""

    code = "too-large"
    status = 413


class TooSlowError(AnlanError):
    """The request's body did not arrive in time."""

    code = "too-slow"
    status = 408


class MediaTypeError(AnlanError):
    """The body has another media type than the route takes."""

    code = "media-type"
    status = 415


class ChangedMeanwhileError(AnlanError):
    """``If-Match`` names a version that is no longer the current one."""

    code = "changed-meanwhile"
    status = 412


class PreconditionRequiredError(AnlanError):
    """A change of something people edit at the same time must carry ``If-Match``."""

    code = "precondition-required"
    status = 428


_TITLES = {
    404: ("not-found", "there is nothing at this address"),
    405: ("method-not-allowed", "this address does not take that method"),
}


def problem_response(error: AnlanError, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response that tells a client of ``error``."""
    extra = dict(headers or {})
    if isinstance(error, TooManyRequestsError):
        extra["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        extra.setdefault("WWW-Authenticate", 'Bearer realm="anlan"')
    return Response(msgspec.json.encode(error.problem()), error.status, extra, media_type=PROBLEM)


async def _anlan(_request: Request, error: Exception) -> Response:
    assert isinstance(error, AnlanError)
    return problem_response(error)


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, title = _TITLES.get(error.status_code, ("error", str(error.detail)))
    problem = _plain_problem(error.status_code, code, title)
    return Response(msgspec.json.encode(problem), error.status_code, error.headers, media_type=PROBLEM)


def _plain_problem(status: int, code: str, title: str) -> dict[str, Any]:
    return {
        "type": f"urn:anlan:problem:{code}",
        "title": title,
        "status": status,
        "detail": title,
        "where": "",
        "fix": "see /api/openapi.json" if status in (404, 405) else "",
    }


async def _validation(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return problem_response(InvalidInputError(str(first["msg"]), where=where, fix="see /api/openapi.json"))


async def _unexpected(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    problem = _plain_problem(500, "internal", f"an error inside Anlan ({type(error).__name__}); it is in the log")
    return Response(msgspec.json.encode(problem), 500, media_type=PROBLEM)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem document."""
    app.add_exception_handler(AnlanError, _anlan)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _unexpected)
