"""`python -m membench` → the command line."""

import sys

from membench.cli import main

if __name__ == "__main__":
    sys.exit(main())
