"""The command line with a folder `--out` of each process's own: `python -m tests.stages.apart OUT train …`."""

import os
import sys

from ensemble_mammo.cli import main

if __name__ == "__main__":
    out = sys.argv.pop(1)
    sys.argv += ["--out", f"{out}-{os.environ['RANK']}"]
    main()
