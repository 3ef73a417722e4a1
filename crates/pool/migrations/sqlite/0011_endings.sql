-- What ends by itself: objects that say when, and rules of containers.

ALTER TABLE file ADD COLUMN ends_ms INTEGER;    -- from then on it is not found; null: never
-- When it is to be removed: as soon as it has ended, or later where it was locked then.
ALTER TABLE file ADD COLUMN remove_ms INTEGER;
UPDATE file SET ends_ms = 1000 * CAST(json_extract(meta, '$.settings."swift.delete-at"') AS INTEGER)
    WHERE json_extract(meta, '$.settings."swift.delete-at"') IS NOT NULL;
UPDATE file SET remove_ms = ends_ms WHERE ends_ms IS NOT NULL;
CREATE INDEX file_remove ON file (remove_ms) WHERE remove_ms IS NOT NULL;
CREATE INDEX upload_created ON upload (created_ms);

CREATE TABLE lifecycle (
    container_id INTEGER PRIMARY KEY REFERENCES container (id),
    rules        TEXT    NOT NULL,  -- JSON: what is done
    said         TEXT    NOT NULL,  -- how a door was told, for whoever asks it
    next_ms      INTEGER NOT NULL,  -- when a walk begins, or goes on
    object       TEXT               -- a walk is under way, and goes on with this name
);
CREATE INDEX lifecycle_next ON lifecycle (next_ms);

-- The retention that a container gives what comes, for all doors; that of S3 was in its words.
UPDATE container SET settings = json_set(settings, '$."lock.default"', json_object(
        'mode', json_extract(json_extract(settings, '$."s3.lock"'), '$.rule.default_retention.mode'),
        'days', COALESCE(json_extract(json_extract(settings, '$."s3.lock"'), '$.rule.default_retention.days'),
            365 * json_extract(json_extract(settings, '$."s3.lock"'), '$.rule.default_retention.years'))
    ) || '')
    WHERE json_extract(json_extract(settings, '$."s3.lock"'), '$.rule.default_retention.mode') IS NOT NULL;
