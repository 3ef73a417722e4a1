-- Several pools. Null: the first one has the data of a resource, or who owns it says which.

ALTER TABLE pool_place ADD COLUMN drain_to INTEGER REFERENCES pool_place (id);  -- null: it is in use
ALTER TABLE account ADD COLUMN pool_id INTEGER REFERENCES pool_place (id);
ALTER TABLE container ADD COLUMN pool_id INTEGER REFERENCES pool_place (id);
ALTER TABLE volume ADD COLUMN pool_id INTEGER REFERENCES pool_place (id);
CREATE INDEX segment_elsewhere ON segment (pool_id) WHERE pool_id <> 1;
