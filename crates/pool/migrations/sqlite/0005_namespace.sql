-- Containers of accounts; versions of objects; uploads in parts.

CREATE TABLE container_2 (
    id         INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL DEFAULT 0,  -- 0: the first account, that of the command line
    name       TEXT    NOT NULL,
    bucket     TEXT    UNIQUE,              -- its name among the buckets of all accounts, if it has it
    versioning TEXT    NOT NULL DEFAULT 'off' CHECK (versioning IN ('off', 'enabled', 'suspended')),
    settings   TEXT    NOT NULL DEFAULT '{}',  -- JSON: what doors keep of it
    objects    INTEGER NOT NULL DEFAULT 0,  -- how many rows of table file are the newest and no marker,
    bytes      INTEGER NOT NULL DEFAULT 0,  -- their sizes together,
    old_bytes  INTEGER NOT NULL DEFAULT 0,  -- and the sizes of all other versions and of parts
    created_ms INTEGER NOT NULL,
    UNIQUE (account_id, name)
);
INSERT INTO container_2 (id, name, bucket, created_ms) SELECT id, name, name, created_ms FROM container;

CREATE TABLE file_2 (
    id           INTEGER PRIMARY KEY,       -- ascending: the order of versions
    container_id INTEGER NOT NULL REFERENCES container_2 (id),
    object       TEXT    NOT NULL,
    latest       INTEGER NOT NULL DEFAULT 1 CHECK (latest IN (0, 1)),
    version      INTEGER NOT NULL DEFAULT 0 CHECK (version IN (0, 1)),  -- 0: the one that has no version id
    marker       INTEGER NOT NULL DEFAULT 0 CHECK (marker IN (0, 1)),   -- says that the object was removed
    size         INTEGER NOT NULL,
    root         INTEGER NOT NULL,
    etag         TEXT,                      -- as S3 has it; null: nobody has computed it
    sha256       TEXT,
    meta         TEXT    NOT NULL DEFAULT '{}',  -- JSON
    created_ms   INTEGER NOT NULL
);
INSERT INTO file_2 (id, container_id, object, size, root, sha256, created_ms)
    SELECT id, container_id, object, size, root, sha256, created_ms FROM file;
DROP TABLE file;
DROP TABLE container;
ALTER TABLE container_2 RENAME TO container;
ALTER TABLE file_2 RENAME TO file;
CREATE UNIQUE INDEX file_latest ON file (container_id, object) WHERE latest = 1;
CREATE UNIQUE INDEX file_without_version ON file (container_id, object) WHERE version = 0;
CREATE INDEX file_versions ON file (container_id, object, id DESC);
CREATE INDEX file_root ON file (root);

CREATE TABLE upload (
    id           INTEGER PRIMARY KEY,
    uuid         TEXT    NOT NULL UNIQUE,
    container_id INTEGER NOT NULL REFERENCES container (id),
    object       TEXT    NOT NULL,
    meta         TEXT    NOT NULL,          -- of the object to come
    created_ms   INTEGER NOT NULL
);
CREATE INDEX upload_object ON upload (container_id, object, id);

CREATE TABLE part (
    upload_id  INTEGER NOT NULL REFERENCES upload (id),
    number     INTEGER NOT NULL,
    size       INTEGER NOT NULL,
    root       INTEGER NOT NULL,
    etag       TEXT    NOT NULL,
    checksums  TEXT    NOT NULL,            -- JSON
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (upload_id, number)
);
CREATE INDEX part_root ON part (root);

UPDATE container SET
    objects = (SELECT COUNT(*) FROM file f WHERE f.container_id = container.id),
    bytes = (SELECT COALESCE(SUM(size), 0) FROM file f WHERE f.container_id = container.id);
