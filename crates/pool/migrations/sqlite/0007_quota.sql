-- How much accounts and containers hold, and may hold.

ALTER TABLE container ADD COLUMN quota_bytes INTEGER;    -- null: no limit
ALTER TABLE container ADD COLUMN quota_objects INTEGER;  -- null: no limit

-- Kept with the rows that it counts, so that a quota is asked in no more than a look.
CREATE TABLE account_usage (
    account_id INTEGER PRIMARY KEY,
    versions   INTEGER NOT NULL,    -- how many rows of table file are in its containers,
    bytes      INTEGER NOT NULL     -- and the sizes of these and of parts together
);
INSERT INTO account_usage (account_id, versions, bytes)
    SELECT account_id,
           SUM((SELECT COUNT(*) FROM file f WHERE f.container_id = c.id)),
           SUM(bytes + old_bytes)
    FROM container c GROUP BY account_id;
