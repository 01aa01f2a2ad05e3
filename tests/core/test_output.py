"""How commands speak."""

from __future__ import annotations

import errno
import json
import logging

import pytest
import typer

from anlan.core.errors import InvalidInputError
from anlan.core.output import emit, failing

REFUSALS = [
    (InvalidInputError("wrong", where="--from", fix="right"), "--from: wrong (right)"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.csv"), "a.csv: No such file or directory (check "),
    (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "Connection refused"),
    (TimeoutError(), "TimeoutError"),
]


def fail(error: Exception, as_json: bool) -> int:
    with pytest.raises(typer.Exit) as ended, failing(as_json):
        raise error
    return ended.value.exit_code


@pytest.mark.parametrize("as_json", [True, False])
def test_a_result_is_one_object_or_a_text(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    emit({"points": 3, "名": "点"}, as_json, lambda: typer.echo("3 points"))
    assert capsys.readouterr().out == ('{"points":3,"名":"点"}\n' if as_json else "3 points\n")


@pytest.mark.parametrize(("error", "text"), REFUSALS)
def test_a_refusal_is_told_to_people_on_stderr(error: Exception, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(error, as_json=False) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(text)


@pytest.mark.parametrize(("error", "text"), REFUSALS)
def test_a_refusal_is_told_to_programs_as_one_object(
    error: Exception, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail(error, as_json=True) == 1
    captured = capsys.readouterr()
    assert (captured.err, captured.out.count("\n")) == ("", 1)
    assert json.loads(captured.out)["error"]["detail"].startswith(text)


def test_a_fault_of_ours_shows_its_traceback(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ZeroDivisionError), failing(as_json=False):
        _ = 1 / 0
    with caplog.at_level(logging.ERROR):
        assert fail(ZeroDivisionError("division by zero"), as_json=True) == 1
    assert "ZeroDivisionError: division by zero" in json.loads(capsys.readouterr().out)["error"]["title"]
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("error", [typer.Exit(3), typer.Abort(), BrokenPipeError(errno.EPIPE, "Broken pipe")])
def test_what_ends_a_command_on_purpose_passes(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(error)), failing(as_json=True):
        raise error
    assert capsys.readouterr().out == ""
