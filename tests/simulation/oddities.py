"""What is rarer than trouble, each with a weight: Pods with fields that nobody can read, strangers, and a backup that
brings back what was being deleted.

Acts on the world only. Does not know what the collectors make of it.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ssh_session_gc.sandbox import World
from ssh_session_gc.sandbox.api.objects import PODS, Change, Object, copied
from ssh_session_gc.sandbox.api.refusals import Refusal

SESSIONS, OWNERS = "ssh-sessions", "containerssh"


class Oddities:
    """Writes what hardly anybody writes."""

    def __init__(self, rng: random.Random, world: World) -> None:
        self._rng, self._world = rng, world
        self._backups: dict[str, Object] = {}
        """The last state of each session Pod, by uid, in which nobody had deleted it."""
        world.store.subscribe(self._back_up)

    def weights(self) -> dict[Callable[[], Any], float]:
        """Everything that may happen, and how often in proportion."""
        return {self.write_an_unreadable_field: 1, self.make_a_stranger: 0.5, self.restore: 2}

    def write_an_unreadable_field(self) -> None:
        """Somebody's patch writes a time that is none into a session's Pod, as an API server lets everybody do."""
        time = self._rng.choice(["0000-01-01T00:00:00Z", "0000-02-30T00:00:00Z"])
        entry = {"manager": "x", "operation": "Update", "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1"}
        name = self._rng.choice(self._world.live()).name
        self._world.store.update(PODS, SESSIONS, name, lambda pod: pod["metadata"].update(managedFields=[entry]))

    def make_a_stranger(self) -> None:
        """A Pod of somebody else's is beside ContainerSSH's, and cannot be read at all."""
        spec = {"containers": [{"name": "x", "image": "y"}]}
        made = self._world.store.create(
            PODS, OWNERS, {"metadata": {"generateName": "stranger-", "labels": {"x": "y"}}, "spec": spec}
        )
        odd = copied(made)
        odd["metadata"]["creationTimestamp"] = "yesterday"
        self._world.store.put_raw("MODIFIED", PODS, odd, rv=self._world.store.rv + 1)

    def restore(self) -> None:
        """etcd is restored from a backup while a session is being deleted: it knows nothing of that any more."""
        dying = [
            pod
            for pod in self._world.store.list(PODS, SESSIONS)
            if "deletionTimestamp" in pod["metadata"] and pod["metadata"]["uid"] in self._backups
        ]
        pod = copied(self._backups[self._rng.choice(dying)["metadata"]["uid"]])
        with suppress(Refusal):
            self._world.store.put_raw("MODIFIED", PODS, pod, rv=self._world.store.rv + 1)
        self._world.compact()
        self._world.faults.expire_watches()

    def _back_up(self, change: Change) -> None:
        metadata = change.object["metadata"]
        if change.resource is not PODS or metadata["namespace"] != SESSIONS:
            return
        if change.type == "DELETED":
            self._backups.pop(metadata["uid"], None)
        elif "deletionTimestamp" not in metadata:
            self._backups[metadata["uid"]] = copied(change.object)
