-- Sizes are bytes, times are ms since 1970. A root, an lsn and a head are
-- locations: 64 bits, kept as the signed number of the same bits.

CREATE TABLE store_state (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    uuid         TEXT    NOT NULL,
    log_floor    INTEGER NOT NULL,  -- 0: there is no log yet
    next_segment INTEGER NOT NULL,
    next_id      INTEGER NOT NULL   -- of volumes, snapshots, images, containers and files alike
);

CREATE TABLE pool_place (
    id   INTEGER PRIMARY KEY,
    name TEXT    NOT NULL UNIQUE,
    kind TEXT    NOT NULL,
    url  TEXT    NOT NULL
);

CREATE TABLE volume (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    size       INTEGER NOT NULL,
    root       INTEGER NOT NULL,
    lsn        INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    parent     TEXT,
    created_ms INTEGER NOT NULL
);

CREATE TABLE lease (
    volume_id  INTEGER PRIMARY KEY REFERENCES volume (id),
    epoch      INTEGER NOT NULL,
    owner      TEXT    NOT NULL,
    expires_ms INTEGER              -- null: for as long as the owner holds the lock of the folder
);

CREATE TABLE snapshot (
    id         INTEGER PRIMARY KEY,
    uuid       TEXT    NOT NULL,
    volume_id  INTEGER NOT NULL REFERENCES volume (id),
    name       TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    root       INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (volume_id, name)
);

CREATE TABLE image (
    id           INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL UNIQUE,
    format       TEXT    NOT NULL,
    os           TEXT,
    size         INTEGER NOT NULL,
    root         INTEGER NOT NULL,
    source_bytes INTEGER,
    sha256       TEXT,
    created_ms   INTEGER NOT NULL
);

CREATE TABLE container (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
);

CREATE TABLE file (
    id           INTEGER PRIMARY KEY,
    container_id INTEGER NOT NULL REFERENCES container (id),
    object       TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    root         INTEGER NOT NULL,
    sha256       TEXT,
    created_ms   INTEGER NOT NULL,
    UNIQUE (container_id, object)
);

CREATE TABLE segment (
    id           INTEGER PRIMARY KEY,
    pool_id      INTEGER NOT NULL REFERENCES pool_place (id),
    kind         TEXT    NOT NULL CHECK (kind IN ('hot', 'cold')),
    state        TEXT    NOT NULL CHECK (state IN ('open', 'sealed', 'condemned')),
    stored_bytes INTEGER NOT NULL,
    raw_bytes    INTEGER NOT NULL,
    forwarded_to INTEGER            -- the segment that compaction moved the live part to
);
