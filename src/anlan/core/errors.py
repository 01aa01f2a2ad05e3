"""Errors that name where, what is wrong and what would be right."""

from __future__ import annotations

from typing import Any


class AnlanError(Exception):
    """Base of every error Anlan raises on purpose.

    Args:
        message: what is wrong, as a sentence a user understands.
        where: file and line, field, frame or point the error is about.
        fix: what would be right.
    """

    code = "error"
    status = 400

    def __init__(self, message: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.fix})" if self.fix else text

    def problem(self) -> dict[str, Any]:
        """Return the error as an RFC 9457 problem document."""
        return {
            "type": f"urn:anlan:problem:{self.code}",
            "title": self.message,
            "status": self.status,
            "detail": str(self),
            "where": self.where,
            "fix": self.fix,
        }


class InvalidInputError(AnlanError):
    """A value, field or file that breaks its rules."""

    code = "invalid-input"
    status = 422


class NotFoundError(AnlanError):
    """Something that is not there, or lies outside the asker's scope (the two look alike on purpose)."""

    code = "not-found"
    status = 404


class PermissionDeniedError(AnlanError):
    """The asker's roles do not allow this here."""

    code = "permission-denied"
    status = 403


class ConflictError(AnlanError):
    """The thing has changed or is in a state that forbids the request."""

    code = "conflict"
    status = 409


class UnavailableError(AnlanError):
    """A part of Anlan that is needed for this does not answer."""

    code = "unavailable"
    status = 503


class DecodeError(AnlanError):
    """A frame, payload or row from outside that cannot be decoded; it goes to the dead letters."""

    code = "undecodable"
    status = 422


BY_CODE: dict[str, type[AnlanError]] = {
    kind.code: kind
    for kind in (
        AnlanError,
        InvalidInputError,
        NotFoundError,
        PermissionDeniedError,
        ConflictError,
        UnavailableError,
        DecodeError,
    )
}


def from_problem(problem: dict[str, Any]) -> AnlanError:
    """Rebuild the error that ``problem()`` described, for callers on the other side of the fabric."""
    code = str(problem.get("type", "")).rpartition(":")[2]
    kind = BY_CODE.get(code, AnlanError)
    return kind(
        str(problem.get("title", "unknown error")),
        where=str(problem.get("where", "")),
        fix=str(problem.get("fix", "")),
    )
