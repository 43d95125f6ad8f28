"""Searching in SQL: the nearest rows, rows with the words, and both together, each as the caller may.

Belongs here: the functions that readers call, as SQL.
Does not belong here: tables and who asks (`schema.py`), the search of the lake (`retrieval/`).

Each runs with the rights of its caller, so that row-level security decides, whatever is asked. An approximate index
finds next to nothing for somebody who may read few of the rows: then all of these are compared, which is faster, too.
Words are weighed by BM25 over what the caller may read, so that no count tells of other texts.
"""

from __future__ import annotations

from collections.abc import Mapping

from rag_pipeline.stores.postgres.rows import CONFIGURATIONS, OTHER_LANGUAGES

# Up to so many rows comparing all of them is as fast as an approximate index, and finds each.
EXACT_ROWS = 10_000
# At 100,000 rows of which a caller may read half these found 995 of the 1,000 nearest.
EFFORT = {"hnsw.ef_search": "200", "hnsw.iterative_scan": "relaxed_order", "hnsw.max_scan_tuples": "200000"}
# What the literature gives; k1 is how soon more of one word counts no more, b how much long texts are held down.
BM25_K1, BM25_B = 1.2, 0.75
# As deep as the search of the lake looks for `k` hits.
_DEPTH = "greatest(100, 5 * k)"

_NEAREST = """
CREATE OR REPLACE FUNCTION {s}.nearest(query_vector {x}.vector, k integer)
RETURNS TABLE (chunk_id text, distance double precision) STABLE LANGUAGE plpgsql
SET search_path = pg_catalog, {x}, pg_temp @EFFORT@ AS $body$
#variable_conflict use_column
DECLARE
    version record;
    found text := 'SELECT v.chunk_id, v.embedding <=> $1 AS distance FROM @S@.permissions p '
        'JOIN @S@.vectors v USING (chunk_id) ORDER BY distance FETCH FIRST $2 ROWS WITH TIES';
BEGIN
    SELECT d.alias, d.dimension, d.space_fingerprint, d.is_approximate INTO version FROM {s}.delivery d;
    IF vector_dims(query_vector) <> version.dimension THEN
        RAISE EXCEPTION 'the query vector has % dimensions, and those of embedding model % have %',
            vector_dims(query_vector), version.alias, version.dimension USING ERRCODE = 'data_exception';
    END IF;
    IF version.is_approximate
        AND (SELECT count(*) FROM (SELECT FROM {s}.permissions LIMIT @EXACT@ + 1) AS readable) > @EXACT@ THEN
        -- The literals are those of the index: a parameter would keep the planner from it.
        found := format('SELECT n.chunk_id, n.distance FROM (SELECT v.chunk_id, v.embedding <=> $1 AS distance '
            'FROM @S@.vectors v WHERE v.space_fingerprint = %L '
            'ORDER BY v.embedding::vector(%s) <=> $1::vector(%s) LIMIT $2) n ORDER BY n.distance',
            version.space_fingerprint, version.dimension, version.dimension);
    END IF;
    RETURN QUERY EXECUTE 'SELECT f.chunk_id, f.distance FROM (' || found || ') f JOIN @S@.chunks c USING (chunk_id) '
        'ORDER BY f.distance, c.uri COLLATE "C", c.source COLLATE "C", c.start_char, f.chunk_id COLLATE "C" LIMIT $2'
        USING query_vector, k;
END $body$;
"""

_MATCHING = """
CREATE OR REPLACE FUNCTION {s}.matching(query_text text, k integer)
RETURNS TABLE (chunk_id text, score double precision) STABLE LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $body$
    WITH asked AS MATERIALIZED (
        SELECT name::regconfig AS configuration, tsvector_to_array(to_tsvector(name::regconfig, query_text)) AS lexemes
        FROM unnest('@CONFIGURATIONS@'::text[]) AS name
    ), said AS MATERIALIZED (
        SELECT a.configuration, a.lexemes, array_to_string(ARRAY(
            SELECT '''' || replace(replace(l, E'\\\\', E'\\\\\\\\'), '''', '''''') || '''' FROM unnest(a.lexemes) AS l
        ), ' | ')::tsquery AS query
        FROM asked a WHERE cardinality(a.lexemes) > 0
    ), matched AS MATERIALIZED (
        SELECT c.chunk_id, c.words, s.lexemes, c.token_count::double precision AS size,
            c.uri, c.source, c.start_char
        FROM {s}.chunks c JOIN said s USING (configuration) WHERE c.words @@ s.query
    ), terms AS MATERIALIZED (
        SELECT m.chunk_id, u.lexeme, cardinality(u.positions)::double precision AS times, m.size
        FROM matched m CROSS JOIN LATERAL unnest(m.words) AS u WHERE u.lexeme = ANY (m.lexemes)
    ), rare AS (
        SELECT t.lexeme, ln(1 + (n.rows - count(*) + 0.5) / (count(*) + 0.5)) AS weight
        FROM terms t CROSS JOIN (SELECT count(*)::double precision AS rows FROM {s}.permissions) n
        GROUP BY t.lexeme, n.rows
    ), scored AS (
        SELECT t.chunk_id, sum(r.weight * t.times * (1 + @K1@)
            / (t.times + @K1@ * (1 - @B@ + @B@ * t.size / a.size))) AS score
        FROM terms t JOIN rare r USING (lexeme) CROSS JOIN (SELECT avg(m.size) AS size FROM matched m) a
        GROUP BY t.chunk_id
    )
    SELECT s.chunk_id, s.score FROM scored s JOIN matched m USING (chunk_id)
    ORDER BY s.score DESC, m.uri COLLATE "C", m.source COLLATE "C", m.start_char, s.chunk_id COLLATE "C" LIMIT k
$body$;
"""

_SEARCH = """
CREATE OR REPLACE FUNCTION {s}.rag_search(
    query_vector {x}.vector, query_text text, k integer DEFAULT 10, vector_weight double precision DEFAULT 0.5)
RETURNS TABLE (rank bigint, score double precision, chunk_id text, document_id text, source text, uri text, title text,
    section_path text[], text text, vector_rank bigint, text_rank bigint) STABLE LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $body$
    WITH by_vector AS MATERIALIZED (
        SELECT n.chunk_id, 1 - n.distance AS cosine, row_number() OVER () AS place
        FROM {s}.nearest(query_vector, @DEPTH@) n WHERE query_vector IS NOT NULL
    ), by_words AS MATERIALIZED (
        SELECT m.chunk_id, m.score, row_number() OVER () AS place
        FROM {s}.matching(query_text, @DEPTH@) m WHERE query_text IS NOT NULL
    ), scale AS (
        SELECT max(cosine) AS best, min(cosine) FILTER (WHERE place <= 100) AS least FROM by_vector
    ), fused AS (
        SELECT chunk_id, v.place AS vector_rank, w.place AS text_rank,
            CASE WHEN query_text IS NULL THEN 1 WHEN query_vector IS NULL THEN 0 ELSE vector_weight END
                * coalesce(greatest((v.cosine - s.least) / nullif(s.best - s.least, 0), 0),
                    (v.place IS NOT NULL)::integer)
            + CASE WHEN query_vector IS NULL THEN 1 WHEN query_text IS NULL THEN 0 ELSE 1 - vector_weight END
                * coalesce(w.score / (SELECT max(score) FROM by_words), 0) AS score
        FROM by_vector v FULL JOIN by_words w USING (chunk_id) CROSS JOIN scale s
    ), ranked AS (
        SELECT f.chunk_id, f.vector_rank, f.text_rank, f.score * c.rank_weight AS score, c.document_id, c.source, c.uri,
            c.title, c.section_path, c.text, c.start_char
        FROM fused f JOIN {s}.chunks c USING (chunk_id)
    )
    SELECT row_number() OVER by_place, score, chunk_id, document_id, source, uri, title, section_path, text,
        vector_rank, text_rank
    FROM ranked
    WINDOW by_place AS (ORDER BY score DESC, vector_rank, text_rank, uri COLLATE "C", source COLLATE "C", start_char,
        chunk_id COLLATE "C")
    ORDER BY 1 LIMIT k
$body$;
"""


def functions(schema: str, exact_rows: int = EXACT_ROWS) -> Mapping[str, str]:
    """Signature and SQL of each function, with places for the schema and that of pgvector.

    Args:
        schema: A name that needs no quotes.
        exact_rows: Up to so many rows that a caller may read, all of them are compared.
    """
    names = ",".join(f"pg_catalog.{name}" for name in sorted({*CONFIGURATIONS.values(), OTHER_LANGUAGES}))
    parts = {
        "@EFFORT@": " ".join(f"SET {name} = '{value}'" for name, value in EFFORT.items()),
        "@EXACT@": str(exact_rows),
        "@S@": f'"{schema}"',
        "@CONFIGURATIONS@": f"{{{{{names}}}}}",
        "@K1@": str(BM25_K1),
        "@B@": str(BM25_B),
        "@DEPTH@": _DEPTH,
    }
    bodies = {
        "nearest({x}.vector, integer)": _NEAREST,
        "matching(text, integer)": _MATCHING,
        "rag_search({x}.vector, text, integer, double precision)": _SEARCH,
    }
    for mark, value in parts.items():
        bodies = {signature: body.replace(mark, value) for signature, body in bodies.items()}
    return bodies
