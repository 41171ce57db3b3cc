"""`python -m sim` is `weave sim`, from a checkout that is not installed."""

from __future__ import annotations

import sys

from sim.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
