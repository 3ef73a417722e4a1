//! Whether the catalog itself is sound: pages, references, every row.

use super::{
    Catalog, CatalogError, Session, Tx, audit, blocks, file, grant, guest_view, identity, image,
    lifecycle, link, segment, snapshot, upload, volume,
};

/// SQLite tells of so many faults at most; the first few say enough.
const FAULTS_MAX: u32 = 100;

impl Catalog {
    /// What is wrong with the file, the references between rows, and the rows. Reads
    /// all of it.
    pub fn verify(&self) -> Result<Vec<String>, CatalogError> {
        self.read(|tx| {
            let mut faults = tx.pages()?;
            faults.extend(tx.references()?);
            let rows = [
                ("volume", volume::list(tx).map(drop)),
                ("snapshot", snapshot::list(tx).map(drop)),
                ("image", image::list(tx).map(drop)),
                ("file", file::list(tx).map(drop)),
                ("guest_view", guest_view::list(tx).map(drop)),
                ("part", upload::all_parts(tx).map(drop)),
                ("lifecycle", lifecycle::list(tx).map(drop)),
                ("block_list", blocks::all_maps(tx, 0).map(drop)),
                ("segment", segment::list(tx).map(drop)),
                ("account", identity::account::list(tx).map(drop)),
                ("user_", identity::user::list(tx).map(drop)),
                ("membership", identity::member::list(tx).map(drop)),
                ("group_", identity::group::list(tx, None).map(drop)),
                ("access_grant", grant::list(tx).map(drop)),
                ("public_link", link::list(tx).map(drop)),
                ("audit", audit::page(tx, None, usize::MAX).map(drop)),
                ("access_key", identity::access_key::list(tx, None).map(drop)),
                ("application_credential", identity::credential::list(tx, None).map(drop)),
            ];
            faults.extend(rows.into_iter().filter_map(|(table, read)| {
                read.err().map(|error| format!("table {table}: {error}"))
            }));
            let orphans = guest_view::orphans(tx)?;
            if orphans > 0 {
                faults.push(format!("{orphans} guest views are of files that are not there"));
            }
            faults.extend(tx.ownerless()?);
            Ok(faults)
        })
    }
}

impl Tx<'_> {
    /// A server looks after its pages itself.
    fn pages(&self) -> Result<Vec<String>, CatalogError> {
        if matches!(self.session, Session::Postgres(_)) {
            return Ok(Vec::new());
        }
        let sql = format!("PRAGMA integrity_check({FAULTS_MAX})");
        let lines = self.all("sqlite", &sql, [], |row| row.text())?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// Volumes and images whose name says an account that there is not: nobody could say who owns
    /// them.
    fn ownerless(&self) -> Result<Vec<String>, CatalogError> {
        let of = |kind: &str| {
            format!(
                "SELECT '{kind}', name FROM {kind} v WHERE name LIKE '%/%' AND NOT EXISTS \
                 (SELECT 1 FROM account a WHERE a.id <> 0 \
                 AND substr(v.name, 1, length(a.name) + 1) = a.name || '/')"
            )
        };
        let sql = format!("{} UNION ALL {} LIMIT {FAULTS_MAX}", of("volume"), of("image"));
        self.all("account", &sql, [], |row| {
            Ok(format!("{} '{}' is of an account that is not there", row.text()?, row.text()?))
        })
    }

    /// A server keeps them sound with every statement.
    fn references(&self) -> Result<Vec<String>, CatalogError> {
        if matches!(self.session, Session::Postgres(_)) {
            return Ok(Vec::new());
        }
        self.all("sqlite", "PRAGMA foreign_key_check", [], |row| {
            let (table, _row, parent) = (row.text()?, row.number_or_null()?, row.text()?);
            Ok(format!("table {table}: a row refers to one of table {parent} that is not there"))
        })
    }
}
