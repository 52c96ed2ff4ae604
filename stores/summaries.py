"""What the ledger counts as it is written, so that a million calls are read in milliseconds.

    call_groups      calls that have everything in common that lists are filtered by, counted
    call_marks       the group, the cost and the latency of each call: what lists are ordered by
    call_latencies   how many answers of a group took so long, to two significant digits
    outcome_groups   nodes by run, hop, kind and what became of them, counted

Triggers in the file keep all of it, whoever writes; `FILL` counts what was written before there
were any. Nothing here is known from elsewhere than from `calls` and `outcomes`.
"""

TABLES = """
CREATE TABLE call_groups (
    id INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    stage TEXT NOT NULL,
    hop INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    prompt TEXT NOT NULL,
    model TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    status TEXT NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,      -- calls without a known price
    first INTEGER NOT NULL,         -- id of the first call
    last INTEGER NOT NULL,          -- id of the last call so far
    UNIQUE (run, stage, hop, turn, prompt, model, endpoint, status)
);
CREATE TABLE call_marks (
    id INTEGER PRIMARY KEY,         -- the call's
    grp INTEGER NOT NULL,
    cost_nanousd INTEGER,
    latency_ms REAL NOT NULL
);
CREATE INDEX marks_by_group ON call_marks (grp);
CREATE INDEX marks_by_latency ON call_marks (grp, latency_ms);
CREATE INDEX marks_by_cost ON call_marks (grp, cost_nanousd);
CREATE TABLE call_latencies (
    grp INTEGER NOT NULL,
    ms REAL NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (grp, ms)
) WITHOUT ROWID;
CREATE TABLE outcome_groups (
    run TEXT NOT NULL,
    hop INTEGER NOT NULL,
    kind TEXT NOT NULL,             -- user, item
    status TEXT NOT NULL,
    prompt TEXT NOT NULL,
    model TEXT NOT NULL,
    nodes INTEGER NOT NULL,
    turns INTEGER NOT NULL,
    PRIMARY KEY (run, hop, kind, status, prompt, model)
) WITHOUT ROWID;
CREATE INDEX outcomes_by_node ON outcomes (node, hop);
CREATE INDEX outcomes_by_status ON outcomes (run, hop, status);
"""

# printf rounds to two digits in every SQLite there is; log() is not in every one.
_ROUNDED = "CAST(printf('%.1e', {latency}) AS REAL)"
_KIND = "substr({node}, 1, instr({node}, ':') - 1)"
_FACETS = "run, stage, hop, turn, prompt, model, endpoint, status"
_OF_NEW = ", ".join(f"new.{name}" for name in _FACETS.split(", "))
_SAME = " AND ".join(f"{name} = new.{name}" for name in _FACETS.split(", "))
_OUTCOME = "INSERT INTO outcome_groups VALUES ({0}.run, {0}.hop, {kind}, {0}.status, {0}.prompt,"
_OUTCOME += " {0}.model, {1}1, {1}{0}.turns) ON CONFLICT DO UPDATE"
_OUTCOME += " SET nodes = nodes + excluded.nodes, turns = turns + excluded.turns;"


def _counted(row: str, sign: str = "") -> str:
    return _OUTCOME.format(row, sign, kind=_KIND.format(node=f"{row}.node"))


TRIGGERS = f"""
CREATE TRIGGER call_counted AFTER INSERT ON calls BEGIN
    INSERT INTO call_groups ({_FACETS}, calls, input_tokens, output_tokens, cost_nanousd, unpriced,
                             first, last)
    VALUES ({_OF_NEW}, 1, ifnull(new.input_tokens, 0), ifnull(new.output_tokens, 0),
            ifnull(new.cost_nanousd, 0), new.cost_nanousd IS NULL, new.id, new.id)
    ON CONFLICT ({_FACETS}) DO UPDATE SET
        calls = calls + 1,
        input_tokens = input_tokens + excluded.input_tokens,
        output_tokens = output_tokens + excluded.output_tokens,
        cost_nanousd = cost_nanousd + excluded.cost_nanousd,
        unpriced = unpriced + excluded.unpriced,
        last = excluded.last;
    INSERT INTO call_marks (id, grp, cost_nanousd, latency_ms)
    SELECT new.id, id, new.cost_nanousd, new.latency_ms FROM call_groups WHERE {_SAME};
    INSERT INTO call_latencies (grp, ms, calls)
    SELECT grp, {_ROUNDED.format(latency="new.latency_ms")}, 1 FROM call_marks
    WHERE id = new.id AND new.latency_ms > 0
    ON CONFLICT (grp, ms) DO UPDATE SET calls = calls + 1;
END;
CREATE TRIGGER outcome_counted AFTER INSERT ON outcomes BEGIN {_counted("new")} END;
CREATE TRIGGER outcome_recounted AFTER UPDATE ON outcomes BEGIN
    {_counted("old", "-")} {_counted("new")}
END;
"""

FILL = f"""
INSERT INTO call_groups ({_FACETS}, calls, input_tokens, output_tokens, cost_nanousd, unpriced,
                         first, last)
SELECT {_FACETS}, count(*), ifnull(sum(input_tokens), 0), ifnull(sum(output_tokens), 0),
       ifnull(sum(cost_nanousd), 0), sum(cost_nanousd IS NULL), min(id), max(id)
FROM calls GROUP BY {_FACETS};
INSERT INTO call_marks (id, grp, cost_nanousd, latency_ms)
SELECT calls.id, call_groups.id, calls.cost_nanousd, calls.latency_ms
FROM calls JOIN call_groups USING ({_FACETS}) ORDER BY calls.id;
INSERT INTO call_latencies (grp, ms, calls)
SELECT grp, {_ROUNDED.format(latency="latency_ms")} AS ms, count(*)
FROM call_marks WHERE latency_ms > 0 GROUP BY grp, ms;
INSERT INTO outcome_groups
SELECT run, hop, {_KIND.format(node="node")} AS kind, status, prompt, model, count(*), sum(turns)
FROM outcomes GROUP BY run, hop, kind, status, prompt, model;
"""
