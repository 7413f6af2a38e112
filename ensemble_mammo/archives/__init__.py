"""What releases and folders look like; each kind yields image records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ensemble_mammo.archives.dicom import list_dicom
from ensemble_mammo.archives.folders import list_folders
from ensemble_mammo.archives.inbreast import list_inbreast
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.records.archive import Listing
from ensemble_mammo.records.preparation import Preparation


@dataclass(frozen=True)
class Kind:
    """A kind of archive that `prepare` knows."""

    listing: Callable[[Path, ArchiveOptions], Listing]
    "what lists it"
    what: str
    "what it expects, in a few words"
    preparation: Preparation = Preparation()  # noqa: RUF009 - frozen
    "what is done to its pixels unless the user says otherwise"


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "folders": Kind(list_folders, "class folders, <VIEW>/[<split>/]<CLASS>/*"),
        "dicom": Kind(list_dicom, "any tree of DICOM files or images, with a labels CSV"),
        "inbreast": Kind(list_inbreast, "INbreast: images and INbreast.csv, lesions from XML or JSON"),
    }
)
"""Every kind of archive by the name that `prepare` takes."""
