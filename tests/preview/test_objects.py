"""The objects in a file: every form that kubectl prints, and files that are no dump."""

import asyncio
import json
import re
from pathlib import Path

import pytest
import yaml

from ssh_session_gc.core.model import Action, Reason
from ssh_session_gc.preview.snapshot import CannotRead
from ssh_session_gc.sandbox import Replay
from tests import tools
from tests.preview.crash import CRASH, DEPLOYMENT, OBJECTS, OWNERS, SESSIONS, changed, plan_file, planned, text, told
from tests.preview.dumps import RECORDINGS, instant, listed
from tests.support import advance


@pytest.mark.parametrize("form", ["json", "yaml"])
async def test_what_kubectl_prints(form: str, tmp_path: Path) -> None:
    async with Replay(RECORDINGS / "crash.jsonl") as replay:
        await advance(instant("03:10:30") - replay.store.now())
        process = await asyncio.create_subprocess_exec(
            tools.kubectl(),
            *(f"--server={replay.server.url}", "get", "pods,deployments", "-A", "-o", form),
            stdout=asyncio.subprocess.PIPE,
            env={"HOME": str(tmp_path), "KUBECONFIG": "/dev/null"},
        )
        data, _ = await process.communicate()
        assert process.returncode == 0
        assert told(planned(data)) == told(planned(json.dumps(listed(replay.store)).encode()))
        assert told(planned(data))["bob"] == (Action.COLLECT, Reason.OWNERLESS, instant("03:10:27"))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("\n".join(json.dumps(each) for each in OBJECTS).encode(), id="one JSON a line"),
        pytest.param(b" \n".join(json.dumps(each, indent=4).encode() for each in OBJECTS) + b"\n\n", id="JSONs"),
        pytest.param(text(*SESSIONS) + text(*OWNERS) + text(DEPLOYMENT), id="several lists"),
        pytest.param(
            text(*changed(SESSIONS + OWNERS, "kind", to=None), kind="PodList")
            + text(*changed([DEPLOYMENT], "kind", to=None), kind="DeploymentList"),
            id="typed lists, as --raw prints them",
        ),
        pytest.param(yaml.safe_dump_all(OBJECTS).encode(), id="YAML documents"),
        pytest.param(re.sub(rb"'(\S+Z)'", rb"\1", yaml.safe_dump_all(OBJECTS).encode()), id="YAML with bare dates"),
        pytest.param(text(json.loads(CRASH), {"kind": "Service", "metadata": {"name": "x"}}), id="a list in a list"),
    ],
)
def test_every_form_of_the_same(data: bytes) -> None:
    assert told(planned(data)) == told(planned(CRASH))


POD = {"kind": "Pod", "metadata": {"name": "x"}}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "stdin is empty: print it with `kubectl get"),
        (b"\n \n", "stdin is empty"),
        (b"{", "stdin is broken JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
        (CRASH[:-9], "stdin is broken JSON: "),
        (CRASH + b"]", "stdin is broken JSON: "),
        (b"[" * 100_000, "stdin is broken JSON: "),
        (b"- [", "stdin is neither JSON nor YAML: "),
        (b"a: b: c", "stdin is neither JSON nor YAML: mapping values are not allowed"),
        (b"\x00", "stdin is neither JSON nor YAML: "),
        (b"a: !!python/object:os.system x", "stdin is neither JSON nor YAML: could not determine a constructor"),
        (b"\xff\xfe", "stdin is not text"),
        (b"just words", "document 1 of stdin is no Kubernetes object"),
        (b"[1, 2]", "document 1 of stdin is no Kubernetes object"),
        (b'{"kind": 7}', "document 1 of stdin is no Kubernetes object"),
        (CRASH + b'{"a": 1}', "document 2 of stdin has no kind"),
        (text(7), "an item in document 1 of stdin is no Kubernetes object"),  # type: ignore[arg-type]
        (text(), "stdin holds no Pod: print it"),
        (text({"kind": "Service"}, {"kind": "Secret"}), "stdin holds no Pod (but 1 Service, 1 Secret): print it"),
        (text({"kind": "Pod"}), "stdin: a Pod has no metadata"),
        (text({"kind": "Pod", "metadata": {}}), "has a name, uid or label that cannot be"),
        (text({"kind": "Pod", "metadata": {"name": "x --all"}}), "default/x --all has a name, uid or label"),
        (text(*changed([POD], "metadata", "namespace", to="../x")), "../x/x has a name, uid or label"),
        (text(*changed([POD], "metadata", "uid", to="\u202e")), "default/x has a name, uid or label"),
        (text(*changed([POD], "metadata", "labels", to=[1])), "default/x has a name, uid or label"),
    ],
)
def test_what_is_no_dump(
    data: bytes, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end, _ = plan_file(monkeypatch, capsys, data)
    assert (end.status, end.out) == (1, "")
    assert end.err.count("\n") == 1
    assert end.err.startswith("ssh-session-gc: ")
    assert says in end.err
    assert end.err.rstrip("\n").isprintable()


def test_a_broken_dump_raises_cannot_read_only() -> None:
    with pytest.raises(CannotRead):
        planned(b"{")


@pytest.mark.parametrize(
    "deep", ["a: " + "[" * 100_000, "- " * 100_000 + "x", "x: " + "{a: " * 50_000, "? " * 100_000]
)
def test_what_is_nested_without_end_is_one_line(deep: str) -> None:
    with pytest.raises(CannotRead, match=r"^dump\.json is neither JSON nor YAML: "):
        planned(deep.encode())
