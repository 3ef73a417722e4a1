-- Who but its owner may do what with a resource; links for everybody; what was done about both.

CREATE TABLE access_grant (
    id          INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL CHECK (kind IN ('container', 'path', 'image', 'volume', 'snapshot')),
    resource_id INTEGER NOT NULL,           -- of a path: its container
    path        TEXT    NOT NULL DEFAULT '',
    grantee     TEXT    NOT NULL,           -- as in crates/pool/src/grant.rs
    -- Whom the text names, so that no grant outlives them.
    user_id     INTEGER REFERENCES user_ (id),
    account_id  INTEGER REFERENCES account (id),
    group_id    INTEGER REFERENCES group_ (id),
    right_      TEXT    NOT NULL,
    granted_by  TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER,                    -- null: never
    UNIQUE (kind, resource_id, path, grantee, right_)
);
CREATE INDEX access_grant_grantee ON access_grant (grantee, kind, resource_id, path);
CREATE INDEX access_grant_user ON access_grant (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX access_grant_account ON access_grant (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX access_grant_group ON access_grant (group_id) WHERE group_id IS NOT NULL;

CREATE TABLE public_link (
    hash         TEXT    PRIMARY KEY,       -- BLAKE3 of its id, keyed from secret.key
    sealed       TEXT    NOT NULL,          -- the id itself, for its owner: as secrets of access keys
    container_id INTEGER NOT NULL REFERENCES container (id),
    object       TEXT    NOT NULL,
    made_by      TEXT    NOT NULL,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER                    -- null: never
);
CREATE INDEX public_link_object ON public_link (container_id, object);

-- Only ever appended to; the oldest rows of a class go when there are too many.
CREATE TABLE audit (
    id       INTEGER PRIMARY KEY,
    class    TEXT    NOT NULL CHECK (class IN ('change', 'use')),
    number   INTEGER NOT NULL,              -- of its class, without gaps
    at_ms    INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    event    TEXT    NOT NULL,
    resource TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    count    INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX audit_class ON audit (class, number);
