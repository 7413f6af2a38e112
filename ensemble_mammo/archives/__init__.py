"""What releases and folders look like; each kind yields image records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from ensemble_mammo.archives.dicom import list_dicom
from ensemble_mammo.archives.folders import list_folders
from ensemble_mammo.archives.inbreast import list_inbreast
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.records.archive import Listing

KINDS: Mapping[str, Callable[[Path, ArchiveOptions], Listing]] = MappingProxyType(
    {"folders": list_folders, "dicom": list_dicom, "inbreast": list_inbreast}
)
"""Every kind of archive that `prepare` knows."""
