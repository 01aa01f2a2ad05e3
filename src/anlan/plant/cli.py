"""Commands of the plant: check, init, and point and alarm lists out to Excel and in again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anlan.core.output import JsonOption, emit, failing
from anlan.plant.registers import cli as registers

if TYPE_CHECKING:
    from anlan.plant.findings import Finding
    from anlan.plant.registers.model import Edit
    from anlan.store.fabric.client import Fabric

MOST_SHOWN = 200

SiteArgument = Annotated[Path, typer.Argument(help="Site file or folder.", show_default=False)]
BookArgument = Annotated[Path, typer.Argument(help="Excel workbook (.xlsx).", show_default=False)]
LanguageOption = Annotated[str, typer.Option("--language", help="zh or en; default from ANLAN_LANGUAGE, else zh.")]


def register(app: typer.Typer) -> None:
    """Add the plant's commands."""
    app.command("check")(check)
    app.command("init")(init)
    plant = typer.Typer(help="Point and alarm lists: out to Excel and in again.", no_args_is_help=True)
    plant.command("points-export")(points_export)
    plant.command("points-import")(points_import)
    plant.command("alarms-export")(alarms_export)
    plant.command("alarms-import")(alarms_import)
    app.add_typer(plant, name="plant")
    registers.register(app)


def _language(language: str) -> str:
    from anlan.settings import from_environment

    return language or from_environment().language


# --- check ----------------------------------------------------------------------------------------------------------


def check(
    site: Annotated[Path | None, typer.Argument(help="Site file or folder.", show_default=False)] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of site files instead.")] = False,
    language: LanguageOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say with file and line what is wrong with a site and what would be right.

    Example: anlan check donggang/   anlan check --schema > site.schema.json
    """
    with failing(as_json):
        if schema:
            _print_schema()
            return
        from anlan.core.errors import InvalidInputError

        if site is None:
            raise InvalidInputError("which site?", where="SITE", fix="name a site file or folder, or --schema")
        _check(site, _language(language), as_json)


def _print_schema() -> None:
    import json

    from anlan.plant.check_connectors import json_schemas
    from anlan.plant.schema import json_schema

    typer.echo(json.dumps(json_schema(json_schemas()), ensure_ascii=False, indent=2))


def _check(site: Path, language: str, as_json: bool) -> None:
    from anlan.plant.compiler import compile_site, numbers_in_file_order
    from anlan.plant.site_file import check as check_site

    document, findings = check_site(site)
    errors = sum(finding.severity == "error" for finding in findings)
    counts: dict[str, Any] = {"errors": errors, "warnings": len(findings) - errors}
    if document is not None:
        plant = compile_site(document, numbers_in_file_order(document))
        counts |= {"points": len(plant.points), "alarms": len(plant.alarms), "connectors": len(plant.connectors)}
    result = {"ok": document is not None, **counts, "findings": findings}
    emit(result, as_json, lambda: _show_findings(findings, counts, language))
    if document is None:
        raise typer.Exit(1)


def _show_findings(findings: tuple[Finding, ...], counts: dict[str, Any], language: str) -> None:
    marks = {"zh": {"error": "错误", "warning": "提醒"}, "en": {"error": "error", "warning": "warning"}}
    mark = marks.get(language, marks["en"])
    for finding in findings[:MOST_SHOWN]:
        colour = typer.colors.RED if finding.severity == "error" else typer.colors.YELLOW
        typer.echo(typer.style(mark[finding.severity], fg=colour) + " " + finding.text(language))
    if len(findings) > MOST_SHOWN:
        typer.echo(f"… {len(findings) - MOST_SHOWN} (--json)")
    zh = {"errors": "错误", "warnings": "提醒", "points": "测点", "alarms": "报警", "connectors": "连接器"}
    names = zh if language == "zh" else {key: key for key in zh}
    typer.echo(", ".join(f"{names[key]} {count}" for key, count in counts.items()))


# --- init -----------------------------------------------------------------------------------------------------------


def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write site.yaml into.")] = Path("site"),
    name: Annotated[str, typer.Option(help="Name of the site (Chinese).")] = "",
    name_en: Annotated[str, typer.Option(help="English name.")] = "",
    site_id: Annotated[str, typer.Option("--id", help="Short id of the site.")] = "",
    enterprise: Annotated[str, typer.Option(help="Short id of the enterprise.")] = "",
    connector: Annotated[str, typer.Option(help="mqtt, opcua, modbus, hj212 or none.")] = "",
    endpoint: Annotated[str, typer.Option(help="HOST:PORT, for opcua a URL.")] = "",
    tier: Annotated[str, typer.Option(help="enterprise, park, county, city, province or nation.")] = "enterprise",
    timezone: Annotated[str, typer.Option(help="Time zone of the site.")] = "Asia/Shanghai",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a site file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask a few questions and write a site that passes its check and runs.

    Example: anlan init donggang   anlan init donggang --yes --connector opcua --endpoint opc.tcp://10.0.0.5:4840
    """
    with failing(as_json):
        from anlan.plant.starter import CONNECTORS, Answers, refuse_existing, slug, write_site

        refuse_existing(folder, force=force)
        base = Answers()
        ask = not (yes or as_json)
        name = name or (_ask("站点名称 name of the site", base.name) if ask else base.name)
        name_en = name_en or (name if name.isascii() else base.name_en)
        usual = slug(name_en) or base.id
        site_id = site_id or (_ask("站点标识 short id (a-z, 0-9, -)", usual, _is_id) if ask else usual)
        enterprise = enterprise or (
            _ask("企业标识 id of the enterprise", base.enterprise, _is_id) if ask else base.enterprise
        )
        if not connector:
            question = "设备接入 how do devices connect: mqtt, opcua, modbus, hj212, none"
            connector = _ask(question, base.connector, lambda text: text in CONNECTORS) if ask else base.connector
            if ask and connector != "none":
                question = "地址 address (HOST:PORT, opc.tcp://…), 回车用默认 Enter for the usual"
                endpoint = endpoint or _ask(question, "", lambda text: not text or ":" in text)
        answers = Answers(
            name=name,
            name_en=name_en,
            id=site_id,
            enterprise=enterprise,
            tier=tier,
            timezone=timezone,
            connector=connector,
            endpoint=endpoint,
        )
        file, document = write_site(folder, answers, force=force)
        result = {"file": str(file), "points": len(list(document.points())), "answers": answers}
        emit(result, as_json, lambda: _next_steps(file))


def _ask(question: str, default: str, fits: Callable[[str], bool] = bool) -> str:
    """Ask until the answer fits; Enter takes the default."""

    def taken(text: str) -> str:
        if text.strip() != default and not fits(text.strip()):
            raise typer.BadParameter(f"{text!r}: 不适用,请重新输入 does not fit, once more")
        return text.strip()

    answer: str = typer.prompt(question, default=default, show_default=bool(default), value_proc=taken)
    return answer


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[^\W_][\w-]*", text) is not None


def _next_steps(file: Path) -> None:
    typer.echo(f"已写入 written: {file}")
    typer.echo(f"检查 check:  anlan check {file.parent}")
    typer.echo(f"运行 run:    anlan serve --site {file.parent}")


# --- Excel ----------------------------------------------------------------------------------------------------------


def points_export(site: SiteArgument, book: BookArgument, as_json: JsonOption = False) -> None:
    """Write the point list as an Excel workbook.

    Example: anlan plant points-export donggang/ points.xlsx
    """
    with failing(as_json):
        from anlan.plant.excel import export_points
        from anlan.plant.site_file import load

        count = export_points(load(site), book)
        emit({"file": str(book), "points": count}, as_json, lambda: typer.echo(f"{count} 测点 points → {book}"))


def alarms_export(site: SiteArgument, book: BookArgument, as_json: JsonOption = False) -> None:
    """Write the alarm list as an Excel workbook.

    Example: anlan plant alarms-export donggang/ alarms.xlsx
    """
    with failing(as_json):
        from anlan.plant.excel import export_alarms
        from anlan.plant.site_file import load

        count = export_alarms(load(site), book)
        emit({"file": str(book), "alarms": count}, as_json, lambda: typer.echo(f"{count} 报警 alarms → {book}"))


ApplyOption = Annotated[bool, typer.Option("--apply", help="Edit the site's files now.")]
ProposeOption = Annotated[
    str, typer.Option("--propose", help="Propose the change to the running node, for this reason.")
]
DataOption = Annotated[Path | None, typer.Option("--data", help="Data directory of the running node, for --propose.")]


def points_import(
    site: SiteArgument,
    book: BookArgument,
    apply: ApplyOption = False,
    propose: ProposeOption = "",
    remove_missing: Annotated[bool, typer.Option(help="Also remove points that the list does not have.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a point list and show what would change; --propose has it reviewed, --apply writes the files.

    Example: anlan plant points-import donggang/ points.xlsx --propose "HAZOP 2026-3"
    """
    with failing(as_json):
        from anlan.plant.excel import import_points
        from anlan.plant.site_file import load

        document = load(site)
        _take(site, import_points(document, book, remove_missing=remove_missing), apply, propose, data, as_json)


def alarms_import(
    site: SiteArgument,
    book: BookArgument,
    apply: ApplyOption = False,
    propose: ProposeOption = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read an alarm list and show what would change; --propose has it reviewed, --apply writes the files.

    Example: anlan plant alarms-import donggang/ alarms.xlsx --apply
    """
    with failing(as_json):
        from anlan.plant.excel import import_alarms
        from anlan.plant.site_file import load

        _take(site, import_alarms(load(site), book), apply, propose, data, as_json)


def _take(site: Path, edits: tuple[Edit, ...], apply: bool, propose: str, data: Path | None, as_json: bool) -> None:
    """Show, propose or apply edits."""
    from anlan.plant.editor import SiteEditor
    from anlan.plant.site_file import load

    editor = SiteEditor(load(site))
    done = editor.apply(edits)
    editor.verify()
    diff = editor.diff()
    result: dict[str, Any] = {"edits": done, "diff": diff, "safety": editor.safety, "applied": False, "proposed": ""}
    if diff and propose:
        result["proposed"] = _propose(edits, propose, data)
    elif diff and apply:
        editor.write()
        result["applied"] = True
    emit(result, as_json, lambda: _show_change(result))


def _show_change(result: dict[str, Any]) -> None:
    if not result["diff"]:
        typer.echo("没有变化 nothing changes")
        return
    for line in result["diff"].splitlines():
        colour = {"+": typer.colors.GREEN, "-": typer.colors.RED}.get(line[:1])
        typer.secho(line, fg=colour)
    if result["safety"]:
        typer.secho(
            "涉及安全测点 concerns safety points: 需安全经理批准 a safety manager approves it", fg=typer.colors.YELLOW
        )
    if result["proposed"]:
        typer.echo(f"已提交变更 proposed as change {result['proposed']}: 由他人批准 another person approves it")
    elif result["applied"]:
        typer.echo("已写入 written")
    else:
        typer.echo("未写入 nothing written: --propose REASON 或 or --apply")


def _propose(edits: tuple[Edit, ...], reason: str, data: Path | None) -> str:
    """Propose edits to the running node as the person at this machine; somebody else must approve."""
    import getpass

    from anlan.core.actor import Actor, Grant, Role
    from anlan.plant.registers.client import RegistersClient
    from anlan.store.fabric.session import ask_node

    user = f"local:{getpass.getuser()}"

    async def ask(fabric: Fabric) -> str:
        actor = Actor(user, user, (Grant(Role.ADMINISTRATOR),))
        return (await RegistersClient(fabric).propose_change(actor, edits, reason)).id

    return ask_node(ask, data, name="plant")
