"""Spans to a collector: a real refine, a real exporter, a receiver that decodes the protobuf."""

import json

import pytest

from tests.far_side.collector import collecting
from tests.far_side.picky import listening
from tests.worlds import make

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason="needs the extra: pip install -e '.[otel]'"
)


def model(far):
    return ["--model", f"openai:far@{far.url}", "--embedder", f"openai:far@{far.url}"]


@pytest.fixture
def sent(cli, far_side, tmp_path):
    """A run that sent its spans as it went: the collector's spans and the run's summary."""
    data = make(tmp_path / "data", users=8, items=6, per_user=4)
    words = ["refine", "--hops", "1", "--data", data, "--workspace", tmp_path / "ws", "--json"]
    with collecting() as (url, spans, _):
        done = cli(*words, *model(far_side(bad=0.3)), env={"HOPSCRIBE_OTLP": url})
    assert done.code == 0, done.err
    return spans, done.summary


def calls(spans):
    return [span for span in spans if "hopscribe.call" in span.attributes]


def answered(spans):
    """A call to the model whose reply was taken, as its span."""
    chats = (span for span in calls(spans) if span.name == "chat far")
    return next(span for span in chats if span.attributes["hopscribe.check"] == "accepted")


def test_a_run_is_one_tree_of_machine_steps_and_calls(sent):
    spans, summary = sent
    (machine,) = [span for span in spans if not span.parent]
    steps = {span.id: span for span in spans if span.parent == machine.id}
    assert {step.name for step in steps.values()} == {
        *("item profiles", "user profiles", "hop 1", "embedding"),
    }
    assert len({span.trace for span in spans}) == 1
    assert all(call.parent in steps for call in calls(spans))
    asked = [span for span in calls(spans) if span.name.startswith("chat")]
    assert len(asked) == summary["calls"]
    for call in calls(spans):
        step = steps[call.parent]
        assert machine.start <= step.start <= call.start <= call.end <= step.end <= machine.end


def test_a_call_says_what_the_genai_conventions_ask_for(sent):
    spans, summary = sent
    call = answered(spans)
    said = call.attributes
    assert call.kind == 3  # CLIENT
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gen_ai.provider.name"] == "openai"
    assert said["gen_ai.request.model"] == "far"
    assert said["gen_ai.request.max_tokens"] >= 400
    assert said["gen_ai.response.finish_reasons"] == ["stop"]
    assert said["gen_ai.usage.input_tokens"] > 0 and said["gen_ai.usage.output_tokens"] > 0
    assert said["gen_ai.conversation.id"] == summary["run"]
    assert said["server.address"] == "127.0.0.1" and said["server.port"] > 0
    (system,) = json.loads(said["gen_ai.system_instructions"])
    assert system["type"] == "text" and "recommender" in system["content"]
    (asked,) = json.loads(said["gen_ai.input.messages"])
    assert asked["role"] == "user" and "⟦" in asked["parts"][0]["content"]
    (answer,) = json.loads(said["gen_ai.output.messages"])
    assert answer["role"] == "assistant" and answer["finish_reason"] == "stop"


def test_a_call_says_what_openinference_asks_for(sent):
    said = answered(sent[0]).attributes
    assert said["openinference.span.kind"] == "LLM"
    assert said["llm.model_name"] == "far"
    assert said["llm.input_messages.0.message.role"] == "system"
    assert said["llm.input_messages.1.message.role"] == "user"
    assert said["llm.output_messages.0.message.content"] == said["output.value"]
    assert said["llm.token_count.total"] == (
        said["llm.token_count.prompt"] + said["llm.token_count.completion"]
    )
    assert said["llm.prompt_template.version"].startswith("1:")
    assert json.loads(said["metadata"])["node"] == said["hopscribe.node"]


def test_a_rejected_reply_tells_its_complaint_and_a_failed_call_is_an_error(sent):
    by_check = {}
    for call in calls(sent[0]):
        by_check.setdefault(call.attributes["hopscribe.check"], call)
    assert by_check["rejected"].attributes["hopscribe.complaint"]
    assert by_check["failed"].status.code == 2  # ERROR
    assert by_check["accepted"].status.code == 0


def test_calls_to_an_embedder_are_embeddings(sent):
    embedded = [s for s in calls(sent[0]) if s.attributes["gen_ai.operation.name"] == "embeddings"]
    assert embedded
    assert {s.attributes["openinference.span.kind"] for s in embedded} == {"EMBEDDING"}
    assert {s.attributes["gen_ai.request.model"] for s in embedded} == {"far"}


def test_the_project_is_named(sent):
    assert sent[0][0].resource["openinference.project.name"] == "hopscribe"
    assert sent[0][0].resource["service.name"] == "hopscribe"


def test_a_run_sent_again_is_the_same_spans(cli, sent, tmp_path):
    live = {(span.trace, span.id) for span in sent[0]}
    with collecting() as (url, spans, headers):
        done = cli(
            "traces", "export", "--otlp", url, "--run", "last", "--workspace", tmp_path / "ws",
            "--json", env={"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20abc"},
        )  # fmt: skip
    assert done.code == 0, done.err
    assert {(span.trace, span.id) for span in spans} == live
    assert done.summary["spans"] == len(spans) == len(live)
    assert headers[0]["authorization"] == "Basic abc"


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER"])
def test_an_inherited_otel_variable_sends_nothing(cli, tmp_path, variable):
    data = make(tmp_path / "data", users=4, items=4, per_user=3)
    with listening() as (url, heard):
        value = url if variable.endswith("ENDPOINT") else "otlp"
        env = {variable: value, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url}
        assert cli("profile", "--data", data, env=env).code == 0
    assert heard == []


def test_a_collector_that_is_gone_is_told_and_costs_nothing_but_the_spans(cli, tmp_path):
    data = make(tmp_path / "data", users=4, items=4, per_user=3)
    done = cli("profile", "--data", data, "--json", env={"HOPSCRIBE_OTLP": "http://127.0.0.1:1"})
    assert done.code == 0
    assert done.summary["failed"] == 0
    assert "collector" in done.err and "Traceback" not in done.err


def test_an_address_that_is_none_is_told_before_a_question_is_asked(cli, far_side, tmp_path):
    far, data = far_side(), make(tmp_path / "data", users=4, items=4, per_user=3)
    for wrong in ("collector", "http://me:secret@127.0.0.1:4318"):
        done = cli("profile", "--data", data, *model(far), env={"HOPSCRIBE_OTLP": wrong})
        assert done.code == 2 and "collector" in done.err
        assert "secret" not in done.err
    assert far.requests() == []
