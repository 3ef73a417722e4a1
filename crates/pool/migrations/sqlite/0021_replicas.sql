-- Two pools hold each segment: a pool that is mirrored, and where the second copies are.

CREATE TABLE pool_mirror (
    pool_id INTEGER PRIMARY KEY REFERENCES pool_place (id),
    to_id   INTEGER NOT NULL REFERENCES pool_place (id)
);
ALTER TABLE segment ADD COLUMN copy_id INTEGER REFERENCES pool_place (id);  -- null: there is no second copy that was verified
CREATE INDEX segment_copy ON segment (copy_id) WHERE copy_id IS NOT NULL;
ALTER TABLE scrub ADD COLUMN healed INTEGER NOT NULL DEFAULT 0;  -- copies that it replaced by whole ones
