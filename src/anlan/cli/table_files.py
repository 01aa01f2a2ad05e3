"""Files of tables as Arrow tables: Parquet as it is, CSV with every cell as text, and tables written back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from anlan.core.errors import InvalidInputError

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv", ".txt")

_SEPARATORS = (",", ";", "\t", "|")
_NAMED_ROWS = 3


def suffix_of(path: Path) -> str:
    """Return ``.parquet`` or ``.csv`` by the file's name.

    Raises:
        InvalidInputError: it is neither.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-2] if len(suffixes) > 1 and suffixes[-1] == ".gz" else (suffixes or [""])[-1]
    if last in PARQUET:
        return ".parquet"
    if last in CSV:
        return ".csv"
    raise InvalidInputError("the kind of this file is not known", where=str(path), fix="a name ending .parquet or .csv")


def read_file(path: Path, notes: list[str]) -> pa.Table:
    """Return the whole file as an Arrow table.

    Args:
        path: Parquet or CSV.
        notes: takes what was left out, such as lines with too few fields.

    Raises:
        InvalidInputError: it cannot be read, or a column name is empty or twice there.
    """
    if not path.exists():
        raise InvalidInputError("there is no such file", where=str(path), fix="give the path of a Parquet or CSV file")
    try:
        raw = pyarrow.parquet.read_table(path) if suffix_of(path) == ".parquet" else _read_csv(path, notes)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        text = str(error).splitlines()[0]
        raise InvalidInputError(
            f"the file cannot be read: {text}", where=str(path), fix="a whole Parquet or CSV file"
        ) from error
    twice = sorted({name for name in raw.column_names if raw.column_names.count(name) > 1})
    if twice:
        raise InvalidInputError(
            f"the column {twice[0]} stands there twice", where=str(path), fix="give each column a name of its own"
        )
    return raw


def _read_csv(path: Path, notes: list[str]) -> pa.Table:
    encoding, header = _first_line(path)
    if not header.strip():
        raise InvalidInputError("the file is empty", where=str(path), fix="a first line with the names of the columns")
    separator = max(_SEPARATORS, key=header.count)
    names = [name.strip().strip('"') for name in header.split(separator)]
    if all(_is_number(name) for name in names):
        raise InvalidInputError(
            "the first line holds numbers, not names",
            where=f"{path}, row 1",
            fix="put the column names in the first line",
        )
    if encoding != "utf8":
        notes.append(f"the text was read as {encoding}")
    skipped: list[Any] = []

    def skip(row: Any) -> str:
        skipped.append(row)
        return "skip"

    parsed = pyarrow.csv.read_csv(
        path,
        # One thread: only then does a bad line know its number.
        read_options=pyarrow.csv.ReadOptions(encoding=encoding, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator, invalid_row_handler=skip),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    if skipped:
        first = skipped[0]
        notes.append(
            f"{len(skipped)} lines were left out: they have another number of fields than the header "
            f"(line {', '.join(str(row.number) for row in skipped[:_NAMED_ROWS])}: {first.actual_columns} instead of "
            f"{first.expected_columns})"
        )
    return _decimal_points(parsed.rename_columns([name.strip() for name in parsed.column_names]), separator)


def _decimal_points(raw: pa.Table, separator: str) -> pa.Table:
    """Return the table with decimal commas made points, where the separator leaves the comma free."""
    if separator == ",":
        return raw
    columns = []
    for column in raw.columns:
        text = column.cast(pa.string())
        columns.append(pa.compute.replace_substring_regex(text, r"^(\s*[+-]?\d+),(\d+(?:[eE][+-]?\d+)?\s*)$", r"\1.\2"))
    return pa.table(columns, names=raw.column_names)


def _first_line(path: Path) -> tuple[str, str]:
    with pa.input_stream(str(path), compression="detect") as stream:
        start = stream.read(1 << 16)
    for encoding in ("utf8", "gb18030"):
        try:
            # The last bytes may cut a character in two.
            text = start.decode(encoding, errors="strict" if len(start) < 1 << 16 else "ignore")
        except UnicodeDecodeError:
            continue
        return encoding, text.lstrip("\ufeff").splitlines()[0] if text.strip() else ""
    return "latin1", start.decode("latin1").splitlines()[0]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write_file(path: Path, columns: dict[str, Any]) -> None:
    """Write columns as Parquet or CSV by the file's suffix.

    Raises:
        InvalidInputError: the suffix is neither.
    """
    kind = suffix_of(path)
    made = pa.table(columns)
    if kind == ".parquet":
        pyarrow.parquet.write_table(made, path)
    else:
        pyarrow.csv.write_csv(made, path, pyarrow.csv.WriteOptions(quoting_style="needed"))
