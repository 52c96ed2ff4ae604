"""LangSmith hears of a run when the settings say so, and never because of a variable alone."""

import pytest

from tests.far_side.picky import listening
from tests.worlds import make


@pytest.mark.parametrize(("told", "hears"), [({}, False), ({"HOPSCRIBE_LANGSMITH": "true"}, True)])
def test_langsmith_is_told_of_a_run_only_when_the_settings_say_so(cli, tmp_path, told, hears):
    data = make(tmp_path / "data", users=4, items=4, per_user=3)
    with listening() as (url, heard):
        inherited = {
            "LANGSMITH_TRACING": "true",
            "LANGSMITH_ENDPOINT": url,
            "LANGSMITH_API_KEY": "lsv2_x",
        }
        assert cli("profile", "--data", data, env={**inherited, **told}).code == 0
    assert bool(heard) is hears


def test_the_setting_without_the_variables_sends_nothing(cli, tmp_path):
    data = make(tmp_path / "data", users=4, items=4, per_user=3)
    with listening() as (url, heard):
        env = {"HOPSCRIBE_LANGSMITH": "true", "LANGSMITH_ENDPOINT": url}
        assert cli("profile", "--data", data, env=env).code == 0
    assert heard == []
