"""The tables of a centre's DuckDB file, and the views people read them through.

Three tables only grow: ``readings`` (with ``texts`` beside them), ``batches`` and ``outcomes``, each commit a
block. Latest values, acceptance and counters follow from them, so they are committed in the same transaction
by construction; what they follow from is summed up now and then (``summed_*``, up to the numbers in
``meta``), so that a start reads only the tail.
"""

VERSION = 2

TABLES = """
CREATE TABLE IF NOT EXISTS meta (name VARCHAR, value BIGINT);
CREATE TABLE IF NOT EXISTS names (id INTEGER, name VARCHAR);
CREATE TABLE IF NOT EXISTS series (
    id INTEGER, origin VARCHAR, device VARCHAR, point VARCHAR, quantity VARCHAR, kind VARCHAR, unit VARCHAR
);
CREATE TABLE IF NOT EXISTS manifests (id BIGINT, gateway VARCHAR, body BLOB);
CREATE TABLE IF NOT EXISTS origins (origin VARCHAR, epoch BIGINT, manifest BIGINT);
CREATE TABLE IF NOT EXISTS readings (series INTEGER, at_us BIGINT, value DOUBLE, code UTINYINT, batch BIGINT);
CREATE TABLE IF NOT EXISTS texts (series INTEGER, at_us BIGINT, value VARCHAR, batch BIGINT);
CREATE TABLE IF NOT EXISTS batches (
    no BIGINT, gateway INTEGER, origin INTEGER, epoch BIGINT, seq BIGINT, lane UTINYINT, readings INTEGER,
    received_at BIGINT, stored_at BIGINT
);
CREATE TABLE IF NOT EXISTS outcomes (
    no BIGINT, gateway VARCHAR, outcome UTINYINT, reason UTINYINT, batches BIGINT, readings BIGINT, stored_at BIGINT
);
CREATE TABLE IF NOT EXISTS gaps (
    batch BIGINT, origin VARCHAR, epoch BIGINT, first_seq BIGINT, last_seq BIGINT, readings BIGINT, begin_us BIGINT,
    end_us BIGINT, reason UTINYINT, devices VARCHAR[]
);
CREATE TABLE IF NOT EXISTS malformed (no BIGINT, topic VARCHAR, reason UTINYINT, received_at BIGINT, data BLOB);
CREATE TABLE IF NOT EXISTS summed_latest (
    series INTEGER, rank BIGINT, at_us BIGINT, value DOUBLE, text VARCHAR, code UTINYINT
);
CREATE TABLE IF NOT EXISTS summed_accepted (origin VARCHAR, epoch BIGINT, seqs BLOB);
CREATE TABLE IF NOT EXISTS summed_outcomes (
    gateway VARCHAR, outcome UTINYINT, reason UTINYINT, batches BIGINT, readings BIGINT
);
CREATE TABLE IF NOT EXISTS states (gateway VARCHAR, body BLOB);
"""

COMMANDS = """
CREATE TABLE IF NOT EXISTS commands (
    id VARCHAR, gateway VARCHAR, device VARCHAR, point VARCHAR, quantity VARCHAR, unit VARCHAR, own_unit VARCHAR,
    value DOUBLE, own_value DOUBLE, issued_us BIGINT, expires_us BIGINT, issued_by VARCHAR
);
CREATE TABLE IF NOT EXISTS results (
    id VARCHAR, gateway VARCHAR, batch BIGINT, at_us BIGINT, outcome UTINYINT, value DOUBLE, code UTINYINT,
    text VARCHAR, stored_us BIGINT
);
"""
"""Version 2: what the poles were told to do, and what became of it."""

# Of equal ranks the one stored last wins, as in ingest.latest.
TAIL_LATEST = """
SELECT r.series AS series, least(r.at_us, b.stored_at) AS rank, r.at_us AS at_us, r.value AS value,
       t.value AS text, r.code AS code, r.batch AS batch, r.rowid AS row_id
FROM readings r JOIN batches b ON b.no = r.batch
LEFT JOIN texts t ON t.series = r.series AND t.at_us = r.at_us AND t.batch = r.batch
WHERE r.batch >= (SELECT value FROM meta WHERE name = 'next_batch')
"""

VIEWS = f"""
CREATE OR REPLACE VIEW latest AS
SELECT series, arg_max(struct_pack(at_us := at_us, rank := rank, value := value, text := text, code := code),
                       (rank, batch, row_id)) AS newest
FROM (
    SELECT series, rank, at_us, value, text, code, -1::BIGINT AS batch, -1::BIGINT AS row_id FROM summed_latest
    UNION ALL {TAIL_LATEST}
) GROUP BY series;
"""
