"""Fixtures of the room's tests."""

from tests.web.conftest import web as web
