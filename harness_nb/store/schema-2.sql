-- Version 2. What is asked of years of sessions at each look is found without reading all of them.

CREATE INDEX sessions_by_run ON sessions (run_id) WHERE run_id IS NOT NULL;
-- The words of these conditions are those of the queries in sessions.py: else they are not used.
CREATE INDEX sessions_attempts ON sessions (plan_id)
    WHERE plan_id IS NOT NULL AND json_extract(data, '$.worker') <> 'python'
    AND json_extract(data, '$.taskType') IN ('execute', 'research');
CREATE INDEX sessions_unjudged ON sessions (plan_id)
    WHERE run_id IS NULL AND json_extract(data, '$.verdict') IS NULL
    AND plan_id IS NOT NULL AND json_extract(data, '$.worker') <> 'python'
    AND json_extract(data, '$.taskType') IN ('execute', 'research');

-- Where each plan of a run stands. Its version grows with every change, for those who look again and again.
CREATE TABLE run_plans (
    run_id TEXT NOT NULL,
    plan_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    selected INTEGER NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (run_id, plan_id)
);
CREATE INDEX run_plans_by_version ON run_plans (run_id, version);
