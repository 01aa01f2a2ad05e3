"""Real recordings through the whole live path: rows in = rows stored, and every bit as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parents[2]
SETS = {
    "skab": ("process/skab/skab_experiments.parquet", 8),
    "tep": ("process/tep/tep_test.parquet", 52),
    "nab": ("process/nab/nab_series.parquet", 1),
}


def replay(file: Path, site: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "anlan", "replay", str(file), "--site", str(site), "--json", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


@pytest.mark.timeout(220)
@pytest.mark.parametrize("name", sorted(SETS))
def test_a_real_set_is_stored_bit_exact(name: str, shared_data: Path) -> None:
    relative, columns = SETS[name]
    file = shared_data / relative
    done = replay(file, ROOT / "examples" / name)
    result: dict[str, Any] = json.loads(done.stdout)
    rows = pq.read_metadata(file).num_rows
    assert result["errors"] == []
    assert result["file_rows"] == rows
    assert result["samples_in"] == result["samples_stored"] == rows * columns
    assert result["bit_exact"] is True
    assert sum(result["alarms"].values()) > 0
    assert done.returncode == 0


def test_a_missing_file_is_named() -> None:
    done = replay(Path("nowhere.parquet"), ROOT / "examples" / "skab")
    assert done.returncode == 1
    assert "nowhere.parquet" in json.loads(done.stdout)["error"]["where"]


def test_a_site_without_a_replay_connector_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text("time,a\n2026-01-01T00:00:00,1\n")
    done = replay(file, ROOT / "examples" / "quickstart" / "site.yaml")
    assert done.returncode == 1
    assert "replay" in json.loads(done.stdout)["error"]["title"]
