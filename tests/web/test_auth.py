"""Passwords, lockout, sessions, one-time codes, tokens and people, with the clock in the test's hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec
import pyotp
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from anlan.core.actor import SYSTEM, Actor, Grant, Permission, Role
from anlan.core.errors import AnlanError, ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from anlan.core.events import AuditChange, decode_event
from anlan.core.time import DAY, HOUR, MINUTE, SECOND, now_us
from anlan.settings import Settings
from anlan.web.auth import lockout, passwords, second_factor, sessions, tokens, users
from anlan.web.auth.accounts import Accounts
from anlan.web.auth.model import Identity, NewToken, NewUser, SignIn, User, UserChange
from anlan.web.auth.secrets import Vault
from anlan.web.auth.sign_in import sign_in
from anlan.web.errors import (
    ChangedMeanwhileError,
    SecondFactorRequiredError,
    SignInRefusedError,
    TooManyRequestsError,
)
from anlan.web.tables import OutboxRow, TokenRow, UserRow
from tests.web.node import PASSWORD, records_of

REAL_HASHER = passwords._hasher
HAIAN = (Grant(Role.OPERATOR, "haian"),)


class Desk:
    """Accounts of a fresh node, whose clock stands still until the test moves it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = now_us()
        self.records = records_of(settings)
        self.accounts = self.fresh()
        self.recovery: tuple[str, ...] = ()

    def fresh(self) -> Accounts:
        """Return accounts that keep nothing from before, like another process."""
        return Accounts(self.records, self.settings, lambda: self.now)

    def add(self, login: str, grants: tuple[Grant, ...] = HAIAN, actor: Actor = SYSTEM) -> User:
        def work(session: Session) -> User:
            made = users.add(session, actor, self.accounts.auditor(actor, "test"), NewUser(login, "", grants, PASSWORD))
            users.find(session, login).must_change = False
            return made.user

        return self.accounts.change(work)

    def change(self, login: str, wanted: UserChange, actor: Actor = SYSTEM, version: int | None = None) -> User:
        auditor = self.accounts.auditor(actor, "test")
        return self.accounts.change(lambda session: users.change(session, actor, auditor, login, wanted, version))

    def sign_in(self, login: str, password: str = PASSWORD, code: str = "", address: str = "10.0.0.1") -> str:
        return sign_in(self.fresh(), SignIn(login, password, code), address=address, agent="test")

    def identity(self, cookie: str) -> Identity | None:
        return self.fresh().identity(cookie=cookie)

    def audit(self) -> list[tuple[str, AuditChange]]:
        def work(session: Session) -> list[tuple[str, AuditChange]]:
            rows = session.scalars(select(OutboxRow).order_by(OutboxRow.id))
            events = [decode_event(row.event) for row in rows]
            return [(event.subject, msgspec.convert(event.data, AuditChange)) for event in events]

        return self.accounts.read(work)


BOTH = pytest.mark.parametrize("desk", ["sqlite", "postgresql"], indirect=True)
"""Tests whose SQL is more than a plain insert or select by key run on both databases."""


@pytest.fixture
def desk(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Desk]:
    """A fresh node's people, on SQLite unless the test asks for both databases."""
    if getattr(request, "param", "sqlite") == "postgresql":
        settings = replace(settings, records=request.getfixturevalue("postgres").database())
    made = Desk(settings)
    made.add("admin", (Grant(Role.ADMINISTRATOR),))
    yield made
    made.records.engine.dispose()


@pytest.fixture(autouse=True)
def _cheap_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep argon2id but make it cheap: these tests are about what follows from a right or wrong password."""
    from argon2 import PasswordHasher

    cheap = PasswordHasher(1, 64, 1)
    monkeypatch.setattr(passwords, "_hasher", cheap)
    monkeypatch.setattr(passwords, "_NOBODY", cheap.hash("nobody"))


# --- passwords ---


@pytest.mark.parametrize(
    "password",
    [
        "",
        "Short-1",
        "alllowercase",
        "lower-and-dash",
        "Admin-123456",
        "Password1234!",
        "a" * 24,
        "x" * 300,
        "Wang.Min-2026",
    ],
)
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        passwords.check_rules(password, "wang.min")
    assert caught.value.where == "new"


@pytest.mark.parametrize("password", [PASSWORD, "四海之内皆兄弟也Abcd", "correct horse battery staple"])
def test_good_passwords_pass(password: str) -> None:
    passwords.check_rules(password, "wang.min")


def test_random_passwords_keep_the_rules_and_differ() -> None:
    made = {passwords.random_password() for _ in range(200)}
    for password in made:
        passwords.check_rules(password, "admin")
    assert len(made) == 200


def test_hashes_are_argon2id_with_the_recommended_cost() -> None:
    assert REAL_HASHER.hash("x").startswith("$argon2id$v=19$m=65536,t=3,p=1$")


def test_an_account_without_password_lets_nobody_in() -> None:
    assert passwords.verify("", "") is False
    assert passwords.verify("", "anything") is False


# --- lockout ---


def _fail(desk: Desk, login: str, address: str = "10.0.0.1") -> None:
    with pytest.raises(SignInRefusedError):
        desk.sign_in(login, "wrong", address=address)


@BOTH
def test_after_some_failures_the_wait_grows_each_time(desk: Desk) -> None:
    waits = []
    for _ in range(9):
        _fail(desk, "admin")
        with pytest.raises(AnlanError) as caught:
            desk.sign_in("admin", "wrong")
        wait = caught.value.retry_after if isinstance(caught.value, TooManyRequestsError) else 0
        waits.append(wait)
        desk.now += wait * SECOND
    # Below the fifth failure the second try counts as one too.
    assert waits == [0, 0, 30, 60, 120, 240, 480, 960, 1920]


def test_even_the_right_password_waits_while_locked(desk: Desk) -> None:
    for _ in range(5):
        _fail(desk, "admin")
    with pytest.raises(TooManyRequestsError):
        desk.sign_in("admin")
    assert desk.sign_in("admin", address="10.0.0.2")
    desk.now += 31 * SECOND
    assert desk.sign_in("admin")


@BOTH
def test_success_forgets_failures_of_the_account(desk: Desk) -> None:
    for _ in range(4):
        _fail(desk, "admin")
    desk.sign_in("admin")
    for _ in range(4):
        _fail(desk, "admin")
    assert desk.sign_in("admin")


def test_one_address_that_tries_many_accounts_is_locked(desk: Desk) -> None:
    for number in range(lockout.ADDRESS.free):
        _fail(desk, f"guess-{number}")
    with pytest.raises(TooManyRequestsError):
        desk.sign_in("admin")
    assert desk.sign_in("admin", address="10.0.0.2")


def test_many_addresses_that_try_one_account_are_slowed_but_cannot_lock_it_for_long(desk: Desk) -> None:
    for number in range(lockout.ACCOUNT.free + 12):
        try:
            desk.sign_in("admin", "wrong", address=f"10.1.0.{number}")
        except TooManyRequestsError as error:
            desk.now += error.retry_after * SECOND
        except SignInRefusedError:
            continue
    desk.now += lockout.ACCOUNT.longest
    assert desk.sign_in("admin", address="10.2.0.1")


@BOTH
def test_refusals_look_the_same_whatever_is_wrong(desk: Desk) -> None:
    desk.add("gone")
    desk.change("gone", UserChange(active=False))
    problems = []
    for login, password in (("admin", "wrong"), ("absent", PASSWORD), ("gone", PASSWORD), ("no blanks", "x")):
        with pytest.raises(SignInRefusedError) as caught:
            desk.sign_in(login, password, address=login)
        problems.append(caught.value.problem())
    assert problems.count(problems[0]) == len(problems)


# --- sessions ---


def test_a_session_ends_when_idle_and_at_its_age(settings: Settings) -> None:
    desk = Desk(replace(settings, extra={"session_idle": "10 min", "session_longest": "1 h"}))
    desk.add("admin", (Grant(Role.ADMINISTRATOR),))
    idle, kept = desk.sign_in("admin"), desk.sign_in("admin")
    for _ in range(6):
        desk.now += 9 * MINUTE
        assert desk.identity(kept) is not None
    assert desk.identity(idle) is None
    desk.now += 7 * MINUTE
    assert desk.identity(kept) is None


@BOTH
def test_a_session_ends_with_its_account_and_password(desk: Desk) -> None:
    desk.add("wang.min")
    cookie, other = desk.sign_in("wang.min"), desk.sign_in("wang.min")
    row = desk.identity(cookie)
    assert row is not None

    def change(session: Session) -> None:
        users.change_own_password(
            session, desk.accounts.auditor(row.actor, ""), row.user_id, PASSWORD, "Harbour-Light-7"
        )
        sessions.revoke_all(session, row.user_id, desk.now, keep=row.session)

    desk.accounts.change(change)
    assert desk.identity(other) is None
    assert desk.identity(cookie) is not None
    desk.change("wang.min", UserChange(active=False))
    assert desk.identity(cookie) is None


@BOTH
def test_new_roles_take_force_in_open_sessions(desk: Desk) -> None:
    desk.add("wang.min")
    cookie = desk.sign_in("wang.min")
    before = desk.accounts.actor_of_session(cookie)
    desk.change("wang.min", UserChange(grants=(Grant(Role.REGULATOR),)))
    after = desk.accounts.actor_of_session(cookie)
    assert before is not None
    assert after is not None
    assert before.may(Permission.ACKNOWLEDGE, "haian/x")
    assert not after.may(Permission.ACKNOWLEDGE, "haian/x")


@pytest.mark.parametrize("cookie", ["", "x", "x" * 10_000, "\udcff"])
def test_cookies_that_never_were_belong_to_nobody(desk: Desk, cookie: str) -> None:
    assert desk.accounts.actor_of_session(cookie) is None


@pytest.mark.parametrize("extra", [{"session_idle": "soon"}, {"session_longest": "1 s"}])
def test_session_lifetimes_are_checked(settings: Settings, extra: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError):
        sessions.lifetime(replace(settings, extra=extra))


# --- one-time codes ---


@pytest.fixture
def seed(desk: Desk) -> str:
    """The seed of ``admin``'s second factor, switched on; the recovery codes are on the desk."""
    vault = desk.accounts.vault
    made = desk.accounts.change(lambda session: second_factor.begin(session, vault, _id(session), "Anlan"))
    assert made.uri.startswith("otpauth://totp/")
    auditor = desk.accounts.auditor(SYSTEM, "test")
    code = pyotp.TOTP(made.seed).at(desk.now // SECOND)
    codes = desk.accounts.change(
        lambda session: second_factor.confirm(session, desk.accounts.vault, auditor, _id(session), code, desk.now)
    )
    assert len(set(codes)) == second_factor.RECOVERY_CODES
    desk.recovery = codes
    desk.now += 60 * SECOND
    return made.seed


def _id(session: Session) -> str:
    return users.find(session, "admin").id


def test_with_a_second_factor_the_password_alone_is_not_enough(desk: Desk, seed: str) -> None:
    with pytest.raises(SecondFactorRequiredError):
        desk.sign_in("admin")
    with pytest.raises(SignInRefusedError):
        desk.sign_in("admin", code="000000")
    with pytest.raises(SignInRefusedError):
        desk.sign_in("admin", "wrong", code=pyotp.TOTP(seed).at(desk.now // SECOND))
    assert desk.sign_in("admin", code=pyotp.TOTP(seed).at(desk.now // SECOND))


@BOTH
def test_a_code_works_once_and_none_older_after_it(desk: Desk, seed: str) -> None:
    totp = pyotp.TOTP(seed)
    code, older = totp.at(desk.now // SECOND), totp.at(desk.now // SECOND - 30)
    assert desk.sign_in("admin", code=code)
    for again in (code, older):
        with pytest.raises(SignInRefusedError):
            desk.sign_in("admin", code=again)
    desk.now += 30 * SECOND
    assert desk.sign_in("admin", code=totp.at(desk.now // SECOND))


@pytest.mark.parametrize("offset_s", [-90, 90])
def test_codes_of_other_times_are_refused(desk: Desk, seed: str, offset_s: int) -> None:
    with pytest.raises(SignInRefusedError):
        desk.sign_in("admin", code=pyotp.TOTP(seed).at(desk.now // SECOND + offset_s))


@BOTH
def test_a_recovery_code_works_once(desk: Desk, seed: str) -> None:
    code = desk.recovery[0]
    assert desk.sign_in("admin", code=code.lower())
    with pytest.raises(SignInRefusedError):
        desk.sign_in("admin", code=code)


def test_wrong_codes_lock_like_wrong_passwords(desk: Desk, seed: str) -> None:
    for _ in range(lockout.PAIR.free):
        with pytest.raises(SignInRefusedError):
            desk.sign_in("admin", code="000000")
    with pytest.raises(TooManyRequestsError):
        desk.sign_in("admin", code=pyotp.TOTP(seed).at(desk.now // SECOND))


def test_seeds_are_not_readable_in_the_records(desk: Desk, seed: str, settings: Settings) -> None:
    stored = desk.accounts.read(lambda session: users.find(session, "admin").totp_seed)
    assert stored is not None
    assert seed.encode() not in stored
    other = Vault(replace(settings, data=settings.data / "other"))
    with pytest.raises(InvalidInputError, match=r"web\.key"):
        other.open(stored, desk.accounts.read(_id))


def test_an_administrator_can_reset_a_lost_second_factor(desk: Desk, seed: str) -> None:
    desk.change("admin", UserChange(reset_second_factor=True))
    assert desk.sign_in("admin")


# --- tokens ---


def _token(desk: Desk, login: str, *grants: Grant, days: int = 90) -> str:
    def work(session: Session) -> str:
        auditor = desk.accounts.auditor(SYSTEM, "test")
        new = NewToken("test", grants, days)
        return tokens.create(session, auditor, users.find(session, login), new, desk.now).token

    return desk.accounts.change(work)


def test_a_token_does_what_its_grants_say_and_no_more(desk: Desk) -> None:
    token = _token(desk, "admin", Grant(Role.REGULATOR, "haian"))
    identity = desk.fresh().identity(token=token)
    assert identity is not None
    assert identity.actor.sees("haian/x")
    assert not identity.actor.sees("lingang")
    assert not identity.actor.may(Permission.ACKNOWLEDGE, "haian/x")


@pytest.mark.parametrize(
    "grant",
    [Grant(Role.ADMINISTRATOR), Grant(Role.OPERATOR), Grant(Role.ENGINEER, "haian"), Grant(Role.OPERATOR, "hai")],
)
def test_a_token_cannot_outgrow_its_owner(desk: Desk, grant: Grant) -> None:
    desk.add("wang.min")
    with pytest.raises(InvalidInputError):
        _token(desk, "wang.min", grant)


@BOTH
def test_a_token_shrinks_with_its_owner(desk: Desk) -> None:
    desk.add("wang.min", (*HAIAN, Grant(Role.REGULATOR)))
    token = _token(desk, "wang.min", *HAIAN, Grant(Role.REGULATOR))
    desk.change("wang.min", UserChange(grants=(Grant(Role.REGULATOR, "haian"),)))
    identity = desk.fresh().identity(token=token)
    assert identity is not None
    assert identity.actor.grants == ()
    desk.change("wang.min", UserChange(active=False))
    assert desk.fresh().identity(token=token) is None


def test_a_token_expires(desk: Desk) -> None:
    token = _token(desk, "admin", Grant(Role.REGULATOR), days=1)
    desk.now += DAY - SECOND
    assert desk.fresh().identity(token=token) is not None
    desk.now += SECOND
    assert desk.fresh().identity(token=token) is None


def test_a_tokens_secret_is_not_in_the_records(desk: Desk) -> None:
    token = _token(desk, "admin", Grant(Role.REGULATOR))
    secret = token.split("_", 2)[2]
    stored = desk.accounts.read(lambda session: [vars(row).copy() for row in session.scalars(select(TokenRow))])
    assert len(stored) == 1
    assert secret not in str(stored)
    assert desk.fresh().identity(token=token[:-1] + ("a" if token[-1] != "a" else "b")) is None


# --- people ---


@BOTH
def test_an_administrator_of_a_place_sees_and_changes_only_its_people(desk: Desk) -> None:
    local = Actor("local", grants=(Grant(Role.ADMINISTRATOR, "haian"),))
    desk.add("wang.min")
    desk.add("li.lei", (Grant(Role.OPERATOR, "lingang"),))
    desk.add("both", (*HAIAN, Grant(Role.OPERATOR, "lingang")))
    seen = desk.accounts.read(lambda session: users.list_users(session, local, "", 100))
    assert [user.login for user in seen] == ["both", "wang.min"]
    desk.change("wang.min", UserChange(name="王敏"), local)
    with pytest.raises(NotFoundError):
        desk.change("li.lei", UserChange(name="x"), local)
    with pytest.raises(AnlanError):
        desk.change("both", UserChange(active=False), local)
    with pytest.raises(AnlanError):
        desk.change("wang.min", UserChange(grants=(Grant(Role.OPERATOR),)), local)
    with pytest.raises(AnlanError):
        desk.add("new", (Grant(Role.REGULATOR, "lingang"),), local)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
def test_nobody_but_an_administrator_changes_people(desk: Desk, role: Role) -> None:
    desk.add("wang.min")
    actor = Actor("other", grants=(Grant(role),))
    with pytest.raises((PermissionDeniedError, NotFoundError)):
        desk.change("wang.min", UserChange(grants=(Grant(Role.ADMINISTRATOR),)), actor)
    with pytest.raises((PermissionDeniedError, NotFoundError)):
        desk.add("new", HAIAN, actor)


@pytest.mark.parametrize(
    "wanted",
    [UserChange(active=False), UserChange(grants=()), UserChange(grants=(Grant(Role.ADMINISTRATOR, "haian"),))],
)
def test_the_last_administrator_stays(desk: Desk, wanted: UserChange) -> None:
    with pytest.raises(ConflictError):
        desk.change("admin", wanted)
    desk.add("second", (Grant(Role.ADMINISTRATOR),))
    desk.change("admin", wanted)


@BOTH
def test_a_change_from_an_old_version_is_refused(desk: Desk) -> None:
    user = desk.add("wang.min")
    changed = desk.change("wang.min", UserChange(name="王敏"), version=user.version)
    assert changed.version == user.version + 1
    with pytest.raises(ChangedMeanwhileError):
        desk.change("wang.min", UserChange(name="王明"), version=user.version)


@BOTH
def test_two_changes_at_the_same_moment_do_not_overwrite_each_other(desk: Desk) -> None:
    desk.add("wang.min")

    def slow(session: Session) -> None:
        row = users.find(session, "wang.min")
        desk.change("wang.min", UserChange(name="王敏"))
        row.name = "王明"
        row.version += 1

    with pytest.raises(ChangedMeanwhileError):
        desk.accounts.change(slow)
    assert desk.accounts.read(lambda session: users.find(session, "wang.min").name) == "王敏"


@BOTH
def test_every_change_is_audited_with_before_and_after(desk: Desk) -> None:
    desk.add("wang.min")
    desk.change(
        "wang.min", UserChange(grants=(Grant(Role.ENGINEER),), comment="promoted"), Actor("admin", grants=SYSTEM.grants)
    )
    subject, change = desk.audit()[-1]
    assert subject == "users/wang.min"
    assert (change.who, change.action, change.comment, change.address) == ("admin", "user.change", "promoted", "test")
    assert change.before["grants"] == ["operator@haian"]
    assert change.after["grants"] == ["engineer@"]


def test_a_refused_change_leaves_no_audit_of_a_change(desk: Desk) -> None:
    count = len(desk.audit())
    with pytest.raises(ConflictError):
        desk.change("admin", UserChange(active=False))
    assert len(desk.audit()) == count


def test_sign_ins_good_and_bad_are_audited(desk: Desk) -> None:
    desk.sign_in("admin", address="10.9.9.9")
    _fail(desk, "absent", "10.9.9.9")
    (_, good), (_, bad) = desk.audit()[-2:]
    assert (good.who, good.action, good.address) == ("admin", "session.sign-in", "10.9.9.9")
    assert (bad.who, bad.action, bad.address) == ("absent", "session.refused", "10.9.9.9")


def test_no_secret_ever_stands_in_the_audit(desk: Desk, seed: str) -> None:
    token = _token(desk, "admin", Grant(Role.REGULATOR))
    text = str(desk.audit())
    assert all(secret not in text for secret in (PASSWORD, seed, token.split("_", 2)[2]))


@BOTH
def test_a_second_user_of_the_same_login_is_refused(desk: Desk) -> None:
    with pytest.raises(ConflictError):
        desk.add("ADMIN")


def test_lifetimes_default_to_a_shift_and_a_day(settings: Settings) -> None:
    assert sessions.lifetime(settings) == sessions.Lifetime(8 * HOUR, DAY)


@BOTH
def test_rows_of_one_person_go_with_them(desk: Desk) -> None:
    desk.add("wang.min")
    cookie = desk.sign_in("wang.min")
    remove: Callable[[Session], None] = lambda session: session.delete(users.find(session, "wang.min"))  # noqa: E731
    desk.accounts.change(remove)
    assert desk.identity(cookie) is None
    assert (
        desk.accounts.read(lambda session: session.scalar(select(UserRow).where(UserRow.login == "wang.min"))) is None
    )
