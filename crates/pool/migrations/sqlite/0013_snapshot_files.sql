-- A snapshot is a file, too, in the container `snapshots` of the first account: a row of its own
-- with the same root. Those of older snapshots are made when the store is opened.

ALTER TABLE file ADD COLUMN snapshot_id INTEGER REFERENCES snapshot (id);  -- null: of none
CREATE UNIQUE INDEX file_snapshot ON file (snapshot_id) WHERE snapshot_id IS NOT NULL;
