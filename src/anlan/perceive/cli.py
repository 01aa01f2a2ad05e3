"""``anlan dead-letters``: look at frames that could not be used, mend them and run them again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from anlan.core.errors import InvalidInputError
from anlan.core.output import JsonOption, emit, failing

if TYPE_CHECKING:
    from anlan.perceive.client import PerceiveClient
    from anlan.perceive.model import DeadLetter

T = TypeVar("T")

DataOption = Annotated[Path | None, typer.Option("--data", help="Data directory of the node 节点的数据目录.")]
NumberArgument = Annotated[int, typer.Argument(help="Number of the dead letter, as listed 死信编号.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    letters = typer.Typer(help="Frames that could not be used 死信.", no_args_is_help=True)
    letters.command("list")(list_)
    letters.command("show")(show)
    letters.command("retry")(retry)
    app.add_typer(letters, name="dead-letters")


def list_(
    connector: Annotated[str, typer.Option("--connector", help="Only of this connector 仅此连接器.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="Most letters to list.")] = 50,
    before: Annotated[int, typer.Option("--before", help="Only older than this number 更早的.")] = 0,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, newest first 列出死信.

    Example: anlan dead-letters list --connector edge
    """
    with failing(as_json):
        page = _ask(data, lambda client: client.dead_letters(connector, limit, before))

        def human() -> None:
            for letter in page.letters:
                typer.echo(_line(letter))
            typer.echo(f"共保留 {page.kept} 条 kept" + (f", --before {page.next}" if page.next else ""))

        emit(page, as_json, human)


def show(number: NumberArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show one dead letter with its bytes 查看一条死信.

    Example: anlan dead-letters show 17
    """
    with failing(as_json):
        letter = _ask(data, lambda client: client.dead_letter(number))

        def human() -> None:
            typer.echo(_line(letter))
            typer.echo(f"原因 reason: {letter.reason}\n位置 where:  {letter.where}\n应为 fix:    {letter.fix}")
            typer.echo(f"{letter.size} 字节 bytes" + (f", 保留 kept {len(letter.raw)}" if _cut(letter) else ""))
            typer.echo(_readable(letter.raw))

        emit(letter, as_json, human)


def retry(
    number: NumberArgument,
    payload: Annotated[
        Path | None,
        typer.Option("--payload", help="File with the mended bytes; the kept ones when left out 修正后的内容."),
    ] = None,
    comment: Annotated[str, typer.Option("--comment", help="What was mended 说明.")] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a dead letter again through its connector, mended or as it is 重新处理一条死信.

    Example: anlan dead-letters retry 17 --payload mended.json --comment "小数点"
    """
    with failing(as_json):
        raw = None
        if payload is not None:
            if not payload.is_file():
                raise InvalidInputError("no such file", where=str(payload), fix="a file with the mended payload")
            raw = payload.read_bytes()
        result = _ask(data, lambda client: client.mend(number, raw, comment))
        emit(result, as_json, lambda: typer.echo(f"已入库 {result.samples} 个样本 samples taken"))


def _line(letter: DeadLetter) -> str:
    from anlan.core.time import to_iso

    return f"{letter.sequence:>8}  {to_iso(letter.time)[:19]}  {letter.connector}  {letter.source}  {letter.reason}"


def _cut(letter: DeadLetter) -> bool:
    return len(letter.raw) < letter.size


def _readable(raw: bytes) -> str:
    """Return the bytes as text where they are text, otherwise as a hex dump."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if text and all(character.isprintable() or character in "\r\n\t" for character in text):
        return text
    lines = [raw[start : start + 16] for start in range(0, len(raw), 16)]
    return "\n".join(f"{number * 16:06x}  {line.hex(' ')}" for number, line in enumerate(lines))


def _ask(data: Path | None, question: Callable[[PerceiveClient], Awaitable[T]]) -> T:
    from anlan.core.actor import SYSTEM
    from anlan.perceive.client import PerceiveClient
    from anlan.store.fabric.session import ask_node

    return ask_node(lambda fabric: question(PerceiveClient(fabric, SYSTEM)), data, name="dead-letters")
