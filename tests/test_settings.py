"""Settings: which source wins, what is refused and in whose name, and where a key may go."""

import os

import pytest

from errors import ModelError, UsageError
from settings import OPENAI, PREFIX, Settings, access_key, load


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    """None of the variables is set, and what a test reads from .env is gone after it."""
    names = {name for name in os.environ if name.startswith((PREFIX, "OPENAI_"))}
    for name in names | {"OPENAI_API_KEY", "HOPSCRIBE_SEED", "HOPSCRIBE_API_KEY"}:
        monkeypatch.setenv(name, "")  # so that it is put back even where it was not set
        monkeypatch.delenv(name)


def written(folder, text, name="settings.yaml"):
    (folder / name).write_text(text, "utf-8")
    return folder


# Sources


def test_without_any_source_the_defaults_hold(tmp_path):
    assert load({}, tmp_path) == Settings()
    assert (Settings().model, Settings().embedder, Settings().mode) == (
        "offline",
        "minilm",
        "append",
    )


def test_the_file_goes_over_the_defaults(tmp_path):
    settings = load({}, written(tmp_path, "seed: 3\nmodel: openai:m\n"))
    assert (settings.seed, settings.model, settings.neighbours) == (3, "openai:m", 6)


def test_the_environment_goes_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOPSCRIBE_SEED", "4")
    settings = load({}, written(tmp_path, "seed: 3\nneighbours: 9\n"))
    assert (settings.seed, settings.neighbours) == (4, 9)


def test_flags_go_over_everything(tmp_path, monkeypatch):
    monkeypatch.setenv("HOPSCRIBE_SEED", "4")
    assert load({"seed": 5}, written(tmp_path, "seed: 3\n")).seed == 5


def test_a_flag_that_was_not_given_changes_nothing(tmp_path):
    assert load({"seed": None, "model": None}, written(tmp_path, "seed: 3\n")).seed == 3


def test_a_flag_of_zero_was_given(tmp_path):
    assert load({"seed": 0}, written(tmp_path, "seed: 3\n")).seed == 0


def test_a_dotenv_file_is_read_as_environment(tmp_path):
    written(tmp_path, "HOPSCRIBE_SEED=4\n", ".env")
    assert load({}, written(tmp_path, "seed: 3\n")).seed == 4


def test_the_real_environment_goes_over_the_dotenv_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOPSCRIBE_SEED", "5")
    assert load({}, written(tmp_path, "HOPSCRIBE_SEED=4\n", ".env")).seed == 5


def test_an_empty_file_says_nothing(tmp_path):
    assert load({}, written(tmp_path, "# seed: 3\n")) == Settings()


def test_null_in_the_file_is_a_value(tmp_path):
    assert load({}, written(tmp_path, "temperature: null\n")).temperature is None


# Refusals


def test_an_unknown_key_in_the_file_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError, match=r"settings\.yaml: unknown setting neighbors") as caught:
        load({}, written(tmp_path, "neighbors: 3\n"))
    assert "neighbours" in caught.value.hint


def test_an_unknown_variable_of_ours_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOPSCRIBE_COLOUR", "red")
    with pytest.raises(UsageError, match="the environment: unknown setting HOPSCRIBE_COLOUR"):
        load({}, tmp_path)


def test_the_key_is_no_setting_but_a_known_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("HOPSCRIBE_API_KEY", "secret")
    assert load({}, tmp_path) == Settings()


def test_a_key_in_the_settings_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="unknown setting api_key"):
        load({}, written(tmp_path, "api_key: secret\n"))


BAD = [
    ("seed", "many"),
    ("seed", "-1"),
    ("neighbours", "0"),
    ("mode", "prepend"),
    ("sampling", "popular"),
    ("timeout", "0"),
    ("temperature", "-0.1"),
    ("evidence_tokens", "10"),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_bad_value_names_its_source_and_itself(tmp_path, monkeypatch, key, value):
    flag = f"--{key.replace('_', '-')}: "
    with pytest.raises(UsageError, match=f"^{flag}.*it is '{value}'"):
        load({key: value}, tmp_path)
    with pytest.raises(UsageError, match=rf"^settings\.yaml: {key}: .*it is '?{value}"):
        load({}, written(tmp_path, f"{key}: {value}\n"))
    monkeypatch.setenv(PREFIX + key.upper(), value)
    with pytest.raises(UsageError, match=f"^{PREFIX}{key.upper()}: .*it is '{value}'"):
        load({}, tmp_path)


@pytest.mark.parametrize("text", ["seed: [", "- seed\n", "just words\n"])
def test_a_file_that_is_no_table_is_refused(tmp_path, text):
    with pytest.raises(UsageError, match=r"settings\.yaml"):
        load({}, written(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "settings.yaml").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(UsageError, match=r"settings\.yaml cannot be read"):
        load({}, tmp_path)


def test_settings_cannot_be_changed_afterwards(tmp_path):
    with pytest.raises(ValueError, match="frozen"):
        load({}, tmp_path).seed = 7


# Keys

SERVER = "http://127.0.0.1:8080/v1"


@pytest.mark.parametrize("url", [SERVER, "https://api.openai.com.evil.example/v1", OPENAI])
def test_the_openai_key_never_goes_to_a_server_named_by_address(monkeypatch, url):
    monkeypatch.setenv("OPENAI_API_KEY", "precious")
    assert access_key(url) == (url, "none")


def test_a_server_named_by_address_gets_our_own_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "precious")
    monkeypatch.setenv("HOPSCRIBE_API_KEY", "ours")
    assert access_key(SERVER + "/") == (SERVER, "ours")


def test_openai_gets_the_openai_key_and_not_ours(monkeypatch):
    monkeypatch.setenv("HOPSCRIBE_API_KEY", "ours")
    monkeypatch.setenv("OPENAI_API_KEY", "precious")
    assert access_key("") == (OPENAI, "precious")


def test_openais_own_variable_can_move_its_address(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "precious")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example/v1/")
    assert access_key("") == ("https://proxy.example/v1", "precious")


def test_without_a_key_openai_is_refused_with_a_way_out(monkeypatch):
    monkeypatch.setenv("HOPSCRIBE_API_KEY", "ours")
    with pytest.raises(ModelError, match="OPENAI_API_KEY is not set") as caught:
        access_key("")
    assert "openai:NAME@http" in caught.value.hint


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://host/v1", "file:///etc/passwd", "host"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(UsageError, match="is not the address of a server"):
        access_key(url)


def test_a_key_in_the_dotenv_file_is_found(tmp_path):
    load({}, written(tmp_path, "HOPSCRIBE_API_KEY=ours\n", ".env"))
    assert access_key(SERVER) == (SERVER, "ours")
