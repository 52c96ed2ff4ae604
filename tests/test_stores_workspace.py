"""The workspace: one process at a time, one data set, which may change."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from errors import StoreError
from stores.workspace import claim, occupied

ROOT = Path(__file__).parents[1]
# Takes the workspace, says so, and holds it until it is told to end.
HOLD = """
import sys
from pathlib import Path
from stores.workspace import occupied
with occupied(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds `tmp_path / "w"`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "w")]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_missing_workspace_is_made(tmp_path):
    with occupied(tmp_path / "a" / "b") as folder:
        assert folder == tmp_path / "a" / "b"
        assert folder.is_dir()


def test_a_second_process_is_refused(tmp_path, holder):
    with pytest.raises(StoreError, match="Another Hopscribe process is using") as caught:
        occupied(tmp_path / "w").__enter__()
    assert "--workspace" in caught.value.hint


def test_another_workspace_is_free(tmp_path, holder):
    with occupied(tmp_path / "other"):
        assert holder.poll() is None


def test_the_workspace_is_free_when_its_process_has_ended(tmp_path, holder):
    holder.communicate("")
    with occupied(tmp_path / "w") as folder:
        assert folder.is_dir()


def test_the_lock_goes_with_a_killed_process(tmp_path, holder):
    holder.kill()  # SIGKILL: it cannot tidy up
    holder.wait()
    with occupied(tmp_path / "w") as folder:
        assert folder.is_dir()


def test_the_lock_goes_when_the_work_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), occupied(tmp_path):
        raise ZeroDivisionError
    with occupied(tmp_path):
        pass


def test_a_workspace_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(StoreError, match=r"The workspace .*file/w cannot be made"):
        occupied(tmp_path / "file" / "w").__enter__()


def test_the_first_data_claims_the_workspace_and_may_come_back(tmp_path):
    claim(tmp_path, "books", "d1")
    claim(tmp_path, "books, moved", "d1")
    written = json.loads((tmp_path / "workspace.json").read_text("utf-8"))
    assert written == {"data": "books", "digest": "d1"}


def test_other_data_is_refused_and_the_owner_named(tmp_path):
    claim(tmp_path, "books", "d1")
    with pytest.raises(StoreError, match="belongs to other data: books"):
        claim(tmp_path, "films", "d2")


def test_a_workspace_follows_data_that_says_it_was_what_the_workspace_is_of(tmp_path):
    claim(tmp_path, "books", "d1")
    claim(tmp_path, "books", "d3", ["d1", "d2"])
    with pytest.raises(StoreError, match="belongs to other data") as caught:
        claim(tmp_path, "books", "d1")
    assert "data import --append" in caught.value.hint
    claim(tmp_path, "books", "d3")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "{}", '{"data": "books"}', "\x00"])
def test_a_broken_workspace_file_is_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "workspace.json"
    path.write_text(text, "utf-8")
    with pytest.raises(StoreError, match=r"workspace\.json is not a workspace file"):
        claim(tmp_path, "books", "d1")
    assert path.read_text("utf-8") == text


def test_a_workspace_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "workspace.json").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(StoreError, match="is not a workspace file"):
        claim(tmp_path, "books", "d1")
