"""CSV tables read as text, nothing guessed."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd

from ensemble_mammo.errors import DatasetError


def read_text_table(path: Path, separator: str = ",") -> pd.DataFrame:
    """Read a CSV (UTF-8) in which every cell is text and an empty one is empty text.

    Raises:
        DatasetError: no such file, not a table, or rows with more cells than the header.
    """
    if path.is_dir():
        raise DatasetError(f"{path}: is a folder, expected a CSV file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path, dtype=str, keep_default_na=False, sep=separator, encoding="utf-8-sig", index_col=False
            )
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file") from error
    except pd.errors.ParserWarning as error:
        raise DatasetError(f"{path}: rows have more cells than the header (a {separator!r} at their ends?)") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DatasetError(f"{path} line {line}: is not UTF-8; save the table as UTF-8") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError) as error:
        raise DatasetError(f"{path}: not a table: {error}") from error
