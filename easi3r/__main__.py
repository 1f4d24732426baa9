"""`python -m easi3r` is the command `easi3r`."""

import sys

from .cli import main

sys.exit(main())
