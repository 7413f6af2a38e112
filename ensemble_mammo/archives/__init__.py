"""What releases and folders look like; each kind yields image records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ensemble_mammo.archives.cbis_ddsm import list_cbis_ddsm
from ensemble_mammo.archives.coco import list_coco
from ensemble_mammo.archives.ddsm import DDSM_PREPARATION, list_ddsm
from ensemble_mammo.archives.dicom import list_dicom
from ensemble_mammo.archives.folders import list_folders
from ensemble_mammo.archives.inbreast import list_inbreast
from ensemble_mammo.archives.manifest import list_manifest
from ensemble_mammo.archives.mini_mias import list_mini_mias
from ensemble_mammo.archives.options import ArchiveOptions
from ensemble_mammo.archives.rsna import list_rsna
from ensemble_mammo.archives.vindr import list_vindr
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
        "cbis-ddsm": Kind(list_cbis_ddsm, "CBIS-DDSM: its CSVs and its DICOM tree", Preparation(width=896)),
        "coco": Kind(
            list_coco, "images with a COCO file; a labels CSV, or the CBIS tables", Preparation(polarity="auto")
        ),
        "mini-mias": Kind(list_mini_mias, "mini-MIAS: mdbNNN images and Info.txt; lesions are circles"),
        "ddsm": Kind(list_ddsm, "DDSM converted to PNG, TIFF or PGM, .ics and .OVERLAY where there", DDSM_PREPARATION),
        "manifest": Kind(list_manifest, "a CSV (file, subject_id, view, a column a task), lesions.csv beside it"),
        "rsna": Kind(list_rsna, "RSNA screening: <patient>/<image> and train.csv", Preparation(polarity="auto")),
        "vindr": Kind(list_vindr, "VinDr-Mammo: images/<study>/<image>.dicom and its two annotation tables"),
    }
)
"""Every kind of archive by the name that `prepare` takes."""
