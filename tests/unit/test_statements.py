"""Which tables a statement writes."""

import pytest

from shoal.routing.statements import may_write, written_tables


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ('INSERT INTO "shop_product" ("name") VALUES (%s)', ['"shop_product"']),
        ("insert into shop_product values (1)", ["shop_product"]),
        ('UPDATE "a"."b" SET x = 1', ['"a"."b"']),
        ("UPDATE ONLY a SET x = 1", ["a"]),
        ("DELETE FROM `a` WHERE 1", ["`a`"]),
        ("INSERT IGNORE INTO `a` VALUES (1)", ["`a`"]),
        ("INSERT OR REPLACE INTO a VALUES (1)", ["a"]),
        ("REPLACE INTO a VALUES (1)", ["a"]),
        ("MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE", ["a"]),
        ("TRUNCATE TABLE a", ["a"]),
        ("TRUNCATE a", ["a"]),
        ('TRUNCATE "a", ONLY b.c, d RESTART IDENTITY;', ['"a"', "b.c", "d"]),
        ("COPY a (x, y) FROM STDIN", ["a"]),
        ("COPY a FROM STDIN", ["a"]),
        ("/* tag */ -- line\n  UPDATE a SET x = 1", ["a"]),
        ("WITH gone AS (DELETE FROM a RETURNING *) SELECT * FROM gone", ["a"]),
        ("WITH x AS (SELECT 1) INSERT INTO a SELECT * FROM x", ["a"]),
        ("EXPLAIN ANALYZE DELETE FROM a", ["a"]),
        ("EXPLAIN (ANALYZE, BUFFERS) UPDATE a SET x = 1", ["a"]),
        (
            "WITH x AS (INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET y = 1 "
            "RETURNING *) UPDATE b SET z = 1",
            ["a", "b"],
        ),
        (
            "DELETE `a` FROM `a` INNER JOIN `b` ON (`a`.`b_id` = `b`.`id`) WHERE 1",
            ["`a`"],
        ),
        ("DELETE a, b FROM a INNER JOIN b USING (id)", ["a", "b"]),
        ("INSERT a VALUES (1)", ["a"]),
        ("INSERT IGNORE a VALUES (1)", ["a"]),
        ("REPLACE a VALUES (1)", ["a"]),
        ("LOAD DATA LOCAL INFILE 'x' INTO TABLE a", ["a"]),
        ("EXPLAIN ANALYZE INSERT INTO a SELECT 1 ON DUPLICATE KEY UPDATE x = 1", ["a"]),
        ("WITH x AS (SELECT 1 AS n /* never delete from a */) SELECT n FROM x", []),
        ("WITH x AS (SELECT 1) -- then update a\nSELECT t.update FROM t", []),
        ("WITH x AS (SELECT 'it\\'s', 'delete from b') SELECT * FROM x", []),
        ("WITH x AS (SELECT $$ (delete from b $$) SELECT * FROM x", []),
        ('WITH x AS (SELECT "delete from q" FROM a) SELECT * FROM x', []),
        ("SELECT * FROM a", []),
        ("(SELECT 1) UNION (SELECT 2)", []),
        ("SELECT * FROM a FOR UPDATE", []),
        ("SELECT 'DELETE FROM a'", []),
        ("WITH x AS (SELECT * FROM a FOR UPDATE) SELECT * FROM x", []),
        ("WITH x AS (SELECT 'DELETE FROM a') SELECT * FROM x", []),
        ("EXPLAIN DELETE FROM a", []),
        ("COPY a TO STDOUT", []),
        ("COPY (SELECT 1) TO STDOUT", []),
        ("SAVEPOINT x", []),
        ("CREATE TABLE a (x int)", []),
        ("", []),
        ("-- nothing", []),
    ],
)
def test_written_tables(sql: str, tables: list[str]) -> None:
    assert list(written_tables(sql)) == tables


def test_reads_only_the_head_of_a_huge_insert() -> None:
    sql = "INSERT INTO a VALUES " + ", ".join(["(%s, %s)"] * 500_000)
    assert written_tables(sql) == ("a",)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        'SELECT "a"."id", COUNT(*) FROM "a" WHERE "a"."id" IN (1, 2) GROUP BY 1',
        "select lower(name), pg_catalog.upper(name) from t",
        "SELECT ST_Distance(a, b) FROM t",
        "SELECT * FROM t WHERE (a, b) IN (SELECT c, d FROM u) FOR UPDATE",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "/* DELETE FROM t */ SELECT ';drop table x', \"into\" FROM t",
        "SELECT $$;INSERT INTO t$$",
        "(SELECT 1) UNION (SELECT 2)",
        "SHOW server_version",
        "SET statement_timeout = 3",
        "SAVEPOINT s1",
        "EXPLAIN DELETE FROM t",
        "VALUES (1), (2)",
        # Django's `contains=F("b")`, on PostgreSQL and on MariaDB.
        r"SELECT 1 FROM t WHERE a LIKE '%%' || REPLACE(REPLACE((b), E'\\', E'\\\\'), "
        r"E'%%', E'\\%%') || '%%'",
        r"SELECT 1 FROM t WHERE a LIKE CONCAT('%%', REPLACE(REPLACE(b, '\\', '\\\\'), "
        r"'%%', '\\%%'), '%%')",
        "SELECT a #>> '{b}' FROM t",
        "COPY (SELECT a FROM t WHERE b = 'x)') TO STDOUT (FORMAT BINARY)",
        "copy(VALUES (1)) to stdout",
    ],
)
def test_reads_may_not_write(sql: str) -> None:
    assert not may_write(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1)",
        "-- a note\n/* another */ UPDATE t SET a = 1",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "EXPLAIN ANALYZE DELETE FROM t",
        "SELECT cleanup()",
        "SELECT app.lower(name) FROM t",
        "SELECT nextval('t_id_seq')",
        'SELECT "cleanup"()',
        "SELECT pg_catalog.setval('s', 1)",
        "SELECT * INTO copy FROM t",
        "SELECT 1; DELETE FROM t",
        "CALL cleanup()",
        "DO $$ BEGIN END $$",
        "EXECUTE prepared(1)",
        "CREATE TABLE t (a int)",
        "DROP TABLE t",
        "TRUNCATE t",
        "COPY t FROM STDIN",
        "COPY (DELETE FROM t RETURNING 1) TO STDOUT",
        "COPY (SELECT cleanup()) TO STDOUT",
        "COPY (SELECT 1) TO PROGRAM 'cleanup'",
        "COPY (SELECT 1) TO STDOUT; DELETE FROM t",
        "COPY (SELECT 1) TO STDOUT; COPY (DELETE FROM t RETURNING 1) TO STDOUT",
        "REFRESH MATERIALIZED VIEW v",
        r"SELECT 1 WHERE 'a' LIKE 'x' ESCAPE '\' OR cleanup()",
        r"SELECT '\\\' OR cleanup() OR '",
        r"SELECT 'it\'s', cleanup('n')",
        "SELECT 1 AS \"it's\", cleanup('n')",
        "SELECT /*! cleanup() */ 1",
        "SELECT /*M!100000 cleanup() */ 1",
        "SELECT 1--cleanup()",
        "SELECT 1 # it's\n, cleanup('n')",
        "SELECT /* a /* b */ ' */ cleanup('n')",
        "COMMIT PREPARED 'x'",
        "",
    ],
)
def test_all_else_may(sql: str) -> None:
    assert may_write(sql)
