"""Who asks, and what their roles allow where. Permission is checked once, in the service."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from anlan.core.errors import NotFoundError, PermissionDeniedError


class Permission(StrEnum):
    """What a role can allow."""

    VIEW = "view"
    ACKNOWLEDGE = "acknowledge"
    SHELVE = "shelve"
    SUPPRESS = "suppress"
    OUT_OF_SERVICE = "out-of-service"
    RESET = "reset"
    LOG_SHIFT = "log-shift"
    BYPASS = "bypass"
    PROPOSE_CHANGE = "propose-change"
    APPROVE_CHANGE = "approve-change"
    APPROVE_SAFETY_CHANGE = "approve-safety-change"
    JUDGE_WARNING = "judge-warning"
    MANAGE_MODELS = "manage-models"
    RECORD_PRESENCE = "record-presence"
    MEND_DEAD_LETTERS = "mend-dead-letters"
    VIEW_AUDIT = "view-audit"
    ADMINISTER = "administer"


class Role(StrEnum):
    """Roles; each grant of one is bound to a place in the hierarchy."""

    OPERATOR = "operator"
    ENGINEER = "engineer"
    SAFETY_MANAGER = "safety-manager"
    AUDITOR = "auditor"
    REGULATOR = "regulator"
    ADMINISTRATOR = "administrator"


_P = Permission
ALLOWED: dict[Role, frozenset[Permission]] = {
    Role.OPERATOR: frozenset(
        {_P.VIEW, _P.ACKNOWLEDGE, _P.SHELVE, _P.RESET, _P.LOG_SHIFT} | {_P.JUDGE_WARNING, _P.RECORD_PRESENCE}
    ),
    Role.ENGINEER: frozenset(
        {_P.VIEW, _P.ACKNOWLEDGE, _P.SHELVE, _P.RESET, _P.SUPPRESS, _P.OUT_OF_SERVICE, _P.LOG_SHIFT, _P.BYPASS}
        | {_P.PROPOSE_CHANGE, _P.APPROVE_CHANGE, _P.MEND_DEAD_LETTERS}
        | {_P.JUDGE_WARNING, _P.MANAGE_MODELS, _P.RECORD_PRESENCE}
    ),
    Role.SAFETY_MANAGER: frozenset(
        {_P.VIEW, _P.ACKNOWLEDGE, _P.SHELVE, _P.RESET, _P.SUPPRESS, _P.OUT_OF_SERVICE, _P.LOG_SHIFT, _P.BYPASS}
        | {_P.PROPOSE_CHANGE, _P.APPROVE_CHANGE, _P.APPROVE_SAFETY_CHANGE, _P.VIEW_AUDIT}
        | {_P.JUDGE_WARNING, _P.MANAGE_MODELS, _P.RECORD_PRESENCE}
    ),
    Role.AUDITOR: frozenset({_P.VIEW, _P.VIEW_AUDIT}),
    Role.REGULATOR: frozenset({_P.VIEW}),
    Role.ADMINISTRATOR: frozenset(Permission),
}


class Grant(msgspec.Struct, frozen=True):
    """A role held at a place: ``scope`` is a path prefix (``haian/tank-farm-a``); empty is the whole node."""

    role: Role
    scope: str = ""

    def covers(self, path: str) -> bool:
        """Return whether ``path`` lies in this grant's place."""
        return not self.scope or path == self.scope or path.startswith(self.scope + "/")


class Actor(msgspec.Struct, frozen=True):
    """A signed-in person or program, as it travels with every request over the fabric."""

    user: str
    name: str = ""
    grants: tuple[Grant, ...] = ()

    def may(self, permission: Permission, path: str = "") -> bool:
        """Return whether a grant that covers ``path`` allows ``permission``."""
        return any(permission in ALLOWED[grant.role] and grant.covers(path) for grant in self.grants)

    def sees(self, path: str) -> bool:
        """Return whether ``path`` lies in a place this actor may view."""
        return self.may(Permission.VIEW, path)

    def require(self, permission: Permission, path: str = "") -> None:
        """Raise unless the actor may do this at ``path``.

        Raises:
            NotFoundError: the path lies outside the actor's scope.
            PermissionDeniedError: in scope, but no role there allows it.
        """
        if self.may(permission, path):
            return
        if not self.sees(path):
            raise NotFoundError(f"{path or 'this'} was not found", where=path)
        raise PermissionDeniedError(f"{self.user} may not {permission.value} here", where=path)


SYSTEM = Actor(user="system", name="Anlan", grants=(Grant(Role.ADMINISTRATOR),))
