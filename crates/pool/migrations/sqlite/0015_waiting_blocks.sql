-- How many uploaded blocks of an account wait for a file, and their bytes: kept with the rows
-- that it counts, so that whoever brings one more need not count them all.
CREATE TABLE block_waiting (
    account_id INTEGER PRIMARY KEY,
    blocks     INTEGER NOT NULL,
    bytes      INTEGER NOT NULL
);
INSERT INTO block_waiting (account_id, blocks, bytes)
    SELECT account_id, COUNT(*), SUM(size) FROM block_upload GROUP BY account_id;
