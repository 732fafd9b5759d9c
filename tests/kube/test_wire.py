"""The wire format: everything that was recorded of a real cluster can be read."""

import json
from pathlib import Path
from typing import Any

import pytest

from ssh_session_gc.kube.decoder import Decoder
from tests.builders import PODS, WORKLOADS

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"


@pytest.mark.parametrize("recording", sorted(RECORDINGS.glob("*.jsonl")), ids=lambda p: p.stem)
def test_everything_recorded_can_be_read(recording: Path) -> None:
    for line in recording.read_text().splitlines():
        entry = json.loads(line)
        decoder: Decoder[Any] = WORKLOADS if entry.get("stream") == "deployment" else PODS
        if "list" in entry:
            page = decoder.page(json.dumps(entry["list"]).encode())
            assert page.resource_version == entry["list"]["metadata"]["resourceVersion"]
            assert (len(page.items), page.broken) == (len(entry["list"]["items"]), [])
        elif "event" in entry:
            event = decoder.event(json.dumps(entry["event"]).encode())
            assert event.resource_version == entry["event"]["object"]["metadata"]["resourceVersion"]
            assert (event.object is None) == (event.type == "BOOKMARK")
            assert not event.broken
