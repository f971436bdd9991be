"""The tables of jobs in Postgres, in a schema of their own. `jobs.journal.tables` has the columns for SQLite."""

from __future__ import annotations

from typing import Final, LiteralString

SCHEMA: Final = "leadconnector_jobs"

JOBS: Final[LiteralString] = """
CREATE SCHEMA leadconnector_jobs;

CREATE TABLE leadconnector_jobs.jobs (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    phase text COLLATE "C" NOT NULL,
    wanted text COLLATE "C" NOT NULL DEFAULT 'run',
    submitted integer NOT NULL DEFAULT 0,
    rate double precision,
    rows integer NOT NULL,
    stop_kind text COLLATE "C", stop_reason text COLLATE "C",
    made_at double precision NOT NULL, began_at double precision, ended_at double precision
);

CREATE TABLE leadconnector_jobs.locations (
    job integer NOT NULL REFERENCES leadconnector_jobs.jobs ON DELETE CASCADE,
    location text COLLATE "C" NOT NULL,
    rows integer NOT NULL,
    epoch integer NOT NULL DEFAULT 0, tries integer NOT NULL DEFAULT 0, worker bigint,
    prepared integer NOT NULL DEFAULT 0, ended integer NOT NULL DEFAULT 0, queued integer NOT NULL DEFAULT 0,
    applied integer NOT NULL DEFAULT 0, unchanged integer NOT NULL DEFAULT 0,
    unknown integer NOT NULL DEFAULT 0, not_changed integer NOT NULL DEFAULT 0,
    stop_kind text COLLATE "C", stop_reason text COLLATE "C", resume_at double precision,
    PRIMARY KEY (job, location)
) WITH (fillfactor = 50);
CREATE INDEX locations_owned ON leadconnector_jobs.locations (worker) WHERE worker IS NOT NULL;
CREATE INDEX locations_open ON leadconnector_jobs.locations (job) WHERE ended = 0;

CREATE TABLE leadconnector_jobs.workers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    beats integer NOT NULL DEFAULT 0,
    lease double precision NOT NULL,
    host text COLLATE "C" NOT NULL, pid integer NOT NULL, version text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    seen_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    state text COLLATE "C" NOT NULL,
    slots integer NOT NULL, busy integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE leadconnector_jobs.rows (
    job integer NOT NULL REFERENCES leadconnector_jobs.jobs ON DELETE CASCADE,
    location text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    line integer NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    wanted bytea NOT NULL,
    state text COLLATE "C" NOT NULL DEFAULT 'loaded',
    found bytea, zone_offset integer, updates bytea, requests integer NOT NULL DEFAULT 0, differences bytea,
    owner_before text COLLATE "C", start_before bigint, end_before bigint,
    owner_after text COLLATE "C", start_after bigint, end_after bigint,
    rank integer NOT NULL DEFAULT 0, waits_for text COLLATE "C", parks bigint,
    read_at double precision, sent_at double precision, done_at double precision, seconds double precision,
    attempts integer NOT NULL DEFAULT 0, repeated integer NOT NULL DEFAULT 0,
    reason text COLLATE "C" NOT NULL DEFAULT '', trace_id text COLLATE "C", shown bytea, new_id text COLLATE "C",
    PRIMARY KEY (job, location, number)
);
CREATE INDEX rows_by_event ON leadconnector_jobs.rows (job, location, event_id);
CREATE INDEX rows_by_new_id ON leadconnector_jobs.rows (job, location, new_id) WHERE new_id IS NOT NULL;
CREATE INDEX rows_parking ON leadconnector_jobs.rows (job, location, parks) WHERE parks IS NOT NULL;
CREATE INDEX rows_unread ON leadconnector_jobs.rows (job, location, number) WHERE read_at IS NULL;
CREATE INDEX rows_open ON leadconnector_jobs.rows (job, location, rank, number)
    WHERE state IN ('pending', 'sent');

CREATE TABLE leadconnector_jobs.facts (
    job integer NOT NULL REFERENCES leadconnector_jobs.jobs ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL, value text COLLATE "C" NOT NULL,
    PRIMARY KEY (job, name)
);
CREATE TABLE leadconnector_jobs.faults (
    job integer NOT NULL REFERENCES leadconnector_jobs.jobs ON DELETE CASCADE,
    location text COLLATE "C" NOT NULL, line integer NOT NULL,
    column_name text COLLATE "C" NOT NULL, reason text COLLATE "C" NOT NULL, hint text COLLATE "C" NOT NULL
);
CREATE INDEX faults_of_job ON leadconnector_jobs.faults (job);
CREATE TABLE leadconnector_jobs.verdicts (
    job integer NOT NULL REFERENCES leadconnector_jobs.jobs ON DELETE CASCADE,
    location text COLLATE "C" NOT NULL, number bigint NOT NULL,
    verdict text COLLATE "C" NOT NULL, reason text COLLATE "C" NOT NULL, seen bytea,
    PRIMARY KEY (job, location, number)
);
CREATE TABLE leadconnector_jobs.moments (
    job integer NOT NULL REFERENCES leadconnector_jobs.jobs ON DELETE CASCADE,
    location text COLLATE "C" NOT NULL, at double precision NOT NULL,
    kind text COLLATE "C" NOT NULL, seconds double precision NOT NULL
);
CREATE INDEX moments_of_job ON leadconnector_jobs.moments (job, at);

-- Not FOR SHARE, which deadlocks with the update; nor FOR KEY SHARE, beside which a location can be taken.
CREATE FUNCTION leadconnector_jobs.leadconnector_hold(
    jobs integer[], places text[], epochs integer[],
    more_applied integer[], more_unchanged integer[], more_not_changed integer[], more_unknown integer[]
) RETURNS void LANGUAGE plpgsql SET search_path = leadconnector_jobs, pg_temp AS $$
DECLARE held integer;
BEGIN
    SELECT count(*) INTO held FROM (
        SELECT 1 FROM locations AS l
            JOIN unnest(jobs, places, epochs) AS w (job, location, epoch) USING (job, location)
        WHERE w.epoch = 0 OR l.epoch = w.epoch
        ORDER BY l.job, l.location FOR NO KEY UPDATE OF l
    ) AS found;
    IF held <> cardinality(jobs) THEN
        RAISE EXCEPTION 'fence lost' USING ERRCODE = 'LC001';
    END IF;
    UPDATE locations AS l SET tries = 0, applied = l.applied + w.a, unchanged = l.unchanged + w.s,
        not_changed = l.not_changed + w.n, unknown = l.unknown + w.u
    FROM unnest(jobs, places, more_applied, more_unchanged, more_not_changed, more_unknown)
        AS w (job, location, a, s, n, u)
    WHERE l.job = w.job AND l.location = w.location AND (w.a <> 0 OR w.s <> 0 OR w.n <> 0 OR w.u <> 0);
END $$;
REVOKE ALL ON FUNCTION leadconnector_jobs.leadconnector_hold FROM PUBLIC;

CREATE VIEW leadconnector_jobs.progress AS
    SELECT jobs.name, jobs.phase, jobs.wanted, jobs.rows, places.*, jobs.rate,
        to_timestamp(jobs.made_at) AS made_at, to_timestamp(jobs.began_at) AS began_at,
        to_timestamp(jobs.ended_at) AS ended_at
    FROM leadconnector_jobs.jobs, LATERAL (
        SELECT coalesce(sum(applied), 0) AS applied, coalesce(sum(unchanged), 0) AS unchanged,
            coalesce(sum(not_changed), 0) AS not_changed, coalesce(sum(unknown), 0) AS unknown,
            count(*) AS locations, count(*) FILTER (WHERE ended = 1) AS ended_locations,
            count(DISTINCT worker) AS workers
        FROM leadconnector_jobs.locations WHERE locations.job = jobs.id
    ) AS places;
"""
"""Migration 3. Once released, it is never changed: what is added later is a migration of its own."""
