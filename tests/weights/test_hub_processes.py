"""Published files in processes of their own: variables, terminals, signals and disks as they really are."""

import json
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from helpers.hub_server import Hub, environment, stored

pytestmark = pytest.mark.slow

FETCH = """
import json, signal, sys, time
from pathlib import Path
# a suite that a shell started in the background hands on that interrupts are ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
time.sleep = lambda seconds: None  # between attempts
{before}
from densevit import weights
from densevit.core.errors import DensevitError
file = weights.HubFile("who/what", "x.pt", *sys.argv[2:])
answer = {{"before": weights.is_cached(file)}}
try:
    answer["path"] = str(weights.fetch(file))
except DensevitError as error:
    answer["error"] = str(error)
answer["after"] = weights.is_cached(file)
answer["stored"] = [str(p) for p in Path(sys.argv[1]).rglob("*") if p.is_file() and p.stat().st_size > 1000]
print(json.dumps(answer))
"""


def command(home: Path, *known: str, before: str = "") -> list[str]:
    return [sys.executable, "-c", FETCH.format(before=before), str(home), *known]


def answer(run: subprocess.CompletedProcess[str]) -> dict:
    assert run.returncode == 0, run.stderr
    got = json.loads(run.stdout)
    if "error" in got:
        assert "\n" not in got["error"]
        assert not got["after"]
        assert got["stored"] == []
    return got


def fetched(home: Path, hub: Hub | None, *known: str, before: str = "", **more: str) -> dict:
    """What `fetch` gave or said."""
    env = environment(home, hub, **more)
    return answer(subprocess.run(command(home, *known, before=before), capture_output=True, text=True, env=env))


def test_downloaded_once_and_then_without_network(hub, home):
    # the program that runs us and the version of torch are nobody's business
    first = fetched(home, hub, hub.sha256, CLAUDECODE="1", AI_AGENT="other")
    assert {path for _, path, _ in hub.requests} == {"/who/what/resolve/main/x.pt", "/storage/x"}
    assert not re.search("torch|agent|other|claude", " ".join(hub.agents).lower())
    assert not first["before"]
    assert first["after"]
    assert Path(first["path"]).read_bytes() == hub.content
    assert hub.downloads == [""]
    asked = len(hub.requests)
    assert fetched(home, hub) == first | {"before": True}
    assert fetched(home, None, HF_HUB_OFFLINE="1") == first | {"before": True}
    assert len(hub.requests) == asked


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_on_terminals_and_silence_elsewhere(hub, home, terminal):
    theirs, ours = pty.openpty()
    termios.tcsetwinsize(ours, (24, 80))
    stderr = ours if terminal else subprocess.PIPE
    run = subprocess.Popen(command(home), stdout=subprocess.PIPE, stderr=stderr, env=environment(home, hub))
    out, err = run.communicate(timeout=60)
    os.close(ours)
    shown = os.read(theirs, 10**5).decode() if terminal else err.decode()
    os.close(theirs)
    assert json.loads(out)["after"]
    if terminal:
        assert "100%" in shown
        assert "512k/512k" in shown
    else:
        assert shown == ""


def test_offline(hub, home):
    said = fetched(home, hub, HF_HUB_OFFLINE="1")["error"]
    assert said.startswith(f"{hub.url}: not on this machine, and HF_HUB_OFFLINE forbids")
    assert "unset that" in said
    assert "weights=FILE or --weights FILE" in said
    assert hub.requests == []


def test_nobody_answers(home):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        began = time.monotonic()
        said = fetched(home, None, HF_ENDPOINT=endpoint, HF_HUB_ETAG_TIMEOUT="1")["error"]
    assert "the hub cannot be reached (ReadTimeout" in said
    # asked once, where the download alone asks seven times and waits a minute each
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_midway(hub, home, end):
    midway, over = threading.Event(), threading.Event()
    hub.cuts = [len(hub.content) // 2]
    hub.at_cut = lambda: (midway.set(), over.wait(30))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen(command(home), env=environment(home, hub), **quiet)
    assert midway.wait(30)
    run.send_signal(end)
    assert run.wait(30) != 0
    over.set()
    got = fetched(home, hub, hub.sha256)
    assert not got["before"]
    assert {path.resolve() for path in stored(home)} == {Path(got["path"]).resolve()}
    assert list(home.rglob("*incomplete")) == []


def test_a_limit_on_the_size_of_files(hub, home):
    limit = f"import resource\nresource.setrlimit({resource.RLIMIT_FSIZE}, (9999, 9999))"
    assert f"no space for it in {home}/hub (" in fetched(home, hub, before=limit)["error"]


class TestDisks:
    """Folders and file systems that will not take it; where such cannot be had, these are skipped."""

    def entered(self, enter: list[str | Path], home: Path, env: dict[str, str], *, before: str = "") -> dict:
        """What `fetch` gives behind a command that alters the surroundings."""
        try:
            subprocess.run([*enter, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"cannot be had here ({error})")
        run = [*enter, *command(home, before=before)]
        return answer(subprocess.run(run, capture_output=True, text=True, env=env))

    def mounted(self, options: str, home: Path, env: dict[str, str], *, before: str = "") -> dict:
        """What `fetch` gives with a file system of its own at `home`."""
        home.mkdir(exist_ok=True)
        mount = f'mount {options} "$0" && exec "$@"'
        enter = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, home]
        return self.entered(enter, home, env, before=before)

    def test_a_folder_that_must_not_be_written_to(self, hub, home):
        home.mkdir(mode=0o555)
        # root may write anywhere
        enter = ["unshare", "--map-user=1000"] if os.geteuid() == 0 else ["env"]
        got = self.entered(enter, home, environment(home, hub))
        assert f"the cache {home}/hub cannot be used (Permission denied: {home}/" in got["error"]

    def test_full(self, hub, home):
        got = self.mounted("-t tmpfs -o size=300k none", home, environment(home, hub))
        assert f"no space for it in {home}/hub (0.5 MB needed, 0.3 MB free)" in got["error"]
        assert hub.downloads == []

    def test_full_although_there_seemed_to_be_space(self, hub, home):
        lie = "import shutil, types\nshutil.disk_usage = lambda path: types.SimpleNamespace(free=10**9)"
        got = self.mounted("-t tmpfs -o size=300k none", home, environment(home, hub), before=lie)
        assert f"no space for it in {home}/hub ([Errno 28] No space left" in got["error"]
        assert hub.downloads == [""]

    def test_read_only(self, hub, home):
        got = self.mounted("-t tmpfs -o ro none", home, environment(home, hub))
        assert f"the cache {home}/hub cannot be used (Read-only file system: " in got["error"]
        assert "set HF_HOME to a folder that can be written to" in got["error"]

    def test_read_only_with_the_file_in_it(self, hub, home):
        path = fetched(home, hub)["path"]
        again = f'--bind "{home}" "{home}" && mount -o remount,ro,bind'
        assert self.mounted(again, home, environment(home, None))["path"] == path


def test_importing_weights_imports_no_hub():
    code = "import sys, densevit.weights, densevit.zoo; assert 'huggingface_hub' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
