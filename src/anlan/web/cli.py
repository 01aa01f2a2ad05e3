"""``anlan users`` and ``anlan tokens``: people and API tokens of a node, from its own machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from anlan.core.errors import InvalidInputError
from anlan.core.output import JsonOption, emit, failing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from anlan.core.actor import Grant
    from anlan.web.audit import Auditor
    from anlan.web.auth.accounts import Accounts
    from anlan.web.auth.model import TokenInfo, User

R = TypeVar("R")

DataOption = Annotated[Path | None, typer.Option("--data", help="Data directory of the node 节点的数据目录.")]
RecordsOption = Annotated[str, typer.Option("--records", help="SQLAlchemy URL when the records are not in --data.")]
LoginArgument = Annotated[str, typer.Argument(help="Login of the person 用户名.")]
RoleOption = Annotated[list[str], typer.Option("--role", help="ROLE or ROLE@PLACE, may be repeated 角色@范围.")]
CommentOption = Annotated[str, typer.Option("--comment", help="Why; stands in the audit 原因.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    users = typer.Typer(help="People and what they may do 用户与权限.", no_args_is_help=True)
    for name, command in (
        ("add", add_user),
        ("list", list_users),
        ("reset-password", reset_password),
        ("disable", disable_user),
        ("enable", enable_user),
        ("grant", grant_roles),
        ("unlock", unlock_user),
    ):
        users.command(name)(command)
    tokens = typer.Typer(help="API tokens 接口令牌.", no_args_is_help=True)
    tokens.command("create")(create_token)
    tokens.command("list")(list_tokens)
    tokens.command("revoke")(revoke_token)
    app.add_typer(users, name="users")
    app.add_typer(tokens, name="tokens")


# --- people -----------------------------------------------------------------------------------------------------------


def add_user(
    login: LoginArgument,
    name: Annotated[str, typer.Option("--name", help="Name that is shown 姓名.")] = "",
    role: RoleOption = [],  # noqa: B006  # typer copies it
    data: DataOption = None,
    records: RecordsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add a person; the one-time password is told once 添加用户.

    Example: anlan users add wang.min --name 王敏 --role operator@haian/tank-farm-a
    """
    with failing(as_json):
        from anlan.core.actor import SYSTEM
        from anlan.web.auth import users
        from anlan.web.auth.model import NewUser

        new = NewUser(login, name, parse_grants(role))
        made = _changing(data, records, lambda session, auditor: users.add(session, SYSTEM, auditor, new))
        emit(made, as_json, lambda: typer.echo(f"{made.user.login}: 一次性密码 one-time password {made.password}"))


def list_users(data: DataOption = None, records: RecordsOption = "", as_json: JsonOption = False) -> None:
    """List people and what they may do 列出用户.

    Example: anlan users list --json
    """
    with failing(as_json):
        from anlan.core.actor import SYSTEM
        from anlan.web.auth import users

        with _accounts(data, records) as accounts:
            found = accounts.read(lambda session: users.list_users(session, SYSTEM, "", 1_000_000))
        emit({"users": found}, as_json, lambda: _print_users(found))


def reset_password(
    login: LoginArgument, data: DataOption = None, records: RecordsOption = "", as_json: JsonOption = False
) -> None:
    """Give a person a new one-time password; their sessions end 重置密码.

    Example: anlan users reset-password admin
    """
    with failing(as_json):
        from anlan.core.actor import SYSTEM
        from anlan.core.time import now_us
        from anlan.web.auth import lockout, sessions, users
        from anlan.web.auth.model import UserMade

        def reset(session: Session, auditor: Auditor) -> UserMade:
            made = users.reset_password(session, SYSTEM, auditor, login)
            sessions.revoke_all(session, made.user.id, now_us())
            lockout.forget(session, made.user.login)
            return made

        made = _changing(data, records, reset)
        emit(made, as_json, lambda: typer.echo(f"{made.user.login}: 一次性密码 one-time password {made.password}"))


def disable_user(
    login: LoginArgument,
    comment: CommentOption = "",
    data: DataOption = None,
    records: RecordsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Keep a person from signing in; their sessions end 停用用户.

    Example: anlan users disable wang.min --comment "left the company"
    """
    _switch(login, False, comment, data, records, as_json)


def enable_user(
    login: LoginArgument,
    comment: CommentOption = "",
    data: DataOption = None,
    records: RecordsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a person sign in again 启用用户.

    Example: anlan users enable wang.min
    """
    _switch(login, True, comment, data, records, as_json)


def _switch(login: str, active: bool, comment: str, data: Path | None, records: str, as_json: bool) -> None:
    with failing(as_json):
        from anlan.core.actor import SYSTEM
        from anlan.core.time import now_us
        from anlan.web.auth import sessions, users
        from anlan.web.auth.model import UserChange

        def switch(session: Session, auditor: Auditor) -> User:
            wanted = UserChange(active=active, comment=comment)
            user = users.change(session, SYSTEM, auditor, login, wanted, None)
            if not active:
                sessions.revoke_all(session, user.id, now_us())
            return user

        user = _changing(data, records, switch)
        emit(user, as_json, lambda: typer.echo(f"{user.login}: {'启用 enabled' if active else '停用 disabled'}"))


def grant_roles(
    login: LoginArgument,
    role: RoleOption = [],  # noqa: B006  # typer copies it
    remove: Annotated[list[str], typer.Option("--remove", help="ROLE or ROLE@PLACE to take away 收回.")] = [],  # noqa: B006  # typer copies it
    comment: CommentOption = "",
    data: DataOption = None,
    records: RecordsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give and take roles 授权.

    Example: anlan users grant wang.min --role engineer@haian --remove operator@haian
    """
    with failing(as_json):
        from anlan.core.actor import SYSTEM
        from anlan.web.auth import users
        from anlan.web.auth.model import UserChange

        given, taken = parse_grants(role), parse_grants(remove)
        if not given and not taken:
            raise InvalidInputError("nothing to give or take", where="--role", fix="--role operator@haian")

        def grant(session: Session, auditor: Auditor) -> User:
            held = users.grants_of(users.find(session, login))
            if missing := [item for item in taken if item not in held]:
                raise InvalidInputError(
                    f"{login} does not hold {missing[0].role.value}@{missing[0].scope}", where=login
                )
            grants = tuple(item for item in dict.fromkeys((*held, *given)) if item not in taken)
            return users.change(session, SYSTEM, auditor, login, UserChange(grants=grants, comment=comment), None)

        user = _changing(data, records, grant)
        emit(user, as_json, lambda: _print_users([user]))


def unlock_user(
    login: LoginArgument, data: DataOption = None, records: RecordsOption = "", as_json: JsonOption = False
) -> None:
    """Forget a person's failed sign-ins, so that they need not wait 解除锁定.

    Example: anlan users unlock wang.min
    """
    with failing(as_json):
        from anlan.web.auth import lockout, users

        def unlock(session: Session, auditor: Auditor) -> int:
            row = users.find(session, login)
            auditor.note(session, "user.unlock", f"users/{row.login}")
            return lockout.forget(session, row.login)

        count = _changing(data, records, unlock)
        emit({"login": login, "forgotten": count}, as_json, lambda: typer.echo(f"{login}: 已解除 unlocked"))


# --- tokens -----------------------------------------------------------------------------------------------------------


def create_token(
    login: LoginArgument,
    name: Annotated[str, typer.Option("--name", help="What it is for 用途.")],
    role: RoleOption,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long it is good 有效天数.")] = 90,
    data: DataOption = None,
    records: RecordsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make an API token for a person; its text is told once 创建令牌.

    Example: anlan tokens create wang.min --name mes --role regulator@haian --days 365
    """
    with failing(as_json):
        from anlan.core.time import now_us
        from anlan.web.auth import tokens, users
        from anlan.web.auth.model import NewToken, TokenMade

        new = NewToken(name, parse_grants(role), days)

        def create(session: Session, auditor: Auditor) -> TokenMade:
            return tokens.create(session, auditor, users.find(session, login), new, now_us())

        made = _changing(data, records, create)
        emit(made, as_json, lambda: typer.echo(f"{made.info.id}: {made.token}  (仅显示一次 shown once)"))


def list_tokens(data: DataOption = None, records: RecordsOption = "", as_json: JsonOption = False) -> None:
    """List API tokens 列出令牌.

    Example: anlan tokens list
    """
    with failing(as_json):
        from anlan.web.auth import tokens

        with _accounts(data, records) as accounts:
            found = [item for item, _ in accounts.read(tokens.list_tokens)]
        emit({"tokens": found}, as_json, lambda: _print_tokens(found))


def revoke_token(
    token: Annotated[str, typer.Argument(help="Id of the token 令牌编号.")],
    data: DataOption = None,
    records: RecordsOption = "",
    as_json: JsonOption = False,
) -> None:
    """End an API token 吊销令牌.

    Example: anlan tokens revoke 5f2c8a9d01be
    """
    with failing(as_json):
        from anlan.core.time import now_us
        from anlan.web.auth import tokens

        _changing(data, records, lambda session, auditor: tokens.revoke(session, auditor, token, now_us()))
        emit({"revoked": token}, as_json, lambda: typer.echo(f"{token}: 已吊销 revoked"))


# --- inside -----------------------------------------------------------------------------------------------------------


def parse_grants(texts: list[str]) -> tuple[Grant, ...]:
    """Return the grants of ``ROLE`` or ``ROLE@PLACE`` texts.

    Raises:
        InvalidInputError: no such role, or no such form of place.
    """
    from anlan.core.actor import Grant, Role
    from anlan.web.auth.users import check_grants

    grants = []
    for text in texts:
        role, _, place = text.partition("@")
        if role not in {item.value for item in Role}:
            raise InvalidInputError(f"{role!r} is no role", where="--role", fix=f"one of {', '.join(Role)}")
        grants.append(Grant(Role(role), place))
    check_grants(tuple(grants))
    return tuple(grants)


@contextmanager
def _accounts(data: Path | None, records: str) -> Iterator[Accounts]:
    from anlan.settings import of_node
    from anlan.web.auth.accounts import Accounts
    from anlan.web.service import open_records

    settings = of_node(data)
    settings = replace(settings, records=records or settings.records)
    if not settings.records and not (settings.data / "records.sqlite").is_file():
        raise InvalidInputError(
            f"there is no node in {settings.data}", where="--data", fix="the data directory of 'anlan serve'"
        )
    opened = open_records(settings)
    try:
        yield Accounts(opened, settings)
    finally:
        opened.engine.dispose()


def _changing(data: Path | None, records: str, work: Callable[[Session, Auditor], R]) -> R:
    import getpass

    from anlan.core.actor import SYSTEM

    with _accounts(data, records) as accounts:
        auditor = accounts.auditor(SYSTEM, f"command line: {getpass.getuser()}")
        return accounts.change(lambda session: work(session, auditor))


def _print_users(found: list[User]) -> None:
    for user in found:
        roles = ", ".join(f"{grant.role.value}@{grant.scope or '*'}" for grant in user.grants) or "-"
        typer.echo(f"{user.login:24} {'' if user.active else '停用 disabled  '}{user.name:16} {roles}")


def _print_tokens(found: list[TokenInfo]) -> None:
    from anlan.core.time import to_iso

    for item in found:
        state = "吊销 revoked" if item.revoked else f"至 until {to_iso(item.expires)[:10]}"
        typer.echo(f"{item.id:14} {item.login:24} {item.name:24} {state}")
