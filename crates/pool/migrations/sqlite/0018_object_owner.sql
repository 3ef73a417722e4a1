-- Objects and uploads of other accounts than their container's. Null: it is the container's.

ALTER TABLE file ADD COLUMN owner_id INTEGER;    -- the account that wrote it
ALTER TABLE upload ADD COLUMN owner_id INTEGER;  -- as that of the object to come
CREATE INDEX file_owner ON file (owner_id) WHERE owner_id IS NOT NULL;
CREATE INDEX upload_owner ON upload (owner_id) WHERE owner_id IS NOT NULL;
