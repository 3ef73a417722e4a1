-- Who may use the store: accounts, users, and what they prove themselves with.
-- A uuid is 32 hexadecimal digits. Deleting what something refers to is refused, so that no
-- account goes while it owns something.

CREATE TABLE account (
    id          INTEGER PRIMARY KEY,
    uuid        TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL UNIQUE,
    enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    quota_bytes INTEGER,            -- null: no limit
    created_ms  INTEGER NOT NULL
);

-- `user` and `group` are reserved words of SQL.
CREATE TABLE user_ (
    id         INTEGER PRIMARY KEY,
    uuid       TEXT    NOT NULL UNIQUE,
    name       TEXT    NOT NULL UNIQUE,
    password   TEXT    NOT NULL,    -- argon2id as a PHC string
    enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    is_admin   INTEGER NOT NULL CHECK (is_admin IN (0, 1)),
    created_ms INTEGER NOT NULL
);

CREATE TABLE membership (
    user_id    INTEGER NOT NULL REFERENCES user_ (id),
    account_id INTEGER NOT NULL REFERENCES account (id),
    role       TEXT    NOT NULL CHECK (role IN ('admin', 'member', 'reader')),
    PRIMARY KEY (user_id, account_id)
);
CREATE INDEX membership_account ON membership (account_id);

CREATE TABLE group_ (
    id         INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES account (id),
    name       TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (account_id, name)
);

CREATE TABLE group_member (
    group_id INTEGER NOT NULL REFERENCES group_ (id),
    user_id  INTEGER NOT NULL REFERENCES user_ (id),
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_member_user ON group_member (user_id);

-- Keys of S3. The secret is needed in clear to check a signature: it is sealed, not hashed.
CREATE TABLE access_key (
    public_id  TEXT    PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES user_ (id),
    account_id INTEGER NOT NULL REFERENCES account (id),
    sealed     TEXT    NOT NULL,    -- nonce, AES-256-GCM ciphertext and tag, hexadecimal
    sealed_by  TEXT    NOT NULL,    -- which secret.key sealed it
    created_ms INTEGER NOT NULL
);
CREATE INDEX access_key_user ON access_key (user_id);
CREATE INDEX access_key_account ON access_key (account_id);

CREATE TABLE application_credential (
    id         INTEGER PRIMARY KEY,
    uuid       TEXT    NOT NULL UNIQUE,
    user_id    INTEGER NOT NULL REFERENCES user_ (id),
    account_id INTEGER NOT NULL REFERENCES account (id),
    name       TEXT    NOT NULL,
    secret     TEXT    NOT NULL,    -- argon2id as a PHC string
    expires_ms INTEGER,             -- null: never
    created_ms INTEGER NOT NULL,
    UNIQUE (user_id, name)
);
CREATE INDEX application_credential_account ON application_credential (account_id);

-- Not in backups of the catalog: what was revoked since would be valid again.
CREATE TABLE token (
    hash          TEXT    PRIMARY KEY,  -- BLAKE3 of the token, keyed from secret.key
    user_id       INTEGER NOT NULL REFERENCES user_ (id),
    account_id    INTEGER NOT NULL REFERENCES account (id),
    -- the application credential that it was got with, which ends it
    credential_id INTEGER REFERENCES application_credential (id),
    created_ms    INTEGER NOT NULL,
    expires_ms    INTEGER NOT NULL
);
CREATE INDEX token_user ON token (user_id);
CREATE INDEX token_account ON token (account_id);
CREATE INDEX token_credential ON token (credential_id) WHERE credential_id IS NOT NULL;
CREATE INDEX token_expires ON token (expires_ms);
