-- The container of the files of snapshots is the store's own: nothing else is in it, whatever
-- somebody else calls `snapshots`. That of an older program is taken over when the store is opened.

ALTER TABLE container ADD COLUMN of_snapshots INTEGER NOT NULL DEFAULT 0 CHECK (of_snapshots IN (0, 1));
CREATE UNIQUE INDEX container_of_snapshots ON container (of_snapshots) WHERE of_snapshots = 1;

-- The sizes of snapshots count for no quota, and their sum has no limit.
UPDATE container SET bytes =
    (SELECT COALESCE(SUM(f.size), 0) FROM file f
     WHERE f.container_id = container.id AND f.latest = 1 AND f.snapshot_id IS NULL)
    WHERE id IN (SELECT container_id FROM file WHERE snapshot_id IS NOT NULL);
UPDATE account_usage SET bytes =
    (SELECT COALESCE(SUM(c.bytes + c.old_bytes), 0) FROM container c
     WHERE c.account_id = account_usage.account_id)
    WHERE account_id IN (SELECT account_id FROM container
                         WHERE id IN (SELECT container_id FROM file WHERE snapshot_id IS NOT NULL));
