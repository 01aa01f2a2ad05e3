"""``anlan bench …`` and ``anlan chaos``: the figures of the README, one command each. They need a checkout."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from anlan.core.errors import UnavailableError
from anlan.core.output import JsonOption, emit, failing

ROOT = Path(__file__).resolve().parents[3]

QuickOption = Annotated[bool, typer.Option("--quick", help="A short run: figures are rougher.")]


def load_benchmark(name: str) -> ModuleType:
    """Return the module ``benchmarks/NAME.py`` of this checkout.

    Raises:
        UnavailableError: Anlan is installed without its benchmarks.
    """
    path = ROOT / "benchmarks" / f"{name}.py"
    if not path.exists():
        raise UnavailableError("the benchmarks are not installed", where=str(path), fix="run this from a checkout")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    spec = importlib.util.spec_from_file_location(f"benchmarks.{name}", path)
    if spec is None or spec.loader is None:
        raise UnavailableError("the benchmark cannot be loaded", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _progress(as_json: bool) -> Callable[[str], None]:
    return lambda line: typer.echo(line, err=True) if not as_json else None


def _print_tree(result: dict[str, Any], indent: int = 0) -> None:
    for key, value in result.items():
        if isinstance(value, dict):
            typer.echo(f"{'  ' * indent}{key}:")
            _print_tree(value, indent + 1)
        else:
            shown = f"{value:,.4g}" if isinstance(value, float) else value
            typer.echo(f"{'  ' * indent}{key}: {shown}")


def _run(name: str, quick: bool, as_json: bool, **options: Any) -> None:
    with failing(as_json):
        result = load_benchmark(name).run(quick=quick, progress=_progress(as_json), **options)
        emit(result, as_json, lambda: _print_tree(result))
        if result.get("ok") is False:
            raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the benchmark commands."""
    bench = typer.Typer(help="Measure what the README's figures say, peers in the same run.", no_args_is_help=True)
    app.add_typer(bench, name="bench")

    @bench.command()
    def live(quick: QuickOption = False, as_json: JsonOption = False) -> None:
        """Samples/s durable, stored and evaluated, beside the bare log; alarm latency; flood; overload.

        Example: anlan bench live --quick --json
        """
        _run("live", quick, as_json)

    @bench.command()
    def historian(quick: QuickOption = False, as_json: JsonOption = False) -> None:
        """Ingest rate, bytes a sample and query times of the historian. Example: anlan bench historian."""
        _run("historian", quick, as_json)

    @bench.command()
    def peers(quick: QuickOption = False, as_json: JsonOption = False) -> None:
        """The same alarm work in Node-RED and vmalert as ratios. Example: anlan bench peers."""
        _run("peers", quick, as_json)

    @bench.command()
    def alarms(quick: QuickOption = False, as_json: JsonOption = False) -> None:
        """The alarm kernel beside its plain reference. Example: anlan bench alarms."""
        _run("alarms", quick, as_json)

    @bench.command()
    def gateway(quick: QuickOption = False, as_json: JsonOption = False) -> None:
        """Acknowledged samples/s through the MQTT listener. Example: anlan bench gateway."""
        _run("gateway", quick, as_json)

    @bench.command()
    def warn(quick: QuickOption = False, as_json: JsonOption = False) -> None:
        """Steps and samples/s of the engine of warnings, cost of each member. Example: anlan bench warn."""
        _run("warn", quick, as_json)

    @bench.command("warn-park")
    def warn_park(
        seeds: Annotated[int, typer.Option(help="Runs with four slow faults each.")] = 20,
        days: Annotated[float, typer.Option(help="Days of normal running.")] = 2.0,
        quick: QuickOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """Slow faults of the virtual park warned of before their alarms, and false warnings on normal days.

        Example: anlan bench warn-park --seeds 5 --days 0.5
        """
        _run("warn_park", quick, as_json, seeds=seeds, days=days)

    @app.command()
    def chaos(
        kills: Annotated[int, typer.Option(help="How many kill -9 at random moments.")] = 100,
        seed: Annotated[int, typer.Option(help="Seed of what is killed when.")] = 1,
        quick: QuickOption = False,
        as_json: JsonOption = False,
    ) -> None:
        """Kill parts of a loaded node at random and prove that nothing acknowledged is lost and no alarm rings twice.

        Example: anlan chaos --kills 20 --json
        """
        _run("chaos", quick, as_json, kills=kills, seed=seed)
