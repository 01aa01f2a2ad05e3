"""Edits of site files keep comments and layout, change nothing else, and are checked before they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from anlan.core.errors import ConflictError, InvalidInputError, NotFoundError
from anlan.plant.editor import SiteEditor, edit_files
from anlan.plant.findings import SiteFileError
from anlan.plant.registers.model import Edit
from anlan.plant.site_file import load

SITE = """\
# 东港 site
site: {id: donggang, name: "东港"}   # kept in version control
enterprises:
  - id: e
    areas:
      - id: a
        units:
          - id: u
            points:
              # the vessel's own transmitter
              - {id: p, kind: pressure, limits: {HH: 1.90, H: 1.70}, on_delay: 2 s}   # HAZOP node 4
              - id: gas
                kind: toxic-gas
                safety: true
                limits: {H: 10}
"""


def site(folder: Path, text: str = SITE) -> Path:
    path = folder / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_limit_changes_one_line_and_nothing_else(tmp_path: Path) -> None:
    path = site(tmp_path)
    diff, written = edit_files(path, [Edit("set", "e/a/u/p", "limits.HH", value=1.8)])
    assert path.read_text() == SITE.replace("1.90", "1.8").replace("s}   # HAZOP", "s}    # HAZOP")
    assert written == [path]
    assert [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-              - {id: p, kind: pressure, limits: {HH: 1.90, H: 1.70}, on_delay: 2 s}   # HAZOP node 4",
        "+              - {id: p, kind: pressure, limits: {HH: 1.8, H: 1.70}, on_delay: 2 s}    # HAZOP node 4",
    ]


def test_a_key_can_be_taken_away_and_a_new_one_added(tmp_path: Path) -> None:
    path = site(tmp_path)
    edits = [Edit("set", "e/a/u/p", "on_delay"), Edit("set", "e/a/u/p", "calibration.expires", value="2030-01-01")]
    edit_files(path, edits)
    assert (
        "{id: p, kind: pressure, limits: {HH: 1.90, H: 1.70}, calibration: {expires: '2030-01-01'}}" in path.read_text()
    )


def test_an_alarm_gets_a_long_form(tmp_path: Path) -> None:
    path = site(tmp_path)
    edit_files(
        path,
        [
            Edit("set", "e/a/u/p", "action", alarm="HH", value="停进料"),
            Edit("set", "e/a/u/p", "latched", alarm="HH", value=True),
        ],
    )
    part = next(iter(load(path).points())).part
    assert (part.alarms[0].kind, part.alarms[0].action, part.alarms[0].latched) == ("HH", "停进料", True)
    assert "# HAZOP node 4" in path.read_text()


def test_points_are_added_and_removed(tmp_path: Path) -> None:
    path = site(tmp_path)
    editor = SiteEditor(load(path))
    done = editor.apply([Edit("add", "e/a/u", value={"id": "t", "kind": "temperature"}), Edit("remove", "e/a/u/p")])
    editor.verify()
    editor.write()
    assert [placed.path for placed in load(path).points()] == ["e/a/u/gas", "e/a/u/t"]
    assert done[1].before["limits"] == {"HH": 1.9, "H": 1.7}
    assert "safety: true" in path.read_text()


def test_a_change_that_would_break_the_site_is_refused_and_nothing_written(tmp_path: Path) -> None:
    path = site(tmp_path)
    with pytest.raises(SiteFileError, match="wrong order"):
        edit_files(path, [Edit("set", "e/a/u/p", "limits.HH", value=1.5)])
    assert path.read_text() == SITE


def test_a_change_based_on_an_old_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match=r"1\.9"):
        edit_files(site(tmp_path), [Edit("set", "e/a/u/p", "limits.HH", value=1.8, before=1.85)])


def test_a_shared_anchor_is_not_changed_unseen(tmp_path: Path) -> None:
    text = SITE.replace("limits: {HH: 1.90, H: 1.70}", "limits: &l {HH: 1.90, H: 1.70}").replace(
        "limits: {H: 10}", "limits: *l"
    )
    with pytest.raises(ConflictError, match="also change e/a/u/gas"):
        edit_files(site(tmp_path, text), [Edit("set", "e/a/u/p", "limits.HH", value=1.8)])


@pytest.mark.parametrize("step", [2, 4])
@pytest.mark.parametrize("offset", [0, 2, 4])
def test_keeps_the_indentation_of_a_file(tmp_path: Path, step: int, offset: int) -> None:
    lines, column = ["site:", " " * step + "id: s", "enterprises:"], 0
    for branch in ("areas:", "units:", "points:"):
        column += offset
        lines += [" " * column + "- id: x", " " * (column + 2) + branch]
        column += 2
    column += offset
    lines += [" " * column + "- id: p", " " * (column + 2) + "limits:", " " * (column + 2 + step) + "HH: 3", ""]
    path = site(tmp_path, "\n".join(lines))
    edit_files(path, [Edit("set", "x/x/x/p", "limits.HH", value=4)])
    assert path.read_text() == "\n".join(lines).replace("HH: 3", "HH: 4")


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (Edit("set", "e/a/u/x", "limits.HH", value=1), NotFoundError),
        (Edit("set", "e/a/u/p", "id", value="q"), InvalidInputError),
        (Edit("add", "e/a/x", value={"id": "q"}), NotFoundError),
        (Edit("add", "e/a/u", value={"kind": "q"}), InvalidInputError),
        (Edit("rename", "e/a/u/p"), InvalidInputError),
        (Edit("set", "e/a/u/p", "action", alarm="rate"), NotFoundError),
    ],
)
def test_edits_that_make_no_sense_are_named(tmp_path: Path, edit: Edit, error: type[Exception]) -> None:
    with pytest.raises(error):
        edit_files(site(tmp_path), [edit])


def test_knows_a_safety_change(tmp_path: Path) -> None:
    document = load(site(tmp_path))
    for edit, safety in [
        (Edit("set", "e/a/u/gas", "limits.H", value=12), True),
        (Edit("set", "e/a/u/p", "limits.H", value=1.6), False),
        (Edit("set", "e/a/u/p", "safety", value=True), True),
        (Edit("set", "e/a/u/gas", "safety", value=False), True),
        (Edit("remove", "e/a/u/gas"), True),
        (Edit("add", "e/a/u", value={"id": "g2", "kind": "toxic-gas", "safety": True}), True),
    ]:
        editor = SiteEditor(document)
        editor.apply([edit])
        editor.verify()
        assert editor.safety is safety, edit


def test_edits_the_file_that_holds_the_point(tmp_path: Path) -> None:
    site(tmp_path)
    more = "enterprises:\n- id: e\n  areas:\n  - id: a\n    units:\n    - id: u\n"
    more += "      points: [{id: level, kind: level}]\n"
    (tmp_path / "more.yaml").write_text(more)
    diff, written = edit_files(tmp_path, [Edit("set", "e/a/u/level", "limits.H", value=90)])
    assert written == [tmp_path / "more.yaml"]
    assert (tmp_path / "more.yaml").read_text() == more.replace("kind: level}", "kind: level, limits: {H: 90}}")
    assert "b/more.yaml" in diff


MIXED = """\
site: {id: s}
enterprises:
      - id: e      # odd indentation
        areas:
          - id: a
            units:
            - id: u
              points:
              - {id: flat, kind: pressure, limits: {H: 2}}    # kept
              # about the next one
              -   id: deep
                  kind: pressure
                  limits:
                      HH: 3     # from the manual
                      H: 2

                  alarms:
                    - kind: HH
                      action: >
                          stop
                          feed
              - {id: last}
            - id: v
              points: [{id: inline}, {id: other}]
"""


@pytest.mark.parametrize(
    ("edit", "old", "new"),
    [
        (Edit("set", "e/a/u/flat", "limits.H", value=1), "{H: 2}}    # kept", "{H: 1}}    # kept"),
        (Edit("set", "e/a/u/deep", "limits.HH", value=4), "HH: 3 ", "HH: 4 "),
        (Edit("set", "e/a/u/deep", "latched", "HH", True), "feed\n", "feed\n                      latched: true\n"),
        (Edit("remove", "e/a/u/last"), "              - {id: last}\n", ""),
        (Edit("add", "e/a/u", value={"id": "n"}), "- {id: last}\n", "- {id: last}\n              - {id: n}\n"),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_file_of_any_layout_stays_to_the_letter(tmp_path: Path, edit: Edit, old: str, new: str, ending: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(MIXED.replace("\n", ending).encode())
    edit_files(path, [edit])
    assert path.read_bytes().decode().replace("\r\n", "\n") == MIXED.replace(old, new)
    assert path.read_bytes().count(b"\r\n") == (path.read_bytes().count(b"\n") if ending == "\r\n" else 0)


def test_points_without_lines_of_their_own_are_edited_too(tmp_path: Path) -> None:
    path = site(tmp_path, MIXED)
    edits = [Edit("set", "e/a/u/flat", "limits.H", value=1), Edit("set", "e/a/v/inline", "limits.H", value=5)]
    edits += [Edit("add", "e/a/v", value={"id": "n"}), Edit("remove", "e/a/v/other")]
    edit_files(path, edits)
    parts = {placed.path: placed.part for placed in load(path).points()}
    assert parts["e/a/u/flat"].limits == {"H": 1}
    assert parts["e/a/v/inline"].limits == {"H": 5}
    assert set(parts) == {"e/a/u/flat", "e/a/u/deep", "e/a/u/last", "e/a/v/inline", "e/a/v/n"}
    assert "# from the manual" in path.read_text()


def test_several_edits_of_one_point_come_together(tmp_path: Path) -> None:
    path = site(tmp_path, MIXED)
    edits = [Edit("set", "e/a/u/last", "kind", value="level"), Edit("set", "e/a/u/last", "limits.H", value=90)]
    edits += [Edit("add", "e/a/u", value={"id": "n", "states": {"0": "停"}, "kind": "state"})]
    edit_files(path, edits)
    text = "- {id: last, kind: level, limits: {H: 90}}\n              - {id: n, states: {0: 停}, kind: state}"
    assert path.read_text() == MIXED.replace("- {id: last}", text)
