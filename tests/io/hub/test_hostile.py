"""A hub that means harm: what it says is checked before it is used, and what it sends is limited in bytes and time."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacker.errors import DonorError
from stacker.io.hub import download as downloading
from stacker.io.hub import requests
from stacker.io.hub.repository import open_hub
from tests.donors import write_llama
from tests.hub_server import Fault, HubServer, running_hub

COMMIT = "0" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with one donor, and no pauses between repeated requests."""
    monkeypatch.setattr(requests, "RETRY_PAUSES", (0.0,))
    with running_hub(tmp_path / "home", monkeypatch) as server:
        server.add("org/a", write_llama(tmp_path / "a"))
        yield server


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([], id="a list"),
        pytest.param({}, id="nothing"),
        pytest.param({"sha": 7}, id="a number as commit"),
        pytest.param({"sha": ["0"]}, id="a list as commit"),
        pytest.param({"sha": "../../../escape"}, id="a path as commit"),
        pytest.param({"sha": COMMIT, "siblings": 3}, id="a number of files"),
        pytest.param({"sha": COMMIT, "siblings": [None]}, id="no file"),
        pytest.param({"sha": COMMIT, "siblings": [{"rfilename": 5}]}, id="a number as name"),
        pytest.param({"sha": COMMIT, "siblings": [{"rfilename": "../../x"}]}, id="a path above"),
        pytest.param({"sha": COMMIT, "siblings": [{"rfilename": "/etc/passwd"}]}, id="an absolute path"),
        pytest.param({"sha": COMMIT, "siblings": [{"rfilename": "a\\..\\b"}]}, id="backslashes"),
        pytest.param({"sha": COMMIT, "siblings": [{"rfilename": "\x1b[31m"}]}, id="an escape sequence"),
        pytest.param({"sha": COMMIT, "siblings": [{"rfilename": "config.json", "size": "9"}]}, id="text as size"),
        pytest.param({"sha": COMMIT, "siblings": [{"rfilename": "config.json", "size": -1}]}, id="a negative size"),
        pytest.param({"sha": COMMIT, "siblings": [{"rfilename": "config.json", "size": 1e300}]}, id="a float as size"),
    ],
)
def test_a_strange_listing_is_refused(hub: HubServer, value: Any, tmp_path: Path) -> None:
    """An answer that is not that of a hub is one error, and nothing is written outside of the cache."""
    before = {path for path in tmp_path.rglob("*") if "home" not in path.parts}
    hub.faults.append(Fault("/api/models", status=200, value=value, times=9))
    with pytest.raises(DonorError, match=r"not that of a model hub|not a JSON object") as caught:
        open_hub("org/a", None)
    assert "\x1b" not in str(caught.value)
    assert {path for path in tmp_path.rglob("*") if "home" not in path.parts} == before


@pytest.mark.parametrize("match", ["/api/models", "/stored"], ids=["listing", "header"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_endless_answer_is_cut(hub: HubServer, match: str, status: int) -> None:
    """A body that never ends is read up to a limit, with any status."""
    hub.faults.append(Fault(match, status=status, pause=0, times=9))
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DonorError):
        open_hub("org/a", None).read_header("model.safetensors")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start < 200_000


@pytest.mark.parametrize("match", ["/api/models", "/stored"], ids=["listing", "header"])
def test_a_slow_answer_is_given_up(hub: HubServer, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that comes byte by byte ends after the time that an answer may take."""
    monkeypatch.setattr(requests, "LONGEST_RESPONSE", 0.3)
    hub.faults.append(Fault(match, pause=0.05, times=9))
    start = time.monotonic()
    with pytest.raises(DonorError, match="the hub is too slow"):
        open_hub("org/a", None).read_header("model.safetensors")
    assert time.monotonic() - start < 10


def test_a_long_retry_after_is_not_waited_for(hub: HubServer) -> None:
    """The hub cannot make the program wait as long as it likes."""
    hub.faults.append(Fault("/api/models", status=429, headers={"Retry-After": "100000"}, times=9))
    start = time.monotonic()
    with pytest.raises(DonorError, match="too many requests"):
        open_hub("org/a", None)
    assert time.monotonic() - start < 10


def _fetch(name: str = "config.json") -> Path:
    return open_hub("org/a", None).fetch(name, lambda _: None)


def test_a_download_without_end_is_cut(hub: HubServer, tmp_path: Path) -> None:
    """A file that never ends is given up when it is larger than announced, and does not fill the disk."""
    hub.faults.append(Fault("config.json", pause=0, times=9))
    with pytest.raises(DonorError, match=r"sends more than the \d+ bytes that it has announced"):
        _fetch()
    assert sum(path.stat().st_size for path in (tmp_path / "home").rglob("*") if path.is_file()) < 20_000_000


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"pause": 0.05}, id="byte by byte"),
        pytest.param({"status": 429, "headers": {"Retry-After": "100000"}}, id="a long wait asked for"),
    ],
)
def test_a_download_that_does_not_go_on_is_given_up(
    hub: HubServer, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of which hardly any bytes arrive ends with an error, whatever the hub does meanwhile."""
    monkeypatch.setattr(downloading, "LONGEST_WAIT", 1.0)
    hub.faults.append(Fault("config.json", times=9, **fault))
    start = time.monotonic()
    with pytest.raises(DonorError, match="the hub is too slow: fewer than"):
        _fetch()
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("match", ["/api/models", "/resolve"], ids=["listing", "header"])
def test_redirects_get_no_token(hub: HubServer, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token goes to the hub only: not to another host that it names, and never to a file on this machine."""
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    hub.faults += [Fault(match, status=302, headers={"Location": f"{hub.storage}/elsewhere"})]
    hub.faults += [Fault(match, status=302, headers={"Location": "file:///etc/passwd"}, times=9)]
    for _ in range(2):
        with pytest.raises(DonorError):
            open_hub("org/a", None).read_header("model.safetensors")
    assert {asked.token for asked in hub.asked if asked.server == "storage"} <= {None}
    assert "hf_right" in {asked.token for asked in hub.asked}
