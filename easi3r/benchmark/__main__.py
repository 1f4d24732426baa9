"""python -m easi3r.benchmark NAME [...]"""

import importlib
import sys

NAMES = ("geometry", "examples", "size", "background", "rendered", "alignment", "network", "recurrent", "long")


def main(argv: list[str]) -> int:
    """Run the benchmark that is named first; the rest of the line is for it."""
    if not argv or argv[0] not in NAMES:
        print(f"usage: python -m easi3r.benchmark {{{','.join(NAMES)}}} [-h]", file=sys.stderr)
        return 2
    return importlib.import_module(f"easi3r.benchmark.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
