-- Garbage collection, compaction, backups, scrubbing.

-- SQLite cannot change a CHECK: the table is made anew.
CREATE TABLE segment_2 (
    id           INTEGER PRIMARY KEY,
    pool_id      INTEGER NOT NULL REFERENCES pool_place (id),
    kind         TEXT    NOT NULL CHECK (kind IN ('hot', 'cold', 'backup')),
    -- condemned: nothing names it, removed after the grace time
    -- forwarded: a compaction moved what was live; its file goes after the grace time
    state        TEXT    NOT NULL CHECK (state IN ('open', 'sealed', 'condemned', 'forwarded')),
    stored_bytes INTEGER NOT NULL,  -- 0 when forwarded and its file is gone
    raw_bytes    INTEGER NOT NULL,
    forwarded_to INTEGER,           -- the segment whose footer has the forwarding table
    named_mark   INTEGER NOT NULL   -- the mark during which a bind last named it, or it was recorded
);
INSERT INTO segment_2 (id, pool_id, kind, state, stored_bytes, raw_bytes, forwarded_to, named_mark)
    SELECT id, pool_id, kind, state, stored_bytes, raw_bytes, forwarded_to, 0 FROM segment;
DROP TABLE segment;
ALTER TABLE segment_2 RENAME TO segment;
CREATE INDEX segment_state ON segment (state) WHERE state <> 'sealed';
CREATE INDEX segment_forwarded_to ON segment (forwarded_to) WHERE forwarded_to IS NOT NULL;

-- How many marks were begun: binds stamp what they name with it.
ALTER TABLE store_state ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;

-- Where the present or last scrub is; one row.
CREATE TABLE scrub (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    next_segment INTEGER NOT NULL,  -- everything below it was read
    started_ms   INTEGER NOT NULL,
    finished_ms  INTEGER,
    segments     INTEGER NOT NULL,
    bytes        INTEGER NOT NULL
);

-- Stored bytes that a scrub found to be damaged.
CREATE TABLE damage (
    segment_id   INTEGER NOT NULL,
    file_offset  INTEGER NOT NULL,  -- bytes from the front of the segment
    bytes        INTEGER NOT NULL,
    position     INTEGER,           -- the first sector of raw space that it makes unreadable, if any
    sectors      INTEGER NOT NULL,
    what         TEXT    NOT NULL,
    found_ms     INTEGER NOT NULL,
    PRIMARY KEY (segment_id, file_offset)
);
