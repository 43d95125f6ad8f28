"""The statements of a delivery, with places for names: {s} is the schema, {x} that of pgvector.

Belongs here: SQL that compares and brings rows.
Does not belong here: their order (`delivery.py`), tables (`schema.py`).
"""

from __future__ import annotations

DESIRED = """CREATE TEMPORARY TABLE desired (
    chunk_id text PRIMARY KEY, state text NOT NULL, allowed_principals text[] NOT NULL) ON COMMIT DROP"""
TO_LEAVE = "CREATE TEMPORARY TABLE leaving (chunk_id text PRIMARY KEY) ON COMMIT DROP"
LEAVING = """
INSERT INTO pg_temp.leaving SELECT t.chunk_id FROM {s}.{t} t
WHERE NOT EXISTS (SELECT FROM pg_temp.desired d WHERE d.chunk_id = t.chunk_id) ON CONFLICT DO NOTHING
"""
GONE = "DELETE FROM {s}.{t} t USING pg_temp.leaving l WHERE l.chunk_id = t.chunk_id"
DIFFERING = """
SELECT d.chunk_id, v.chunk_id IS NULL OR v.space_fingerprint <> {space} {bad_vector}
FROM pg_temp.desired d LEFT JOIN {s}.permissions p USING (chunk_id) LEFT JOIN {s}.chunks c USING (chunk_id)
LEFT JOIN {s}.vectors v USING (chunk_id)
WHERE p.chunk_id IS NULL OR c.chunk_id IS NULL OR v.chunk_id IS NULL OR p.state <> d.state
    OR v.space_fingerprint <> {space} {bad_chunk} {bad_vector}
"""
PERMISSIONS = """
INSERT INTO {s}.permissions AS p (chunk_id, allowed_principals, state)
SELECT chunk_id, allowed_principals, state FROM pg_temp.desired
ON CONFLICT (chunk_id) DO UPDATE SET allowed_principals = excluded.allowed_principals, state = excluded.state
WHERE p.allowed_principals IS DISTINCT FROM excluded.allowed_principals OR p.state <> excluded.state
"""
CHUNKS = """
INSERT INTO {s}.chunks AS c ({columns}, checksum)
SELECT {columns}, pg_catalog.md5(ROW({changed})::text) FROM pg_temp.staged
ON CONFLICT (chunk_id) DO UPDATE SET ({changed}, checksum) = ROW({given}, excluded.checksum)
WHERE ROW({held}) IS DISTINCT FROM ROW({given}) OR c.checksum <> excluded.checksum
"""
VECTORS = """
INSERT INTO {s}.vectors AS v (chunk_id, space_fingerprint, embedding, checksum)
SELECT chunk_id, {space}, embedding, pg_catalog.md5({x}.vector_send(embedding)) FROM pg_temp.staged_vectors
ON CONFLICT (chunk_id) DO UPDATE
SET space_fingerprint = excluded.space_fingerprint, embedding = excluded.embedding, checksum = excluded.checksum
"""
GROUPS_GONE = """
DELETE FROM {s}.groups g WHERE NOT EXISTS (
    SELECT FROM pg_temp.desired_groups d
    WHERE d.member_principal = g.member_principal AND d.group_principal = g.group_principal)
"""
GROUPS_NEW = """
INSERT INTO {s}.groups SELECT DISTINCT member_principal, group_principal FROM pg_temp.desired_groups
ON CONFLICT DO NOTHING
"""
LEAVING_WITHOUT_TEXT = """
INSERT INTO pg_temp.leaving SELECT p.chunk_id FROM {s}.permissions p
WHERE NOT EXISTS (SELECT FROM {s}.chunks c WHERE c.chunk_id = p.chunk_id) ON CONFLICT DO NOTHING
"""
NARROWED = """
UPDATE {s}.permissions p SET allowed_principals = n.allowed_principals FROM pg_temp.narrowed n
WHERE n.chunk_id = p.chunk_id AND p.allowed_principals IS DISTINCT FROM n.allowed_principals
"""
NOTE_LESS = """
UPDATE {s}.delivery SET publication = pg_catalog.replace(publication, {less}, '') || {less}, groups_hash = '',
    rows = (SELECT count(*) FROM {s}.permissions), is_touched = is_touched OR {is_touched},
    delivered_at = pg_catalog.clock_timestamp()
"""
COMPARED = """
SELECT 'missing', d.chunk_id FROM pg_temp.desired d LEFT JOIN {s}.permissions p USING (chunk_id)
LEFT JOIN {s}.chunks c USING (chunk_id) LEFT JOIN {s}.vectors v USING (chunk_id)
WHERE p.chunk_id IS NULL OR c.chunk_id IS NULL OR v.chunk_id IS NULL
UNION ALL SELECT 'ghosts', g.chunk_id FROM (SELECT chunk_id FROM {s}.permissions UNION SELECT chunk_id FROM {s}.chunks
    UNION SELECT chunk_id FROM {s}.vectors) g
WHERE NOT EXISTS (SELECT FROM pg_temp.desired d WHERE d.chunk_id = g.chunk_id)
UNION ALL SELECT 'mismatched', d.chunk_id FROM pg_temp.desired d JOIN {s}.permissions p USING (chunk_id)
JOIN {s}.chunks c USING (chunk_id) JOIN {s}.vectors v USING (chunk_id)
WHERE p.state <> d.state OR p.allowed_principals IS DISTINCT FROM d.allowed_principals
    OR v.space_fingerprint <> {space} {bad_chunk} {bad_vector}
"""
