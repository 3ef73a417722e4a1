-- Two pools hold each segment: a pool that is mirrored, and where the second copies are.

CREATE TABLE pool_mirror (
    pool_id BIGINT PRIMARY KEY REFERENCES pool_place (id) DEFERRABLE,
    to_id   BIGINT NOT NULL REFERENCES pool_place (id) DEFERRABLE
);
ALTER TABLE segment ADD COLUMN copy_id BIGINT REFERENCES pool_place (id) DEFERRABLE;  -- null: there is no second copy that was verified
CREATE INDEX segment_copy ON segment (copy_id) WHERE copy_id IS NOT NULL;
ALTER TABLE scrub ADD COLUMN healed BIGINT NOT NULL DEFAULT 0;  -- copies that it replaced by whole ones
