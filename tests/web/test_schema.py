"""Schemathesis reads the API's own description and asks every route for what it promises, good input and bad."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from anlan.web.app import create_api
from tests.web.node import ROUTERS, WebNode

# A text that is no cursor or moment of ours fits its schema and is refused all the same: acceptance is not checked.
# Streams never end; the sign of life takes nothing; signing in has tests of its own.
LEFT_OUT = ("/v1/stream/", "/v1/session", "/v1/health")


def operations() -> list[Any]:
    """Return the operations of the description, as the process serves it."""
    document = create_api(None, ROUTERS).openapi()  # type: ignore[arg-type]  # the description needs no context
    schema = schemathesis.openapi.from_dict(document)
    found = [result.ok() for result in schema.get_all_operations()]
    return [operation for operation in found if not operation.path.startswith(LEFT_OUT)]


OPERATIONS = operations()


@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.label for operation in OPERATIONS])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_route_keeps_what_the_description_promises(web: WebNode, operation: Any, mode: GenerationMode) -> None:
    headers = {"Authorization": f"Bearer {web.tokens['engineer']}", "If-Match": "*"}

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=f"{web.url}/api", headers=headers, excluded_checks=[positive_data_acceptance])

    ask()


def test_the_description_is_what_the_process_serves(web: WebNode) -> None:
    with web.client("engineer") as client:
        served = client.get("/api/openapi.json").json()["paths"]
    assert {operation.path for operation in OPERATIONS} <= served.keys()
