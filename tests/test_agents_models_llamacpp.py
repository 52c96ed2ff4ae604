"""Models in this process: one thread, prefixes that are read once, errors that name the file."""

import asyncio
import threading
import time

import pytest

from agents.checks import judge
from agents.limits import Gate
from agents.models import open_model
from agents.models.base import Declined, Request
from agents.models.llamacpp import LlamaCpp
from agents.replies import Profile
from errors import ModelError, UsageError
from graph_ops.evidence import ItemEvidence
from stores.connection import Connection
from tests.tiny_gguf import make, make_encoder

EVIDENCE = ItemEvidence("Kettle", "A kettle.", {}, ())
SYSTEM = "You describe things for the people who like them. " * 10


def request(question, system=SYSTEM, max_tokens=400, max_words=60):
    messages = (("system", system), ("user", question))
    return Request(messages, Profile.model_json_schema(), max_tokens, max_words, EVIDENCE)


def connect(path, **changes):
    return Connection(
        "llamacpp", str(path), **{"threads": 1, "temperature": 0.8, "n_ctx": 4096, **changes}
    )


def using(path, work, **changes):
    """Run `work(model)` and close the model."""

    async def run():
        model = open_model(connect(path, **changes))
        try:
            return await work(model)
        finally:
            await model.close()

    return asyncio.run(run())


async def ask(model, *questions, gate=None, **changes):
    gate = gate or Gate(16)
    return await asyncio.gather(
        *(model.complete(request(q, **changes), gate.turn()) for q in questions)
    )


# Answers


def test_a_reply_is_judged_usable_and_its_tokens_are_counted(tiny):
    (answer,) = using(tiny, lambda model: ask(model, "What of it?"))
    assert judge(answer, Profile, 60, "English").reply is not None
    assert answer.finish == "stop"
    assert answer.input_tokens > 50 and answer.output_tokens > 10


def test_questions_asked_at_once_each_get_their_own_answer(tiny):
    words = "this that they their some more who also".split()
    questions = [f"{one} or {two}" for one in words for two in words[:3]]

    async def one_by_one(model):
        return [(await ask(model, question))[0].text for question in questions]

    async def at_once(model):
        return [answer.text for answer in await ask(model, *questions * 3)]

    alone = using(tiny, one_by_one)
    assert len(set(alone)) > 4
    assert using(tiny, at_once) == alone * 3


def test_a_call_holds_its_turn_only_while_the_model_is_busy_with_it(tiny):
    gate = Gate(16)
    turns = [gate.turn() for _ in range(6)]

    async def work(model):
        await ask(model, "load first")
        started = time.perf_counter()
        await asyncio.gather(*(model.complete(request("what"), turn) for turn in turns))
        return (time.perf_counter() - started) * 1e3

    took = using(tiny, work)
    assert sum(turn.latency_ms for turn in turns) <= took * 1.05


def test_an_answer_that_reaches_its_limit_says_so(tiny):
    (answer,) = using(tiny, lambda model: ask(model, "What of it?", max_tokens=8))
    assert (answer.finish, answer.output_tokens) == ("length", 8)


def test_the_default_temperature_is_written_down(tiny):
    model = LlamaCpp(connect(tiny, temperature=None))
    assert model.parameters["temperature"] == 0.8
    assert (model.name, model.endpoint) == ("llamacpp:tiny.gguf", "in process")
    assert model.price(None, None) == 0


def test_another_file_of_the_same_name_is_another_model(tiny, tmp_path):
    other = make(tmp_path / "tiny.gguf", context=4096)
    assert LlamaCpp(connect(tiny)).parameters != LlamaCpp(connect(other)).parameters


# Prompts


def test_what_two_prompts_begin_with_is_evaluated_once(tiny):
    async def work(model):
        figures = []
        for question, system in (
            ("first", SYSTEM),
            ("second", SYSTEM),
            ("third", "Other words"),
            ("third", "Other words"),
        ):
            sent, read = model.prompt_tokens, model.evaluated_tokens
            await ask(model, question, system=system)
            figures.append((model.prompt_tokens - sent, model.evaluated_tokens - read))
        return figures

    first, second, other, same = using(tiny, work)
    assert first[0] == first[1]
    assert second[0] > 100 and second[1] < 40
    assert other[1] >= other[0] - 5
    assert same[1] == 1


def test_what_is_counted_as_evaluated_is_what_llama_cpp_evaluated(tiny):
    async def work(model):
        answers = await ask(model, "first", "second", "third")
        import llama_cpp

        perf = llama_cpp.llama_perf_context(model._llm.ctx)
        written = sum(answer.output_tokens for answer in answers)
        return perf.n_p_eval + perf.n_eval - written, model.evaluated_tokens

    counted, ours = using(tiny, work)
    assert counted == ours


def test_a_prompt_that_does_not_fit_is_declined_with_its_length(tiny):
    with pytest.raises(Declined, match=r"has [\d,]+ tokens .* holds 512: raise n_ctx"):
        using(tiny, lambda model: ask(model, "word " * 600), n_ctx=512)


def test_a_context_beyond_the_models_own_is_not_recommended(tmp_path):
    small = make(tmp_path / "small.gguf", context=512)
    with pytest.raises(Declined, match="made for no more"):
        using(small, lambda model: ask(model, "word " * 600))


def prompt_of(path, messages):
    async def work(model):
        await ask(model, "load it")
        tokens = model._tokens(messages)
        return tokens, model._llm.detokenize(tokens, special=True).decode()

    return using(path, work)


MESSAGES = (("system", "be brief"), ("user", "hello"))


@pytest.mark.parametrize("begin", ["", "{{ bos_token }}"])
def test_a_prompt_begins_once_whether_the_template_begins_it_or_not(tmp_path, begin):
    body = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    path = make(tmp_path / "begin.gguf", template=begin + body)
    tokens, text = prompt_of(path, MESSAGES)
    assert tokens.count(1) == 1 and tokens[0] == 1
    assert "[system] be brief" in text


def test_a_file_without_a_template_is_asked_in_chatml(tmp_path):
    _, text = prompt_of(make(tmp_path / "plain.gguf", template=None), MESSAGES)
    # SentencePiece puts a space after each special token.
    assert "<|im_start|> system\nbe brief<|im_end|>" in text
    assert text.endswith("<|im_start|> assistant\n")


def test_a_template_without_a_system_role_gets_it_in_the_first_question(tmp_path):
    template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}"
        "{{ raise_exception('no system role') }}{% endif %}"
        "[{{ m['role'] }}] {{ m['content'] }}{% endfor %}"
    )
    _, text = prompt_of(make(tmp_path / "gemma.gguf", template=template), MESSAGES)
    assert "[user] be brief\n\nhello" in text


# Errors


def test_a_file_that_is_missing_or_no_gguf_is_named(tmp_path):
    other = tmp_path / "notes.gguf"
    other.write_text("not a model")
    for path, problem in ((tmp_path / "gone.gguf", "no file"), (other, "not a GGUF")):
        with pytest.raises(ModelError, match=problem) as caught:
            open_model(connect(path))
        assert str(path) in caught.value.message


def test_a_file_cut_short_is_named_with_what_is_wrong(tiny, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="incomplete") as caught:
        using(cut, lambda model: ask(model, "anything"))
    assert str(cut) in caught.value.message


def test_an_encoder_is_no_model_that_writes(tmp_path):
    path = make_encoder(tmp_path / "bert.gguf")
    with pytest.raises(ModelError, match="is an encoder") as caught:
        using(path, lambda model: ask(model, "anything"))
    assert "--embedder" in caught.value.hint


def test_a_missing_package_is_told_with_how_to_install_it(tiny, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="not installed") as caught:
        open_model(connect(tiny))
    assert ".[local]" in caught.value.hint


def test_a_spec_without_a_file_is_a_usage_error():
    with pytest.raises(UsageError, match="needs a file"):
        open_model(Connection("llamacpp"))


# Ends


def threads_of(path):
    return [thread for thread in threading.enumerate() if thread.name.startswith(path.name)]


def test_a_closed_model_leaves_no_thread_and_can_be_opened_again(tiny):
    before = using(tiny, lambda model: ask(model, "What of it?"))
    assert not threads_of(tiny)
    assert using(tiny, lambda model: ask(model, "What of it?")) == before


def test_a_model_that_was_never_asked_closes_as_well(tiny):
    async def nothing(model):
        return None

    using(tiny, nothing)
    assert not threads_of(tiny)


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    """A model that ends no reply before its limit."""
    return make(tmp_path_factory.mktemp("models") / "talker.gguf", quote=-30.0)


def test_a_cancelled_call_ends_promptly_and_the_next_one_is_answered(talker):
    async def work(model):
        await ask(model, "load it", max_tokens=1)
        call = asyncio.create_task(ask(model, "go on", max_tokens=3000, max_words=2000))
        await asyncio.sleep(0.3)
        assert not call.done()
        call.cancel()
        started = time.perf_counter()
        with pytest.raises(asyncio.CancelledError):
            await call
        (answer,) = await ask(model, "now this", max_tokens=5)
        return answer.finish, time.perf_counter() - started

    finish, took = using(talker, work)
    assert finish == "length" and took < 1


def test_closing_ends_what_is_being_written(talker):
    async def work(model):
        await ask(model, "load it", max_tokens=1)
        call = asyncio.create_task(ask(model, "go on", max_tokens=3000, max_words=2000))
        await asyncio.sleep(0.3)
        started = time.perf_counter()
        await model.close()
        took = time.perf_counter() - started
        with pytest.raises(ModelError, match="was closed"):
            await call
        return took

    async def run():
        return await work(open_model(connect(talker)))

    assert asyncio.run(run()) < 1
    assert not threads_of(talker)
