-- The catalog as SQLite's migrations up to 0020 make it: the same tables and columns, which a test
-- compares; there they are explained. Numbers are BIGINT; texts sort by their bytes, as listings
-- need it. References are looked at with each statement unless a transaction defers them.

CREATE TABLE store_state (
    id           BIGINT PRIMARY KEY CHECK (id = 1),
    uuid         TEXT COLLATE "C" NOT NULL,
    log_floor    BIGINT NOT NULL,
    next_segment BIGINT NOT NULL,
    next_id      BIGINT NOT NULL,
    mark         BIGINT NOT NULL DEFAULT 0,
    recognised   BIGINT NOT NULL DEFAULT 0,
    clock_ms     BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE pool_place (
    id       BIGINT PRIMARY KEY,
    name     TEXT COLLATE "C" NOT NULL UNIQUE,
    kind     TEXT COLLATE "C" NOT NULL,
    url      TEXT COLLATE "C" NOT NULL,
    drain_to BIGINT REFERENCES pool_place (id) DEFERRABLE
);

CREATE TABLE volume (
    id         BIGINT PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL UNIQUE,
    size       BIGINT NOT NULL,
    root       BIGINT NOT NULL,
    lsn        BIGINT NOT NULL,
    epoch      BIGINT NOT NULL,
    parent     TEXT COLLATE "C",
    created_ms BIGINT NOT NULL,
    pool_id    BIGINT REFERENCES pool_place (id) DEFERRABLE
);

CREATE TABLE lease (
    volume_id  BIGINT PRIMARY KEY REFERENCES volume (id) DEFERRABLE,
    epoch      BIGINT NOT NULL,
    owner      TEXT COLLATE "C" NOT NULL,
    expires_ms BIGINT
);

CREATE TABLE snapshot (
    id         BIGINT PRIMARY KEY,
    uuid       TEXT COLLATE "C" NOT NULL,
    volume_id  BIGINT NOT NULL REFERENCES volume (id) DEFERRABLE,
    name       TEXT COLLATE "C" NOT NULL,
    size       BIGINT NOT NULL,
    root       BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE (volume_id, name)
);

CREATE TABLE image (
    id           BIGINT PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL UNIQUE,
    format       TEXT COLLATE "C" NOT NULL,
    os           TEXT COLLATE "C",
    size         BIGINT NOT NULL,
    root         BIGINT NOT NULL,
    source_bytes BIGINT,
    sha256       TEXT COLLATE "C",
    created_ms   BIGINT NOT NULL
);

CREATE TABLE segment (
    id           BIGINT PRIMARY KEY,
    pool_id      BIGINT NOT NULL REFERENCES pool_place (id) DEFERRABLE,
    kind         TEXT COLLATE "C" NOT NULL CHECK (kind IN ('hot', 'cold', 'backup')),
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'sealed', 'condemned', 'forwarded')),
    stored_bytes BIGINT NOT NULL,
    raw_bytes    BIGINT NOT NULL,
    forwarded_to BIGINT,
    named_mark   BIGINT NOT NULL
);
CREATE INDEX segment_state ON segment (state) WHERE state <> 'sealed';
CREATE INDEX segment_forwarded_to ON segment (forwarded_to) WHERE forwarded_to IS NOT NULL;
CREATE INDEX segment_elsewhere ON segment (pool_id) WHERE pool_id <> 1;

CREATE TABLE scrub (
    id           BIGINT PRIMARY KEY CHECK (id = 1),
    next_segment BIGINT NOT NULL,
    started_ms   BIGINT NOT NULL,
    finished_ms  BIGINT,
    segments     BIGINT NOT NULL,
    bytes        BIGINT NOT NULL,
    rate         BIGINT
);

CREATE TABLE damage (
    segment_id  BIGINT NOT NULL,
    file_offset BIGINT NOT NULL,
    bytes       BIGINT NOT NULL,
    position    BIGINT,
    sectors     BIGINT NOT NULL,
    what        TEXT COLLATE "C" NOT NULL,
    found_ms    BIGINT NOT NULL,
    PRIMARY KEY (segment_id, file_offset)
);

CREATE TABLE account (
    id          BIGINT PRIMARY KEY,
    uuid        TEXT COLLATE "C" NOT NULL UNIQUE,
    name        TEXT COLLATE "C" NOT NULL UNIQUE,
    enabled     BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    quota_bytes BIGINT,
    created_ms  BIGINT NOT NULL,
    settings    TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    pool_id     BIGINT REFERENCES pool_place (id) DEFERRABLE
);

CREATE TABLE user_ (
    id         BIGINT PRIMARY KEY,
    uuid       TEXT COLLATE "C" NOT NULL UNIQUE,
    name       TEXT COLLATE "C" NOT NULL UNIQUE,
    password   TEXT COLLATE "C" NOT NULL,
    enabled    BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    is_admin   BIGINT NOT NULL CHECK (is_admin IN (0, 1)),
    created_ms BIGINT NOT NULL
);

CREATE TABLE membership (
    user_id    BIGINT NOT NULL REFERENCES user_ (id) DEFERRABLE,
    account_id BIGINT NOT NULL REFERENCES account (id) DEFERRABLE,
    role       TEXT COLLATE "C" NOT NULL CHECK (role IN ('admin', 'member', 'reader', 'guest')),
    PRIMARY KEY (user_id, account_id)
);
CREATE INDEX membership_account ON membership (account_id);

CREATE TABLE group_ (
    id         BIGINT PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES account (id) DEFERRABLE,
    name       TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE (account_id, name)
);

CREATE TABLE group_member (
    group_id BIGINT NOT NULL REFERENCES group_ (id) DEFERRABLE,
    user_id  BIGINT NOT NULL REFERENCES user_ (id) DEFERRABLE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_member_user ON group_member (user_id);

CREATE TABLE access_key (
    public_id  TEXT COLLATE "C" PRIMARY KEY,
    user_id    BIGINT NOT NULL REFERENCES user_ (id) DEFERRABLE,
    account_id BIGINT NOT NULL REFERENCES account (id) DEFERRABLE,
    sealed     TEXT COLLATE "C" NOT NULL,
    sealed_by  TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX access_key_user ON access_key (user_id);
CREATE INDEX access_key_account ON access_key (account_id);

CREATE TABLE application_credential (
    id         BIGINT PRIMARY KEY,
    uuid       TEXT COLLATE "C" NOT NULL UNIQUE,
    user_id    BIGINT NOT NULL REFERENCES user_ (id) DEFERRABLE,
    account_id BIGINT NOT NULL REFERENCES account (id) DEFERRABLE,
    name       TEXT COLLATE "C" NOT NULL,
    secret     TEXT COLLATE "C" NOT NULL,
    expires_ms BIGINT,
    created_ms BIGINT NOT NULL,
    UNIQUE (user_id, name)
);
CREATE INDEX application_credential_account ON application_credential (account_id);

CREATE TABLE token (
    hash          TEXT COLLATE "C" PRIMARY KEY,
    user_id       BIGINT NOT NULL REFERENCES user_ (id) DEFERRABLE,
    account_id    BIGINT NOT NULL REFERENCES account (id) DEFERRABLE,
    credential_id BIGINT REFERENCES application_credential (id) DEFERRABLE,
    created_ms    BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL
);
CREATE INDEX token_user ON token (user_id);
CREATE INDEX token_account ON token (account_id);
CREATE INDEX token_credential ON token (credential_id) WHERE credential_id IS NOT NULL;
CREATE INDEX token_expires ON token (expires_ms);

CREATE TABLE container (
    id            BIGINT PRIMARY KEY,
    account_id    BIGINT NOT NULL DEFAULT 0,
    name          TEXT COLLATE "C" NOT NULL,
    bucket        TEXT COLLATE "C" UNIQUE,
    versioning    TEXT COLLATE "C" NOT NULL DEFAULT 'off' CHECK (versioning IN ('off', 'enabled', 'suspended')),
    settings      TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    objects       BIGINT NOT NULL DEFAULT 0,
    bytes         BIGINT NOT NULL DEFAULT 0,
    old_bytes     BIGINT NOT NULL DEFAULT 0,
    created_ms    BIGINT NOT NULL,
    quota_bytes   BIGINT,
    quota_objects BIGINT,
    of_snapshots  BIGINT NOT NULL DEFAULT 0 CHECK (of_snapshots IN (0, 1)),
    pool_id       BIGINT REFERENCES pool_place (id) DEFERRABLE,
    UNIQUE (account_id, name)
);
CREATE UNIQUE INDEX container_of_snapshots ON container (of_snapshots) WHERE of_snapshots = 1;

CREATE TABLE file (
    id             BIGINT PRIMARY KEY,
    container_id   BIGINT NOT NULL REFERENCES container (id) DEFERRABLE,
    object         TEXT COLLATE "C" NOT NULL,
    latest         BIGINT NOT NULL DEFAULT 1 CHECK (latest IN (0, 1)),
    version        BIGINT NOT NULL DEFAULT 0 CHECK (version IN (0, 1)),
    marker         BIGINT NOT NULL DEFAULT 0 CHECK (marker IN (0, 1)),
    size           BIGINT NOT NULL,
    root           BIGINT NOT NULL,
    etag           TEXT COLLATE "C",
    sha256         TEXT COLLATE "C",
    meta           TEXT COLLATE "C" NOT NULL DEFAULT '{}',
    created_ms     BIGINT NOT NULL,
    ends_ms        BIGINT,
    remove_ms      BIGINT,
    snapshot_id    BIGINT REFERENCES snapshot (id) DEFERRABLE,
    seal           TEXT COLLATE "C",
    seal_parts     TEXT COLLATE "C",
    owner_id       BIGINT,
    part_checksums TEXT COLLATE "C"
);
CREATE UNIQUE INDEX file_latest ON file (container_id, object) WHERE latest = 1;
CREATE UNIQUE INDEX file_without_version ON file (container_id, object) WHERE version = 0;
CREATE INDEX file_versions ON file (container_id, object, id DESC);
CREATE INDEX file_root ON file (root);
CREATE INDEX file_remove ON file (remove_ms) WHERE remove_ms IS NOT NULL;
CREATE UNIQUE INDEX file_snapshot ON file (snapshot_id) WHERE snapshot_id IS NOT NULL;
CREATE INDEX file_owner ON file (owner_id) WHERE owner_id IS NOT NULL;

CREATE TABLE upload (
    id           BIGINT PRIMARY KEY,
    uuid         TEXT COLLATE "C" NOT NULL UNIQUE,
    container_id BIGINT NOT NULL REFERENCES container (id) DEFERRABLE,
    object       TEXT COLLATE "C" NOT NULL,
    meta         TEXT COLLATE "C" NOT NULL,
    created_ms   BIGINT NOT NULL,
    seal         TEXT COLLATE "C",
    owner_id     BIGINT
);
CREATE INDEX upload_object ON upload (container_id, object, id);
CREATE INDEX upload_created ON upload (created_ms);
CREATE INDEX upload_owner ON upload (owner_id) WHERE owner_id IS NOT NULL;

CREATE TABLE part (
    upload_id  BIGINT NOT NULL REFERENCES upload (id) DEFERRABLE,
    number     BIGINT NOT NULL,
    size       BIGINT NOT NULL,
    root       BIGINT NOT NULL,
    etag       TEXT COLLATE "C" NOT NULL,
    checksums  TEXT COLLATE "C" NOT NULL,
    created_ms BIGINT NOT NULL,
    nonce      TEXT COLLATE "C",
    PRIMARY KEY (upload_id, number)
);
CREATE INDEX part_root ON part (root);

CREATE TABLE account_usage (
    account_id BIGINT PRIMARY KEY,
    versions   BIGINT NOT NULL,
    bytes      BIGINT NOT NULL
);

CREATE TABLE guest_view (
    file_root BIGINT NOT NULL,
    file_size BIGINT NOT NULL,
    format    TEXT COLLATE "C" NOT NULL CHECK (format IN ('qcow2', 'vmdk', 'vhdx', 'vdi')),
    state     TEXT COLLATE "C" NOT NULL CHECK (state IN ('found', 'packed', 'ready', 'refused')),
    size      BIGINT NOT NULL,
    root      BIGINT NOT NULL,
    reason    TEXT COLLATE "C",
    PRIMARY KEY (file_root, file_size)
);
CREATE INDEX guest_view_root ON guest_view (root);

CREATE TABLE access_grant (
    id          BIGINT PRIMARY KEY,
    kind        TEXT COLLATE "C" NOT NULL CHECK (kind IN ('container', 'path', 'image', 'volume', 'snapshot')),
    resource_id BIGINT NOT NULL,
    path        TEXT COLLATE "C" NOT NULL DEFAULT '',
    grantee     TEXT COLLATE "C" NOT NULL,
    user_id     BIGINT REFERENCES user_ (id) DEFERRABLE,
    account_id  BIGINT REFERENCES account (id) DEFERRABLE,
    group_id    BIGINT REFERENCES group_ (id) DEFERRABLE,
    right_      TEXT COLLATE "C" NOT NULL,
    granted_by  TEXT COLLATE "C" NOT NULL,
    created_ms  BIGINT NOT NULL,
    expires_ms  BIGINT,
    UNIQUE (kind, resource_id, path, grantee, right_)
);
CREATE INDEX access_grant_grantee ON access_grant (grantee, kind, resource_id, path);
CREATE INDEX access_grant_user ON access_grant (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX access_grant_account ON access_grant (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX access_grant_group ON access_grant (group_id) WHERE group_id IS NOT NULL;

CREATE TABLE public_link (
    hash         TEXT COLLATE "C" PRIMARY KEY,
    sealed       TEXT COLLATE "C" NOT NULL,
    container_id BIGINT NOT NULL REFERENCES container (id) DEFERRABLE,
    object       TEXT COLLATE "C" NOT NULL,
    made_by      TEXT COLLATE "C" NOT NULL,
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT
);
CREATE INDEX public_link_object ON public_link (container_id, object);

CREATE TABLE audit (
    id       BIGINT PRIMARY KEY,
    class    TEXT COLLATE "C" NOT NULL CHECK (class IN ('change', 'use')),
    number   BIGINT NOT NULL,
    at_ms    BIGINT NOT NULL,
    actor    TEXT COLLATE "C" NOT NULL,
    event    TEXT COLLATE "C" NOT NULL,
    resource TEXT COLLATE "C" NOT NULL,
    detail   TEXT COLLATE "C" NOT NULL,
    count    BIGINT NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX audit_class ON audit (class, number);

CREATE TABLE lifecycle (
    container_id BIGINT PRIMARY KEY REFERENCES container (id) DEFERRABLE,
    rules        TEXT COLLATE "C" NOT NULL,
    said         TEXT COLLATE "C" NOT NULL,
    next_ms      BIGINT NOT NULL,
    object       TEXT COLLATE "C"
);
CREATE INDEX lifecycle_next ON lifecycle (next_ms);

CREATE TABLE block_list (
    id      BIGINT PRIMARY KEY,
    hash    TEXT COLLATE "C" NOT NULL,
    blocks  BIGINT NOT NULL,
    hashes  TEXT COLLATE "C",
    root    BIGINT NOT NULL DEFAULT 0,
    indexed BIGINT NOT NULL DEFAULT 0 CHECK (indexed IN (0, 1))
);
CREATE INDEX block_list_root ON block_list (root);
CREATE INDEX block_list_unindexed ON block_list (id) WHERE indexed = 0;

CREATE TABLE file_blocks (
    file_id BIGINT PRIMARY KEY REFERENCES file (id) ON DELETE CASCADE DEFERRABLE,
    list_id BIGINT NOT NULL REFERENCES block_list (id) DEFERRABLE
);
CREATE INDEX file_blocks_list ON file_blocks (list_id);

CREATE TABLE block (
    account_id BIGINT NOT NULL,
    hash       TEXT COLLATE "C" NOT NULL,
    list_id    BIGINT NOT NULL,
    position   BIGINT NOT NULL,
    PRIMARY KEY (account_id, hash)
);
CREATE INDEX block_of_list ON block (list_id);

CREATE TABLE block_upload (
    account_id BIGINT NOT NULL,
    hash       TEXT COLLATE "C" NOT NULL,
    start      BIGINT NOT NULL,
    size       BIGINT NOT NULL,
    root       BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (account_id, hash)
);
CREATE INDEX block_upload_root ON block_upload (root);
CREATE INDEX block_upload_created ON block_upload (created_ms);

CREATE TABLE block_waiting (
    account_id BIGINT PRIMARY KEY,
    blocks     BIGINT NOT NULL,
    bytes      BIGINT NOT NULL
);
