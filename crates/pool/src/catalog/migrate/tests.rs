//! Facts about migrations that change rows.

use rusqlite::Connection;

use super::*;

/// A catalog with the migrations before the one with these words.
fn before(words: &str) -> (Connection, &'static str) {
    let connection = Connection::open_in_memory().unwrap();
    let at = SQLITE.iter().position(|sql| sql.contains(words)).unwrap();
    for sql in &SQLITE[..at] {
        connection.execute_batch(sql).unwrap();
    }
    (connection, SQLITE[at])
}

#[test]
fn sizes_of_snapshots_count_no_more_even_if_their_sum_was_too_large() {
    let (connection, migration) = before("container_of_snapshots");
    connection
        .execute_batch(
            "INSERT INTO volume (id, name, size, root, lsn, epoch, created_ms) \
             VALUES (1, 'web', 512, 0, 0, 0, 0);
             INSERT INTO container (id, account_id, name, bytes, old_bytes, created_ms) \
             VALUES (2, 0, 'snapshots', 1e19, 3, 0), (3, 0, 'box', 5, 7, 0), (4, 8, 'box', 9, 0, 0);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) \
             INSERT INTO snapshot (id, uuid, volume_id, name, size, root, created_ms) \
             SELECT 10 + i, 'u', 1, 's' || i, 1 << 62, 0, 0 FROM n;
             INSERT INTO file (id, container_id, object, size, root, created_ms, snapshot_id) \
             SELECT 10 + id, 2, name, size, 0, 0, id FROM snapshot;
             INSERT INTO file (id, container_id, object, size, root, created_ms) \
             VALUES (30, 2, 'own', 11, 0, 0);
             INSERT INTO account_usage (account_id, versions, bytes) VALUES (0, 5, 1e19), (8, 1, 9);",
        )
        .unwrap();
    connection.execute_batch(migration).unwrap();
    let mut statement = connection
        .prepare(
            "SELECT bytes, old_bytes FROM container \
             UNION ALL SELECT bytes, versions FROM account_usage",
        )
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let rows: Vec<(i64, i64)> = rows.map(Result::unwrap).collect();
    assert_eq!(rows, [(11, 3), (5, 7), (9, 0), (11 + 3 + 5 + 7, 5), (9, 1)]);
}
