"""``python -m polyvec`` is the command line."""

import sys

from polyvec.cli import main

sys.exit(main())
