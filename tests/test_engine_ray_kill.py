"""Ray runs die at any moment, driver or worker: nothing known is asked again, no text changes.

RAY_KILLS=20 python -m pytest -n 0 tests/test_engine_ray_kill.py
"""

import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.test_kill import all_texts, asked, finished, start
from tests.worlds import make

KILLS = int(os.environ.get("RAY_KILLS", "3"))


def workers_of(driver: psutil.Process) -> list[psutil.Process]:
    below = driver.children(recursive=True)
    return [process for process in below if process.name().startswith("ray::Worker")]


def waited(moment: int, seen: int, far, process, said: Path) -> bool:
    """Wait until so many more requests came in; false when the run ended before."""
    while len(asked(far)) - seen < moment:
        if process.poll() is not None:
            assert process.returncode == 0, said.read_text()
            return False
        time.sleep(0.05)
    return True


@pytest.mark.timeout(3600)
def test_kills_of_driver_and_workers_change_no_text_and_pay_for_nothing_twice(far_side, tmp_path):
    data = make(tmp_path / "data", users=60, items=40)
    far = far_side(latency=0.2, jitter=0.2, bad=0.05)
    words = ["refine", "--data", str(data), "-j", "8"]
    words += ["--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}"]
    whole, workspace = tmp_path / "whole", tmp_path / "killed"
    assert start([*words, "--workspace", str(whole)], tmp_path).wait() == 0
    calls = len(asked(far))

    words += ["--workspace", str(workspace), "--engine", "ray", "--ray-workers", "2"]
    draw, said, killed = random.Random(11), tmp_path / "said.txt", {"driver": 0, "worker": 0}
    process = None
    while sum(killed.values()) < KILLS:
        if process is None:
            process = start(words, tmp_path)
        seen = len(asked(far))
        if not waited(draw.randint(1, calls // KILLS), seen, far, process, said):
            break
        driver = psutil.Process(process.pid)
        whom = draw.choice(("driver", "worker"))
        victims = {"driver": [driver], "worker": workers_of(driver)}[whom]
        if not victims:
            continue  # the last one is just being replaced
        family = workers_of(driver)
        known, seen = finished(workspace), len(asked(far))
        draw.choice(victims).send_signal(signal.SIGKILL)
        killed[whom] += 1
        if whom == "driver":
            assert process.wait() == -signal.SIGKILL
            process = None
            _, alive = psutil.wait_procs(family, timeout=60)
            assert not alive, "workers outlived the run"
            assert not set(asked(far)[seen:]) & known
            assert len(set(asked(far)[seen:])) <= 8, "calls that nobody let out"
        else:
            waited(5, seen, far, process, said)
            assert not set(asked(far)[seen:]) & known
    print(killed)
    assert sum(killed.values()) == KILLS
    known, seen = finished(workspace), len(asked(far))
    assert (process or start(words, tmp_path)).wait() == 0, said.read_text()
    assert not set(asked(far)[seen:]) & known
    assert all_texts(workspace) == all_texts(whole)
