"""python -m ptx.load MODULE.ptx FOLDER: what the stand-in's driver makes of a module, FOLDER/kernels.so."""

from __future__ import annotations

import sys
from pathlib import Path

from ptx.build import make_kernels

if __name__ == "__main__":
    make_kernels([Path(sys.argv[1])], Path(sys.argv[2]), 1)
