"""`python -m easi3r.evaluate SET --data DIR` is the command `easi3r evaluate SET --data DIR`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
