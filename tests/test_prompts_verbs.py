"""`python cli.py prompts …`, and prompts of a workspace's own: what is asked again, and no more."""

import json

import pytest

from errors import PromptError, UsageError
from prompts.library import load, names
from prompts.overrides import chosen, eject, in_force, strangers
from tests.finished import finished


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with finished(tmp_path_factory.mktemp("base"), users=6, items=5, bad=0.0) as at:
        yield at


@pytest.fixture
def made(base, tmp_path):
    return base.copied(tmp_path)


def edit(made, name, before, after):
    """A prompt of the workspace's own, which says something else in one place."""
    text = load(name).source
    assert before in text
    (made.ws / "prompts").mkdir(exist_ok=True)
    (made.ws / "prompts" / f"{name}.md").write_text(text.replace(before, after), "utf-8")


def told(made, *words):
    done = made.look("prompts", *words, "--json")
    assert done.code == 0, done.err
    return done.summary


# A workspace's own prompts


def test_editing_a_prompt_asks_again_what_it_touches_and_a_dry_run_says_how_much(made):
    # Only users' refinement changes: profiles and items' first hop stay as they are.
    edit(made, "refine_user", "in plain sentences", "in short, plain sentences")
    words = ["refine", "--hops", "1", "--json", *made.model]
    dry = made.run(*words, "--dry-run").summary
    assert dry["calls"] == 6 and dry["stages"]["hop 1"]["calls"] == 6
    before = len(made.asked())
    done = made.run(*words).summary
    assert done["calls"] == len(made.asked()) - before == dry["calls"]
    assert done["cached"] == 11 + 5
    assert all("in short, plain" in m[0]["content"] for m in made.asked()[before:])
    assert made.run(*words).summary["calls"] == 0


def test_going_back_to_the_shipped_prompt_asks_nothing(made):
    edit(made, "item_profile", "You describe", "You have to describe")
    assert made.run("refine", "--json", *made.model).summary["calls"] > 0
    (made.ws / "prompts" / "item_profile.md").unlink()
    assert made.run("refine", "--json", *made.model).summary["calls"] == 0


def test_changing_a_number_in_the_header_asks_again_only_if_a_question_shows_it(made):
    edit(made, "refine_item", "version: 1", "version: 7")
    assert made.run("refine", "--json", *made.model).summary["calls"] == 0


def test_a_broken_prompt_stops_a_run_before_a_question_is_asked(made):
    edit(made, "refine_item", "{{ language }}", "{{ tongue }}")
    before = len(made.asked())
    done = made.run("refine", *made.model)
    assert done.code == 2 and "refine_item.md" in done.err and "Traceback" not in done.err
    assert len(made.asked()) == before


# Which template is in force


def test_without_a_folder_every_prompt_is_the_shipped_one(tmp_path):
    assert in_force(None) == in_force(tmp_path / "none") == {name: load(name) for name in names()}


def test_a_file_of_the_same_name_takes_the_place_of_one_prompt(tmp_path):
    path = eject("refine_user", tmp_path)
    path.write_text(path.read_text("utf-8").replace("taste", "taste and need"), "utf-8")
    found = in_force(tmp_path)
    assert found["refine_user"].digest != load("refine_user").digest
    assert found["refine_item"] == load("refine_item")


def test_a_prompt_of_ones_own_may_need_fewer_inputs(tmp_path):
    path = eject("user_profile", tmp_path)
    text = path.read_text("utf-8").replace("language, ", "").replace("{{ language }}", "English")
    path.write_text(text, "utf-8")
    assert "language" not in chosen("user_profile", tmp_path).header.inputs


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("reply: Profile", "reply: Refinement", "has to be Profile"),
        ("evidence]", "evidence, mood]", "mood"),
        ("# repair", "# mend", "header"),
    ],
)
def test_a_prompt_that_cannot_take_the_place_is_refused_by_its_file(tmp_path, before, after, said):
    path = eject("item_profile", tmp_path)
    text = path.read_text("utf-8").replace(before, after)
    path.write_text(
        text.replace("\n# user\n", "\n# user\n{{ mood }}\n") if "mood" in after else text
    )
    with pytest.raises(PromptError, match=said) as error:
        in_force(tmp_path)
    assert str(path) in str(error.value.message)


def test_a_file_that_is_no_prompts_name_is_told(tmp_path):
    (tmp_path / "refine_usr.md").write_text("x")
    assert strangers(tmp_path) == ["refine_usr"]
    with pytest.raises(PromptError, match=r"refine_usr\.md") as error:
        in_force(tmp_path)
    assert "refine_user" in error.value.hint


def test_an_edited_prompt_is_not_written_over(tmp_path):
    eject("refine_user", tmp_path)
    with pytest.raises(UsageError, match="there already"):
        eject("refine_user", tmp_path)


# The verbs


def test_the_list_tells_versions_with_calls_and_cost_and_where_they_are_from(made):
    edit(made, "refine_user", "taste", "taste and need")
    made.run("refine", "--json", *made.model)
    (row,) = [one for one in told(made, "list")["prompts"] if one["name"] == "refine_user"]
    assert row["place"] == "workspace"
    assert row["ref"] == chosen("refine_user", made.ws / "prompts").ref
    assert {one["ref"] for one in row["used"]} == {row["ref"], load("refine_user").ref}
    assert all(one["calls"] == 12 and one["cost_usd"] is None for one in row["used"])
    out = made.look("prompts", "list").out
    assert "used before" in out and "unpriced" in out


def test_the_list_works_where_nothing_was_asked_yet(made, tmp_path):
    found = told(made, "list", "--workspace", tmp_path / "new")
    assert [row["name"] for row in found["prompts"]] == names()
    assert not any(row["used"] for row in found["prompts"]) and not (tmp_path / "new").exists()


def test_an_earlier_version_is_shown_and_compared_by_its_digest(made):
    old = load("refine_user")
    edit(made, "refine_user", "taste", "taste and need")
    assert told(made, "show", old.ref)["text"] == old.source
    assert told(made, "show", f"refine_user@1:{old.digest[:5]}")["text"] == old.source
    made.run("refine", "--hops", "1", *made.model)
    edit(made, "refine_user", "taste", "taste and wish")
    now = chosen("refine_user", made.ws / "prompts")
    middle = next(
        one["ref"]
        for row in told(made, "list")["prompts"]
        for one in row["used"]
        if row["name"] == "refine_user" and one["ref"] not in (old.ref, now.ref)
    )
    lines = told(made, "diff", middle, "refine_user")["diff"]
    removed = [line for line in lines if line.startswith("-") and not line.startswith("---")]
    added = [line for line in lines if line.startswith("+") and not line.startswith("+++")]
    assert "taste and need" in removed[0] and "taste and wish" in added[0]


def test_one_name_alone_is_the_shipped_one_against_the_workspaces(made):
    done = made.look("prompts", "diff", "refine_item")
    assert done.code == 2 and "prompts eject refine_item" in done.err
    assert told(made, "eject", "refine_item")["file"] == str(made.ws / "prompts" / "refine_item.md")
    assert told(made, "diff", "refine_item")["diff"] == []
    edit(made, "refine_item", "really for", "truly for")
    assert any("truly for" in line for line in told(made, "diff", "refine_item")["diff"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "haiku"], "refine_user"),
        (["show", "refine_user@9"], "refine_user@1"),
        (["eject", "haiku"], "refine_user"),
        (["render", "refine_user", "--node", "item:i1"], "is asked by refine_item"),
        (["render", "item_profile", "--node", "i1", "--hop", "1"], "is asked by refine_item"),
        (["render", "item_profile", "--node", "item:nobody"], "item:nobody"),
    ],
)
def test_what_is_not_there_is_told(made, words, said):
    done = made.look("prompts", *words)
    assert done.code == 2 and said in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    ("name", "node", "hop"),
    [("item_profile", "item:i2", 0), ("user_profile", "u3", 0), ("refine_user", "user:u3", 1),
     ("refine_item", "item:i2", 2)],
)  # fmt: skip
def test_what_is_rendered_is_what_the_server_was_sent(made, name, node, hop):
    before = len(made.asked())
    found = told(made, "render", name, "--node", node, "--hop", str(hop))
    sent = [[(m["role"], m["content"]) for m in messages] for messages in made.asked()]
    assert [(m["role"], m["content"]) for m in found["messages"]] in sent
    assert found["tokens"] == sum(m["tokens"] for m in found["messages"]) > 100
    assert found["hop"] == hop and len(made.asked()) == before
    assert (
        found["messages"][1]["content"]
        in made.look("prompts", "render", name, "--node", node, "--hop", str(hop)).out
    )


def test_a_profile_is_rendered_before_anything_was_asked(made, tmp_path):
    found = told(made, "render", "user_profile", "--node", "user:u3", "--workspace", tmp_path / "n")
    assert found["run"] is None and "description: None" in found["messages"][1]["content"]
    done = made.look(
        "prompts", "render", "refine_user", "--node", "user:u3", "--workspace", tmp_path / "n"
    )
    assert done.code == 2 and "Run refine first" in done.err


def test_every_prompt_holds_its_budget_in_every_domain_on_real_data(made):
    found = told(made, "check")
    assert found["ok"] and found["problems"] == []
    assert {one["ref"].partition("@")[0] for one in found["prompts"]} == set(names())
    assert all(one["questions"] and one["longest_tokens"] > 100 for one in found["prompts"])
    assert {"book", "game", "movie", "business", "job"} <= set(found["domains"])


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        (
            "refine_user",
            "  description: {{ neighbour.text | data(domain.item) }}",
            "  description: {{ (neighbour.text * 30) | data(domain.item) }}",
            "the budget is",
        ),
        ("refine_user", "{{ evidence.own", "{{ evidence.owns", "refine_user does not render"),
        ("item_profile", "version: 1", "version: one", "item_profile.md"),
    ],
)
def test_check_says_which_prompt_is_wrong(made, name, before, after, said):
    edit(made, name, before, after)
    (made.ws / "prompts" / "haiku.md").write_text("x")
    done = made.look("prompts", "check", "--json")
    assert done.code == 2
    problems = json.loads(done.out)["problems"]
    assert any(said in problem for problem in problems), problems
    assert any("haiku.md" in problem for problem in problems)
