"""Two real processes under torchrun, joined by gloo: the same training as one, and no hanging."""

import json
import os
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.worlds import make


def torchrun(*words, cwd=ROOT):
    """Two processes by torchrun; their exit code, stdout and stderr."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_group_steps_as_one_process_parts_each_batch_and_goes_on_after_a_stop():
    done = torchrun("-m", "tests.ranks", "steps", "parts", "shared", "going_on")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ranks"] == 2


def test_a_process_whose_other_dies_ends_and_says_so():
    """Without torchrun, which would stop it before it could."""
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-m", "tests.ranks", "dying"]
    ranks = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**env, "RANK": str(n), "LOCAL_RANK": str(n), "WORLD_SIZE": "2"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]
    told = [process.communicate(timeout=60)[1] for process in ranks]
    assert ranks[1].returncode == 7
    assert ranks[0].returncode == 1
    assert "TrainingError: Rank 0 lost the other processes" in told[0]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


TRAIN = (ROOT / "cli.py", "train", "--batch", "256", "--learning-rate", "0.01", "--json")


def test_two_processes_reach_the_metrics_of_one_and_rank_0_alone_speaks(tmp_path):
    two = torchrun(*TRAIN, "--epochs", "31", cwd=tmp_path)
    assert two.returncode == 0, two.stderr
    (line,) = two.stdout.splitlines()
    assert two.stderr.count("epoch    0") == 1
    one = subprocess.run(
        [sys.executable, *map(str, TRAIN), "--epochs", "31"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    ours, theirs = json.loads(line), json.loads(one.stdout.splitlines()[-1])
    assert (ours["processes"], theirs["processes"]) == (2, 1) and ours["run"] != theirs["run"]
    assert ours["test"]["recall@20"] == pytest.approx(theirs["test"]["recall@20"], abs=0.03)
    assert theirs["test"]["recall@20"] > 0.1


def test_what_rank_0_cannot_read_ends_the_others_too(tmp_path):
    data = make(tmp_path / "data")
    done = torchrun(*TRAIN, "--align", "fusion", "--data", data, cwd=tmp_path)
    assert done.returncode == 1 and "no descriptions to align with" in done.stderr
