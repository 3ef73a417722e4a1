//! Facts about databases on the simulated disk.

use std::path::Path;

use archipelago_env::Env;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::{Dice, DiskOp, Failure, Fault, SimHandle};

const PATH: &str = "/data.sqlite";

fn connect(env: &Env) -> rusqlite::Result<Connection> {
    let vfs = env.disk().sqlite_vfs().unwrap();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags_and_vfs(PATH, flags, vfs.as_str())?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Small, so that a short test moves the log into the file now and then.
    connection.query_row("PRAGMA wal_autocheckpoint = 8", [], |_| Ok(()))?;
    Ok(connection)
}

/// A database in which every transaction adds one row and changes all the others.
fn found(env: &Env) -> rusqlite::Result<Connection> {
    let connection = connect(env)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, round INTEGER, fill BLOB)",
    )?;
    Ok(connection)
}

fn add(connection: &mut Connection, round: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("INSERT INTO t VALUES ($1, 0, zeroblob(1500))", [round])?;
    transaction.execute("UPDATE t SET round = $1", [round])?;
    transaction.commit()
}

/// The round that all rows agree on.
fn round(connection: &Connection) -> rusqlite::Result<i64> {
    let (rows, least, most): (i64, i64, i64) = connection.query_row(
        "SELECT COUNT(*), COALESCE(MIN(round), 0), COALESCE(MAX(round), 0) FROM t",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    assert_eq!((least, rows), (most, most), "part of a transaction");
    let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    assert_eq!(check, "ok");
    Ok(most)
}

/// Rounds until power fails or something else does; the last one that is certain.
fn work(env: &Env, from: i64, rounds: i64) -> i64 {
    let Ok(mut connection) = found(env) else {
        return from;
    };
    let Ok(mut done) = round(&connection) else {
        return from;
    };
    assert!(done >= from, "round {from} was committed, {done} is left");
    for _ in 0..rounds {
        match add(&mut connection, done + 1) {
            Ok(()) => done += 1,
            Err(_) => break,
        }
    }
    done
}

fn world(seed: u64) -> (Env, SimHandle) {
    crate::env(seed)
}

#[test]
fn a_commit_survives_power_loss_wherever_it_strikes() {
    let mut cuts = 0;
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let (mut env, sim) = world(seed);
        let mut certain = 0;
        for _ in 0..6 {
            sim.inject(Fault::power_off_after(dice.below(60)));
            certain = work(&env, certain, 20);
            cuts += u32::from(sim.is_off());
            env = if dice.below(4) == 0 { sim.kill() } else { sim.crash() };
        }
        let connection = found(&env).unwrap();
        assert!(round(&connection).unwrap() >= certain);
    }
    assert!(cuts > 1000, "power failed only {cuts} times");
}

#[test]
fn failures_of_the_disk_are_errors_and_never_half_a_transaction() {
    let ops = [DiskOp::Write, DiskOp::SyncData, DiskOp::SyncDir, DiskOp::Create, DiskOp::SetLen];
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let (mut env, sim) = world(seed);
        let mut certain = 0;
        for _ in 0..5 {
            let op = ops[dice.below(ops.len() as u64) as usize];
            let failure = if dice.coin() { Failure::Io } else { Failure::Full };
            sim.inject(Fault::once(op, failure).after(dice.below(20)));
            certain = work(&env, certain, 10);
            env = sim.kill();
        }
        assert!(round(&found(&env).unwrap()).unwrap() >= certain);
    }
}

#[test]
fn connections_see_each_other_and_wait_for_each_other() {
    let (env, _sim) = world(1);
    let mut one = found(&env).unwrap();
    let mut two = connect(&env).unwrap();
    two.busy_timeout(std::time::Duration::from_millis(20)).unwrap();
    add(&mut one, 1).unwrap();
    assert_eq!(round(&two).unwrap(), 1);
    let held = one.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let before = env.clock().monotonic();
    assert!(add(&mut two, 2).is_err(), "two writers at once");
    let waited = env.clock().monotonic() - before;
    assert!(waited.as_millis() >= 20, "it waited only {waited:?}, on the clock of the world");
    held.rollback().unwrap();
    add(&mut two, 2).unwrap();
    assert_eq!(round(&one).unwrap(), 2);
}

#[test]
fn a_connection_of_an_older_boot_fails() {
    let (env, sim) = world(1);
    let mut old = found(&env).unwrap();
    add(&mut old, 1).unwrap();
    let env = sim.kill();
    let new = found(&env).unwrap();
    assert!(add(&mut old, 2).is_err());
    assert_eq!(round(&new).unwrap(), 1);
    drop(old);
    assert_eq!(round(&new).unwrap(), 1);
}

#[test]
fn closing_moves_the_log_into_the_file_and_removes_it() {
    let (env, sim) = world(1);
    let mut connection = found(&env).unwrap();
    add(&mut connection, 1).unwrap();
    drop(connection);
    let names: Vec<String> =
        env.disk().list(Path::new("/")).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["data.sqlite"]);
    assert_eq!(round(&found(&sim.crash()).unwrap()).unwrap(), 1);
}

#[test]
fn a_query_that_sorts_more_than_fits_uses_files_without_names() {
    let (env, _sim) = world(1);
    let connection = found(&env).unwrap();
    connection.pragma_update(None, "cache_size", 10).unwrap();
    connection
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
             INSERT INTO t SELECT i, i, randomblob(64) FROM n",
        )
        .unwrap();
    let sorted: i64 = connection
        .query_row("SELECT COUNT(*) FROM (SELECT id FROM t ORDER BY fill LIMIT 20000)", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(sorted, 20_000);
}
