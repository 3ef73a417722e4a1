//! Who may change the catalog, on which connection, and whether it did.
//!
//! Table `catalog_term` has one row: the *owner*, another one for each opening of the store; the
//! *term*, raised with each connection that writes; and how many transactions were *committed*.
//! Each transaction that writes compares both in its last statement and counts, which is one
//! message with its COMMIT: so whatever was left behind by an owner or a connection of before
//! commits nothing, however late it wakes, and after a COMMIT whose answer was lost the count tells
//! whether it was done, since by then nothing of the old connection can be done any more.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use archipelago_env::Env;
use parking_lot::Mutex;

use super::{Connection, PostgresError, Settings};
use crate::catalog::value::Params;
use crate::catalog::writer::Outcome;
use crate::error::Error;

/// How long a call waits for a server that is away: longer than one takes that is restarted.
const AWAY_MAX: Duration = Duration::from_secs(10);
/// Pauses between looks at it.
const AWAY_PAUSE: Duration = Duration::from_millis(100);
/// After one has waited in vain, others do not wait for so long.
const AWAY_KNOWN: Duration = Duration::from_secs(1);
/// The server sees a moment later that a host has let go of a store.
const HELD_MAX: Duration = Duration::from_secs(2);
/// How long it is tried to find out whether a change was committed; whoever made it waits.
const UNKNOWN_MAX: Duration = Duration::from_secs(60);
/// The server ends a transaction on which nobody goes on for so long, in ms: one of a host that
/// stands still keeps rows from whoever takes over no longer.
const IDLE_MAX_MS: u64 = 30_000;
/// How long a statement waits for a row that another transaction has, in ms.
const LOCK_MAX_MS: u64 = 10_000;
/// A connection over which nothing comes any more is found dead after 10 s of silence and three
/// questions, 5 s apart.
const SILENCE: Duration = Duration::from_secs(10);
const ASKED_EVERY: Duration = Duration::from_secs(5);
const ASKED: u32 = 3;
/// What tells our lock from those of other programs in the database: `ARCH`. The other half is the
/// schema.
const LOCK: i32 = 0x4152_4348;
/// The oldest version of PostgreSQL that the tests would pass on: 13 and newer are maintained.
const VERSION_MIN: i64 = 130_000;

/// What a term is kept in. None of the tables of a catalog: it is of the database, and in no dump.
const TERM_TABLE: &str = "CREATE TABLE IF NOT EXISTS catalog_term (\
     id BIGINT PRIMARY KEY CHECK (id = 1), \
     owner TEXT COLLATE \"C\" NOT NULL, \
     term BIGINT NOT NULL, \
     commits BIGINT NOT NULL, \
     holder TEXT COLLATE \"C\" NOT NULL); \
     INSERT INTO catalog_term (id, owner, term, commits, holder) VALUES (1, '', 0, 0, '') \
     ON CONFLICT (id) DO NOTHING";

/// The server, and who we are to it.
pub(in crate::catalog) struct Server {
    env: Env,
    settings: Settings,
    /// Another one at each opening: hexadecimal.
    owner: String,
    /// Since when it is known to be away, and why.
    away: Mutex<Option<(Duration, String)>>,
}

impl Server {
    pub fn new(env: &Env, settings: &Settings) -> Arc<Self> {
        let mut owner = [0; 16];
        env.random().fill(&mut owner);
        Arc::new(Self {
            env: env.clone(),
            settings: settings.clone(),
            owner: hex::encode(owner),
            away: Mutex::default(),
        })
    }

    /// Connects; waits for a while if the server is away.
    pub fn connect(&self) -> Result<Connection, PostgresError> {
        let now = || self.env.clock().monotonic();
        if let Some((since, why)) = &*self.away.lock()
            && now().saturating_sub(*since) < AWAY_KNOWN
        {
            return Err(self.away(why.clone()));
        }
        let until = now() + AWAY_MAX;
        loop {
            match self.try_connect() {
                Err(PostgresError::Away { why, .. }) => {
                    if now() >= until {
                        *self.away.lock() = Some((now(), why.clone()));
                        return Err(self.away(why));
                    }
                    self.env.clock().sleep(AWAY_PAUSE);
                }
                other => return other,
            }
        }
    }

    fn away(&self, why: String) -> PostgresError {
        PostgresError::Away { server: self.settings.to_string(), why }
    }

    fn unfit(&self, why: impl Into<String>) -> PostgresError {
        PostgresError::Unfit { server: self.settings.to_string(), why: why.into() }
    }

    fn try_connect(&self) -> Result<Connection, PostgresError> {
        let config = self.settings.config(&self.env);
        let mut config = config.map_err(|error: Error| self.unfit(error.message()))?;
        config
            .application_name("archipelago")
            .connect_timeout(AWAY_MAX)
            .keepalives_idle(SILENCE)
            .keepalives_interval(ASKED_EVERY)
            .keepalives_retries(ASKED)
            .tcp_user_timeout(SILENCE + ASKED_EVERY * ASKED);
        let connection = Connection::open(&config, &self.settings.to_string())?;
        // A commit is durable when it is acknowledged, whatever the server thinks of others.
        let lazy = connection.ask("SHOW synchronous_commit")?.as_deref() == Some("off");
        let commit = if lazy { "SET synchronous_commit = on; " } else { "" };
        connection.batch(&format!(
            "{commit}SET search_path = {}; SET idle_in_transaction_session_timeout = {IDLE_MAX_MS}; \
             SET lock_timeout = {LOCK_MAX_MS}; SET statement_timeout = 0; \
             SET default_transaction_isolation = 'read committed'; \
             SET default_transaction_read_only = off; SET jit = off; \
             SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; \
             SET tcp_keepalives_count = 3",
            self.settings.schema
        ))?;
        Ok(connection)
    }

    /// Refuses a server that would lose what it acknowledges, or sorts names in its own way.
    fn check(&self, connection: &Connection) -> Result<(), PostgresError> {
        let show =
            |what: &str| connection.ask(&format!("SHOW {what}")).map(Option::unwrap_or_default);
        if show("fsync")? == "off" {
            return Err(self.unfit(
                "its fsync is off, so that it loses what it acknowledged when the power fails: turn \
                 it on in postgresql.conf",
            ));
        }
        let encoding = show("server_encoding")?;
        if encoding != "UTF8" {
            return Err(self.unfit(format!(
                "the database has the encoding {encoding}: make one with ENCODING 'UTF8'"
            )));
        }
        let version = show("server_version_num")?.parse::<i64>().unwrap_or(0);
        if version < VERSION_MIN {
            let (got, least) = (version / 10_000, VERSION_MIN / 10_000);
            return Err(self.unfit(format!("it is version {got}: {least} or newer is needed")));
        }
        match connection.ask("SELECT pg_is_in_recovery()")?.as_deref() {
            Some("f") => Ok(()),
            _ => Err(self.unfit("it is a standby, which changes nothing: name the primary")),
        }
    }

    /// Whether the schema has no table of ours, or of anybody.
    pub fn is_blank(&self) -> Result<bool, PostgresError> {
        let connection = self.connect()?;
        self.check(&connection)?;
        let tables = connection.ask(
            "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() \
             AND tablename <> 'catalog_term'",
        )?;
        Ok(tables.as_deref() == Some("0"))
    }

    /// Begins a transaction that sees one state and changes nothing, unless another one has the
    /// store by now.
    pub fn begin_read(&self, connection: &Connection) -> Result<(), PostgresError> {
        let owner = connection.ask(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SELECT owner FROM catalog_term WHERE id = 1",
        )?;
        match owner.as_deref() == Some(&self.owner) {
            true => Ok(()),
            false => Err(self.taken_over(connection)),
        }
    }

    fn taken_over(&self, connection: &Connection) -> PostgresError {
        // In a transaction that failed nothing can be asked.
        let _ = connection.batch("ROLLBACK");
        let holder = connection.ask("SELECT holder FROM catalog_term WHERE id = 1");
        PostgresError::TakenOver { by: holder.ok().flatten().unwrap_or_default() }
    }

    /// Takes the store: from now on nobody else changes it. `holder` is who we are, and has it at
    /// once though the connections of a process before may not have ended.
    pub fn take(self: &Arc<Self>, holder: &str) -> Result<Writing, PostgresError> {
        let connection = self.connect()?;
        self.check(&connection)?;
        self.make_schema(&connection)?;
        let before = match connection.ask("SELECT to_regclass('catalog_term') IS NOT NULL")? {
            Some(there) if there == "t" => {
                connection.ask("SELECT holder FROM catalog_term WHERE id = 1")?
            }
            _ => None,
        };
        let mut locked = lock(&connection)?;
        let until = self.env.clock().monotonic() + HELD_MAX;
        let others = before.as_deref() != Some(holder);
        while !locked && others && self.env.clock().monotonic() < until {
            self.env.clock().sleep(AWAY_PAUSE);
            locked = lock(&connection)?;
        }
        if !locked && others {
            let by = before.unwrap_or_else(|| "it is being made".to_owned());
            return Err(PostgresError::InUse { server: self.settings.to_string(), by });
        }
        connection.batch(TERM_TABLE)?;
        let took = "UPDATE catalog_term SET owner = $1, holder = $2 WHERE id = 1";
        connection.execute(took, &(self.owner.as_str(), holder).values())?;
        let (term, commits) = self.raise(&connection)?;
        Ok(Writing {
            server: Arc::clone(self),
            connection,
            open: Cell::new(false),
            term,
            commits,
            locked,
            in_doubt: false,
            refused: None,
        })
    }

    pub(super) fn make_schema(&self, connection: &Connection) -> Result<(), PostgresError> {
        let schema = &self.settings.schema;
        let there =
            format!("SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = '{schema}'");
        if connection.ask(&there)?.as_deref() == Some("0") {
            connection.batch(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"))?;
        }
        Ok(())
    }

    /// Begins a term; gives it, and how many transactions were committed before. Nothing of
    /// earlier terms is committed any more.
    fn raise(&self, connection: &Connection) -> Result<(i64, i64), PostgresError> {
        let raised = connection.rows(
            "UPDATE catalog_term SET term = term + 1 WHERE id = 1 AND owner = $1 \
             RETURNING term, commits",
            &[self.owner.as_str()].values(),
        )?;
        let row = raised.first().ok_or_else(|| self.taken_over(connection))?;
        match (row.try_get(0), row.try_get(1)) {
            (Ok(term), Ok(commits)) => Ok((term, commits)),
            _ => Err(self.unfit("its table catalog_term is none of ours: choose another schema")),
        }
    }
}

/// Tries to get the lock that tells others early; what protects is the term.
fn lock(connection: &Connection) -> Result<bool, PostgresError> {
    let sql = format!(
        "SELECT pg_try_advisory_lock({LOCK}, (SELECT oid::bigint::bit(32)::integer \
         FROM pg_catalog.pg_namespace WHERE nspname = current_schema()))"
    );
    Ok(connection.ask(&sql)?.as_deref() == Some("t"))
}

/// The connection that writes.
pub(in crate::catalog) struct Writing {
    server: Arc<Server>,
    connection: Connection,
    /// A transaction is under way: without one a COMMIT would be no error.
    open: Cell<bool>,
    term: i64,
    /// How many transactions are known to be committed.
    commits: i64,
    /// Others are told early.
    locked: bool,
    /// Of one more it is not known.
    in_doubt: bool,
    /// Nothing is changed any more.
    refused: Option<Refused>,
}

#[derive(Clone)]
enum Refused {
    TakenOver(String),
    Rewound(i64, i64),
}

impl Writing {
    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Begins a transaction, on a new connection if the old one ended.
    pub fn begin(&mut self) -> Result<(), PostgresError> {
        self.refuse()?;
        let begun = match self.connection.batch("BEGIN") {
            Err(PostgresError::Away { .. }) => {
                self.reconnect()?;
                self.connection.batch("BEGIN")
            }
            other => other,
        };
        self.open.set(begun.is_ok());
        begun
    }

    /// Whether nothing is under way, or nothing that can be committed.
    pub fn is_over(&self) -> bool {
        !self.open.get() || self.connection.is_broken()
    }

    fn refuse(&self) -> Result<(), PostgresError> {
        match self.refused.clone() {
            None => Ok(()),
            Some(Refused::TakenOver(by)) => Err(PostgresError::TakenOver { by }),
            Some(Refused::Rewound(got, expected)) => Err(self.rewound(got, expected)),
        }
    }

    fn rewound(&self, got: i64, expected: i64) -> PostgresError {
        PostgresError::Rewound { server: self.server.settings.to_string(), got, expected }
    }

    /// Connects anew, in a term of its own; gives whether the transaction that was in doubt was
    /// committed.
    fn reconnect(&mut self) -> Result<bool, PostgresError> {
        self.refuse()?;
        let connection = self.server.connect()?;
        let raised = self.server.check(&connection).and_then(|()| self.server.raise(&connection));
        let (term, commits) = match raised {
            Err(PostgresError::TakenOver { by }) => {
                self.refused = Some(Refused::TakenOver(by));
                return self.refuse().map(|()| false);
            }
            other => other?,
        };
        let done = self.in_doubt && commits == self.commits + 1;
        if !done && commits != self.commits {
            self.refused = Some(Refused::Rewound(commits, self.commits));
            return self.refuse().map(|()| false);
        }
        // An old connection that the server has not seen the end of may hold it: then it tells
        // others as well as ours would, and the next connection tries again.
        self.locked = lock(&connection)?;
        (self.connection, self.term, self.commits, self.in_doubt) =
            (connection, term, commits, false);
        Ok(done)
    }

    /// Ends the transaction, and says what became of it.
    pub fn commit(&mut self) -> Outcome {
        let Self { term, server, .. } = &*self;
        let owner = &server.owner;
        if !self.open.replace(false) {
            return Outcome::TakenBack;
        }
        if self.connection.is_broken() {
            return Outcome::Failed(Arc::new(self.connection.ended().into()));
        }
        // Nothing that failed before is passed over: what follows would fail, too.
        let done = self.connection.batch(&format!(
            "WITH ours AS (UPDATE catalog_term SET commits = commits + 1 \
             WHERE id = 1 AND owner = '{owner}' AND term = {term} RETURNING term) \
             SELECT 1 / count(*) FROM ours; COMMIT"
        ));
        match done {
            Ok(()) => {
                self.commits += 1;
                Outcome::Committed
            }
            Err(PostgresError::Away { why, .. }) => {
                self.in_doubt = true;
                self.find_out(why)
            }
            Err(PostgresError::Refused { code, .. }) if code == "22012" => {
                let error = self.server.taken_over(&self.connection);
                if let PostgresError::TakenOver { by } = &error {
                    self.refused = Some(Refused::TakenOver(by.clone()));
                }
                Outcome::Failed(Arc::new(error.into()))
            }
            Err(error) => {
                // The server has taken it back; this ends what is left of it.
                if let Err(left) = self.rollback() {
                    tracing::warn!(error = %left, "a transaction of the catalog did not end");
                }
                Outcome::Failed(Arc::new(error.into()))
            }
        }
    }

    /// Asks the server, as soon as it is back, what became of a COMMIT that it did not answer.
    fn find_out(&mut self, why: String) -> Outcome {
        let now = || self.server.env.clock().monotonic();
        let until = now() + UNKNOWN_MAX;
        let unknown = |server: &Server| PostgresError::Unknown {
            server: server.settings.to_string(),
            why: why.clone(),
        };
        loop {
            let error = match self.reconnect() {
                Ok(true) => return Outcome::Committed,
                Ok(false) => return Outcome::Failed(Arc::new(self.server.away(why).into())),
                Err(error) => error,
            };
            match error {
                PostgresError::Away { .. } | PostgresError::Refused { .. } => {}
                // Whether it was done is not known of these either.
                other => {
                    tracing::error!(error = %other, "a change of the catalog is in doubt");
                    return Outcome::Failed(Arc::new(unknown(&self.server).into()));
                }
            }
            if self.server.env.clock().monotonic() >= until {
                return Outcome::Failed(Arc::new(unknown(&self.server).into()));
            }
            self.server.env.clock().sleep(AWAY_PAUSE);
        }
    }

    /// Takes back what is under way. Of a connection that ended, the server does it.
    pub fn rollback(&self) -> Result<(), PostgresError> {
        self.open.set(false);
        match self.connection.batch("ROLLBACK") {
            Err(PostgresError::Away { .. }) => Ok(()),
            other => other,
        }
    }
}
