"""Tables, rights and functions of the schema that is delivered to.

Belongs here: everything that stands there before there are rows, as SQL, and telling whether it still stands so.
Does not belong here: `rag_search` (`search.py`), rows (`rows.py`, `delivery.py`).

Who may read a row stands in a table of its own, so that changing it touches neither the vector nor its index. Who asks
is the role of the connection, by `memberships`; only roles in `gateways` may say it by the setting `rag.principals`,
since whoever may run any SQL can set any setting. The functions are bound to what they name when they are made, so
that no caller's `search_path` leads them elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Cursor
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from rag_pipeline.contracts.ids import digest
from rag_pipeline.contracts.sources import PUBLIC
from rag_pipeline.errors import DeliveryFailed

# Another layout of tables or functions is made anew, with its rows, in one transaction: raise it.
LAYOUT = 2
# Delivered as they are; made again where their columns are not these.
DELIVERED = ("chunks", "vectors", "permissions", "groups", "delivery")
# Written by people, and never made again.
BY_HAND = ("memberships", "gateways")
# What readers may know of the version.
VERSION_COLUMNS = (
    *("publication", "sequence", "alias", "space_fingerprint", "dimension", "is_approximate", "rows"),
    *("layout", "searched", "delivered_at"),
)
# A tsvector holds a megabyte at most, and a character has four bytes.
INDEXED_CHARS = 250_000

_EXTENSION = """SELECT n.nspname FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"""

_TABLES = """
CREATE SCHEMA IF NOT EXISTS {s};
CREATE TABLE IF NOT EXISTS {s}.delivery (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    layout integer NOT NULL, lake text NOT NULL, publication text NOT NULL, sequence bigint NOT NULL,
    alias text NOT NULL, space_fingerprint text NOT NULL, dimension integer NOT NULL,
    is_approximate boolean NOT NULL, rows bigint NOT NULL, groups_hash text NOT NULL, searched text NOT NULL,
    is_touched boolean NOT NULL, columns text NOT NULL, installed text NOT NULL,
    delivered_at timestamptz NOT NULL DEFAULT pg_catalog.now());
CREATE TABLE IF NOT EXISTS {s}.memberships (role regrole PRIMARY KEY, principals text[] NOT NULL);
CREATE TABLE IF NOT EXISTS {s}.gateways (role regrole PRIMARY KEY);
CREATE TABLE IF NOT EXISTS {s}.groups (
    member_principal text NOT NULL, group_principal text NOT NULL, PRIMARY KEY (member_principal, group_principal));
CREATE TABLE IF NOT EXISTS {s}.permissions (
    chunk_id text PRIMARY KEY, allowed_principals text[] NOT NULL, state text NOT NULL);
CREATE INDEX IF NOT EXISTS permissions_principals ON {s}.permissions USING gin (allowed_principals);
CREATE TABLE IF NOT EXISTS {s}.chunks (
    chunk_id text PRIMARY KEY, {columns}, configuration regconfig NOT NULL, checksum text NOT NULL,
    text text NOT NULL GENERATED ALWAYS AS (pg_catalog.substr(embedded_text, header_chars::integer + 1)) STORED,
    words tsvector NOT NULL GENERATED ALWAYS AS (
        pg_catalog.to_tsvector(configuration, pg_catalog."left"(embedded_text, {indexed_chars}))) STORED);
CREATE INDEX IF NOT EXISTS chunks_words ON {s}.chunks USING gin (words);
CREATE INDEX IF NOT EXISTS chunks_document ON {s}.chunks (document_id);
CREATE TABLE IF NOT EXISTS {s}.vectors (
    chunk_id text PRIMARY KEY, space_fingerprint text NOT NULL, embedding {x}.vector NOT NULL, checksum text NOT NULL);
"""

_WHO_ASKS = """
CREATE OR REPLACE FUNCTION {s}.own_principals() RETURNS text[] STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT ARRAY[{public}]
        || ARRAY(SELECT pg_catalog.unnest(m.principals) FROM {s}.memberships m
            WHERE pg_catalog.pg_has_role(m.role, 'USAGE'))
        || coalesce((SELECT nullif(pg_catalog.current_setting('rag.principals', true), '')::text[]
            WHERE EXISTS (SELECT FROM {s}.gateways g
                JOIN pg_catalog.pg_roles r ON r.oid = g.role WHERE r.rolname = current_user)), ARRAY[]::text[]);
END;
CREATE OR REPLACE FUNCTION {s}.principals() RETURNS text[] STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT o.own || ARRAY(SELECT g.group_principal FROM {s}.groups g WHERE g.member_principal = ANY (o.own))
    FROM (SELECT {s}.own_principals() AS own) o;
END;
"""

_NOTICED = """
CREATE OR REPLACE FUNCTION {s}.touched() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF current_setting('rag.delivering', true) IS DISTINCT FROM 'on' THEN
        UPDATE {s}.delivery SET is_touched = true WHERE NOT is_touched;
    END IF;
    RETURN NULL;
END $body$;
"""

_POLICIES: Mapping[str, str] = {
    "permissions": "allowed_principals && (SELECT {s}.principals())",
    "chunks": "EXISTS (SELECT FROM {s}.permissions p WHERE p.chunk_id = chunks.chunk_id)",
    "vectors": "EXISTS (SELECT FROM {s}.permissions p WHERE p.chunk_id = vectors.chunk_id)",
    "groups": "member_principal = ANY ((SELECT {s}.own_principals())::text[])",
    "memberships": "pg_catalog.pg_has_role(role, 'USAGE')",
    "gateways": "pg_catalog.pg_has_role(role, 'USAGE')",
}

# Everything of the schema that rights and results hang on, whoever changed it; an index of vectors comes and goes.
_STANDING = """
SELECT pg_catalog.md5(pg_catalog.string_agg(said, E'\\n' ORDER BY said)) FROM (
    SELECT pg_catalog.concat_ws(' ', 'table', c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relowner,
        coalesce(c.relacl::text, '')) AS said
    FROM pg_catalog.pg_class c WHERE c.relnamespace = {n}::regnamespace AND c.relkind <> 'i'
    UNION ALL SELECT pg_catalog.concat_ws(' ', 'index', pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid)
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    WHERE c.relnamespace = {n}::regnamespace AND c.relname NOT LIKE 'hnsw%'
    UNION ALL SELECT pg_catalog.concat_ws(' ', 'column', c.relname, a.attname, coalesce(a.attacl::text, ''))
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = {n}::regnamespace AND c.relkind = 'r' AND a.attacl IS NOT NULL
    UNION ALL SELECT pg_catalog.concat_ws(' ', 'policy', c.relname, p.polname, p.polcmd, p.polpermissive,
        p.polroles::text, coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), ''))
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    WHERE c.relnamespace = {n}::regnamespace
    UNION ALL SELECT pg_catalog.concat_ws(' ', 'function', pg_catalog.pg_get_functiondef(p.oid), p.proowner,
        coalesce(p.proacl::text, ''))
    FROM pg_catalog.pg_proc p WHERE p.pronamespace = {n}::regnamespace AND p.prokind = 'f'
    UNION ALL SELECT pg_catalog.concat_ws(' ', 'trigger', pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled)
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = {n}::regnamespace AND NOT t.tgisinternal
    UNION ALL SELECT pg_catalog.concat_ws(' ', 'schema', n.nspowner, coalesce(n.nspacl::text, ''))
    FROM pg_catalog.pg_namespace n WHERE n.nspname = {n}
) AS standing
"""

# What is there of others than who delivers; a schema may be made by an administrator, who sees everything anyhow.
_OF_OTHERS = """
SELECT said, r.rolname, current_user FROM (
    SELECT 'the schema' AS said, n.nspowner AS owner FROM pg_catalog.pg_namespace n WHERE n.nspname = {n}
    UNION ALL SELECT c.relname, c.relowner FROM pg_catalog.pg_class c WHERE c.relnamespace = (
        SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {n}) AND c.relkind NOT IN ('i', 't')
    UNION ALL SELECT 'function ' || p.proname, p.proowner FROM pg_catalog.pg_proc p WHERE p.pronamespace = (
        SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = {n})
) AS found JOIN pg_catalog.pg_roles r ON r.oid = found.owner
WHERE r.rolname <> current_user AND NOT (said = 'the schema' AND r.rolsuper) ORDER BY 1 LIMIT 1
"""
_MAKERS = """
SELECT DISTINCT a.grantee, r.rolname FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) a
LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
WHERE n.nspname = {n} AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
    AND r.rolname IS DISTINCT FROM current_user
"""

_COLUMNS = """
SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', c.relname, a.attname,
    pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid)), ', '
    ORDER BY c.relname, a.attnum)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = {n}::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""


class Schema:
    """The schema of one server, within a transaction.

    Args:
        columns: Type of each column of `chunks` that is delivered as it is.
        readers: Roles that may search.
        functions: More functions for readers, as SQL in which {s} is the schema and {x} that of pgvector, and the
            signature of each.
    """

    def __init__(
        self,
        cursor: Cursor[Any],
        name: str,
        columns: Mapping[str, str],
        readers: Sequence[str],
        functions: Mapping[str, str],
    ) -> None:
        self._cursor = cursor
        self._name = name
        self._columns = columns
        self._readers = readers
        self._functions = functions
        self.extension = self._one(SQL(_EXTENSION))
        if self.extension is None:
            cursor.execute("CREATE EXTENSION vector SCHEMA public")
            self.extension = "public"

    def named(self, text: str, **parts: Composable) -> Composed:
        """SQL with the names filled in: {s} is the schema, {x} that of pgvector, {n} the schema's name as a text."""
        names = {"s": Identifier(self._name), "x": Identifier(str(self.extension)), "n": Literal(self._name)}
        return SQL(text).format(**names, **parts)

    def _one(self, query: SQL | Composed) -> Any:
        row = self._cursor.execute(query).fetchone()
        return None if row is None else row[0]

    @property
    def is_there(self) -> bool:
        """Whether anything was delivered to it ever."""
        return self._is_table("delivery")

    def _is_table(self, name: str) -> bool:
        found = "SELECT pg_catalog.to_regclass(pg_catalog.format('%I.%I', {n}::text, {t}::text))"
        return self._one(self.named(found, t=Literal(name))) is not None

    def _check_owners(self) -> None:
        """Whoever owns a table reads all of it, and whoever owns a function may change what it says.

        Raises:
            DeliveryFailed: Something there is another role's: it was made before there was a delivery.
        """
        row = self._cursor.execute(self.named(_OF_OTHERS)).fetchone()
        if row is not None:
            what, owner, me = row
            raise DeliveryFailed(
                f"in schema {self._name} of PostgreSQL {what} belongs to role {owner}, who could read or change "
                f"whatever is delivered there; nothing was changed. Name another schema_name, or look what it is and "
                f"have it dropped or given to role {me}"
            )

    def state(self) -> Mapping[str, Any]:
        """What was noted with the last delivery; empty: there was none, or the note is gone."""
        if not self.is_there:
            return {}
        row = self._cursor.execute(self.named("SELECT pg_catalog.to_jsonb(d) FROM {s}.delivery d")).fetchone()
        return {} if row is None else row[0]

    def is_same(self, state: Mapping[str, Any]) -> bool:
        """Whether tables stand as a delivery of this program made them."""
        return bool(state) and state["layout"] == LAYOUT and state["columns"] == self.columns()

    def signature(self) -> str:
        """Equal while tables, rights, policies and functions are what they were, and are asked to be."""
        return digest("installed", self.standing(), str(LAYOUT), *self._readers, *self._functions.values())

    def standing(self) -> str:
        """Equal while tables, rights, policies and functions are what they were."""
        return str(self._one(self.named(_STANDING)))

    def columns(self) -> str:
        """Equal while the tables have the same columns."""
        return str(self._one(self.named(_COLUMNS)))

    def install(self, *, anew: bool) -> None:
        """Make everything that stands before there are rows, and take away what others added to rights.

        Args:
            anew: Make the tables that are delivered again, empty; readers go on seeing the old ones until the commit.
        """
        run = self._cursor.execute
        self._check_owners()
        if anew:
            for table in DELIVERED:
                run(self.named("DROP TABLE IF EXISTS {s}.{t} CASCADE", t=Identifier(table)))
        columns = SQL(", ").join(
            SQL("{} {}").format(Identifier(name), SQL(kind)) for name, kind in self._columns.items()
        )
        made = [table for table in BY_HAND if not self._is_table(table)]
        run(self.named(_TABLES, columns=columns, indexed_chars=Literal(INDEXED_CHARS)))
        for table in made:
            # What a server gives everybody on new tables is no wish of whoever fills them in.
            self._revoke(table)
        run(self.named(_WHO_ASKS, public=Literal(PUBLIC)))
        run(self.named(_NOTICED))
        for table in (*DELIVERED, *BY_HAND):
            self._watch(table)
            self._close(table)
        for body in self._functions.values():
            run(self.named(body))
        self._open()

    def _watch(self, table: str) -> None:
        if table in BY_HAND or table == "delivery":
            return
        for event in ("INSERT OR UPDATE OR DELETE", "TRUNCATE"):
            trigger = Identifier(f"touched_by_{event.split()[0].lower()}")
            self._cursor.execute(
                self.named(
                    "CREATE OR REPLACE TRIGGER {trigger} AFTER {event} ON {s}.{t} EXECUTE FUNCTION {s}.touched();"
                    "ALTER TABLE {s}.{t} ENABLE ALWAYS TRIGGER {trigger}",
                    trigger=trigger,
                    event=SQL(event),
                    t=Identifier(table),
                )
            )

    def _close(self, table: str) -> None:
        """No policy but ours, and no right of anybody but the owner; what people grant on their own tables stays."""
        names = "SELECT policyname FROM pg_catalog.pg_policies WHERE schemaname = {n} AND tablename = {t}"
        for (policy,) in self._cursor.execute(self.named(names, t=Literal(table))).fetchall():
            self._cursor.execute(self.named("DROP POLICY {p} ON {s}.{t}", p=Identifier(policy), t=Identifier(table)))
        if table not in BY_HAND:
            self._revoke(table)
        if table not in _POLICIES:
            return
        self._cursor.execute(
            self.named(
                "ALTER TABLE {s}.{t} ENABLE ROW LEVEL SECURITY;"
                "CREATE POLICY readers ON {s}.{t} FOR SELECT USING (" + _POLICIES[table] + ")",
                t=Identifier(table),
            )
        )

    def _revoke(self, table: str) -> None:
        granted = """SELECT DISTINCT a.grantee, r.rolname FROM pg_catalog.pg_class c
            CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
            WHERE c.relnamespace = {n}::regnamespace AND c.relname = {t} AND a.grantee <> c.relowner
            UNION SELECT DISTINCT a.grantee, r.rolname FROM pg_catalog.pg_attribute t
            JOIN pg_catalog.pg_class c ON c.oid = t.attrelid
            CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
            WHERE c.relnamespace = {n}::regnamespace AND c.relname = {t} AND a.grantee <> c.relowner"""
        for grantee, role in self._cursor.execute(self.named(granted, t=Literal(table))).fetchall():
            who = SQL("PUBLIC") if not grantee else Identifier(role)
            self._cursor.execute(self.named("REVOKE ALL ON {s}.{t} FROM {who} CASCADE", t=Identifier(table), who=who))

    def _open(self) -> None:
        run = self._cursor.execute
        run(self.named("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {s} FROM PUBLIC"))
        for grantee, role in run(self.named(_MAKERS)).fetchall():
            # Functions of others beside ours would be called in their place.
            maker: Composable = SQL("PUBLIC") if not grantee else Identifier(role)
            run(self.named("REVOKE CREATE ON SCHEMA {s} FROM {who} CASCADE", who=maker))
        if not self._readers:
            return
        who = SQL(", ").join(map(Identifier, self._readers))
        version = SQL(", ").join(map(Identifier, VERSION_COLUMNS))
        run(self.named("GRANT USAGE ON SCHEMA {s} TO {who}", who=who))
        run(
            self.named(
                "GRANT SELECT ON {s}.chunks, {s}.vectors, {s}.permissions, {s}.groups, {s}.memberships, {s}.gateways "
                "TO {who}",
                who=who,
            )
        )
        run(self.named("GRANT SELECT ({version}) ON {s}.delivery TO {who}", version=version, who=who))
        for signature in ("own_principals()", "principals()", *self._functions):
            run(self.named("GRANT EXECUTE ON FUNCTION {s}." + signature + " TO {who}", who=who))
