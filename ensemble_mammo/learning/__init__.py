"""Networks, their training and their maps: torch and timm, no DICOM."""
