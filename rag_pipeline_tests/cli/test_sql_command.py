"""`sql` as a command; what can be asked is tested with `stores/sql.py`."""

from __future__ import annotations

from rag_pipeline_tests.cli.conftest import Ask


def test_json_prints_one_object_a_row(ask: Ask) -> None:
    answer = ask("sql", "SELECT source, uri, allowed_principals FROM silver.documents ORDER BY uri", "--json")
    assert answer.code == 0
    assert answer.err == ""
    assert answer.records[0] == {"source": "docs", "uri": "docs/copy-of-guide.md", "allowed_principals": ["public"]}


def test_every_value_of_a_table_can_be_printed_as_json(ask: Ask) -> None:
    query = "SELECT raw, observed_at, 0.1::DECIMAL(4,2) AS d, 'nan'::DOUBLE AS n, sum(1) OVER () AS s FROM bronze.docs"
    record = ask("sql", query, "--json").records[0]
    assert isinstance(record["raw"], str)
    assert record["observed_at"].endswith("+00:00")
    assert (record["d"], record["n"], record["s"]) == (0.1, None, 3)


def test_a_table_for_people_says_when_there_is_more(ask: Ask) -> None:
    answer = ask("sql", "SELECT range AS year FROM range(2020, 2030)", "--limit", "3")
    assert "2022" in answer.out
    assert "2023" not in answer.out
    assert "2,02" not in answer.out
    assert "first 3 rows" in answer.err
    assert "1 row" in ask("sql", "SELECT 1 AS one").err


def test_an_answer_without_rows_still_shows_its_columns(ask: Ask) -> None:
    answer = ask("sql", "SELECT uri FROM silver.documents WHERE false")
    assert answer.code == 0
    assert "uri" in answer.out
    assert ask("sql", "SELECT uri FROM silver.documents WHERE false", "--json").out == ""


def test_a_query_that_is_not_understood_ends_with_two(ask: Ask) -> None:
    for query in ("SELEC 1", "SELECT nothing FROM silver.documents", "DROP TABLE x", "", "SELECT 1; SELECT 2"):
        answer = ask("sql", query)
        assert answer.code == 2, query
        assert "SHOW ALL TABLES" in answer.err
    assert ask("sql", "SELECT 1", "--limit", "0").code == 2
