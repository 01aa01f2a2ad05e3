"""Sign-in: passwords, lockout, sessions, API tokens, one-time codes, OpenID Connect, and the people themselves."""

from anlan.web.auth.users import bootstrap

__all__ = ["bootstrap"]
