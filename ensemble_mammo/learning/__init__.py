"""Networks, their training and their maps: torch and timm, no DICOM."""

import os

# Before torch is loaded: its threads then sleep where they wait for each other. By default they spin, and one
# other busy process on the same cores makes a step up to three hundred times slower (1.8 s instead of 6 ms).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
