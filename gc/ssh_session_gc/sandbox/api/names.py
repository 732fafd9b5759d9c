"""The names and uids that the server gives to new objects, repeatable by their seed."""

import random
import uuid
from collections.abc import Callable

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Names:
    """Draws names and uids from one source of chance."""

    def __init__(self, rng: random.Random) -> None:
        self._rng, self._seed = rng, rng.getrandbits(64)
        self._prefixes = dict[str, random.Random]()

    def uid(self) -> str:
        """The next object's uid."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def generate(self, prefix: str, taken: Callable[[str], bool]) -> str:
        """A name for this generateName that is not taken."""
        # Each prefix draws for itself, since what else is created in between depends on the timing.
        rng = self._prefixes.setdefault(prefix, random.Random(f"{self._seed} {prefix}"))  # noqa: S311
        while True:  # an API server too tries again when the name is taken, since 1.30
            name = prefix + "".join(rng.choices(_ALPHABET, k=5))
            if not taken(name):
                return name
