"""``make bench``."""

import sys

if __name__ == "__main__":
    # Only here: processes that are started from here import this module again, and none of the rest.
    from tests.bench.harness import main

    sys.exit(main())
