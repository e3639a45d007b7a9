"""Which tables a statement writes."""

import pytest

from shoal.routing.statements import written_tables


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
