"""``make bench``."""

import sys

if __name__ == "__main__":
    # The import is here, as processes that are started from here import this module again.
    from tests.bench.harness import main

    sys.exit(main())
