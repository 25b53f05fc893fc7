"""Run the command as ``python -m napari_unet.cli``."""

from __future__ import annotations

import sys

from napari_unet.cli import main

if __name__ == "__main__":
    sys.exit(main())
