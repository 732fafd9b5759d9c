"""What ContainerSSH's log and metrics told, of a world and of a recording, in the same form. Holds no tests."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp

from ssh_session_gc.sandbox import TrueSession, World
from tests.sandbox.worlds import container, owner_pods

REAL = Path(__file__).parents[2] / "data" / "recordings" / "real"
LOGIN = ("AUTH", "HTTP_CLIENT")
"""How the codes of the lines about the webhook for logins begin, which the sandbox does not have."""
Told = list[tuple[str, str]]
"""The levels and codes of lines, without repetitions."""
Gauges = list[list[tuple[float, float]]]
"""Of each run of a process, in the order of their starts: its connections, and those that were open."""


def codes(session: TrueSession) -> list[str]:
    """The codes of the lines about the session's connection."""
    return [line["code"] for line in told(session) if line["details"].get("connectionId") == session.connection]


def told(session: TrueSession) -> list[dict[str, Any]]:
    """The lines of JSON that the session's process has logged."""
    return [json.loads(line.text) for line in session.creator.log.lines if line.text.startswith(b"{")]


def recorded(name: str) -> tuple[list[dict[str, Any]], Gauges]:
    """The lines of a recording's logs, and its gauges."""
    entries = [json.loads(line) for line in (REAL / f"{name}.jsonl").read_text().splitlines()]
    lines = [
        each["line"].partition(" ")[2] for each in entries if each.get("stream") == "owner-log" and "line" in each
    ]
    gauges = Samples()
    for each in entries:
        if each.get("stream") == "owner-metrics" and each["status"] == 200:
            gauges.add((each["pod"], each["restartCount"]), each["text"])
    return [json.loads(line) for line in lines], gauges.all()


def by_user(lines: Iterable[dict[str, Any]]) -> dict[str, list[Told]]:
    """What was told of each user's connections, one after the other."""
    users: dict[str, str] = {}
    connections: dict[str, Told] = {}
    for line in lines:
        if (connection := line["details"].get("connectionId")) is not None:
            users.setdefault(connection, "")
            users[connection] = line["details"].get("username") or users[connection]
            entry, before = (line["level"], line["code"]), connections.setdefault(connection, [])
            if before[-1:] != [entry] and not line["code"].startswith(LOGIN):
                before.append(entry)
    return {
        user: [connections[each] for each in users if users[each] == user] for user in dict.fromkeys(users.values())
    }


class Samples:
    """What was scraped, as long as it changed."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, int], list[tuple[float, float]]] = {}

    def add(self, run: tuple[str, int], text: str) -> None:
        """Takes in the metrics of a run of a process."""
        found = {
            name: float(value)
            for name, value in re.findall(r"^containerssh_ssh_(\w+)\{country=\"XX\"\} (\S+)$", text, re.MULTILINE)
        }
        sample = (found.get("connections_total", 0.0), found.get("current_connections", 0.0))
        samples = self._runs.setdefault(run, [])
        if samples[-1:] != [sample]:
            samples.append(sample)

    async def take(self, world: World) -> None:
        """Scrapes all processes of a world. One that refuses to be scraped has no sample."""
        async with aiohttp.ClientSession() as http:
            for pod in owner_pods(world):
                url = f"http://{pod['status'].get('podIP')}:{world.metrics_port}/metrics"
                try:
                    async with http.get(url) as response:
                        text = await response.text()
                except aiohttp.ClientConnectorError:
                    continue
                self.add((pod["metadata"]["name"], container(pod, "containerssh")["restartCount"]), text)

    def all(self) -> Gauges:
        """All samples."""
        return list(self._runs.values())
