-- Hashes of blocks of 4 MiB: what clients of Pithos say a file is made of.

-- The hashes of one content; versions and copies that show the same have the same list.
CREATE TABLE block_list (
    id      INTEGER PRIMARY KEY,
    hash    TEXT    NOT NULL,             -- of all of them together
    blocks  INTEGER NOT NULL,             -- how many there are
    hashes  TEXT,                         -- they themselves, hexadecimal, where they are few,
    root    INTEGER NOT NULL DEFAULT 0,   -- else in a map
    indexed INTEGER NOT NULL DEFAULT 0 CHECK (indexed IN (0, 1))  -- whether table block has them
);
CREATE INDEX block_list_root ON block_list (root);
CREATE INDEX block_list_unindexed ON block_list (id) WHERE indexed = 0;

CREATE TABLE file_blocks (
    file_id INTEGER PRIMARY KEY REFERENCES file (id) ON DELETE CASCADE,
    list_id INTEGER NOT NULL REFERENCES block_list (id)
);
CREATE INDEX file_blocks_list ON file_blocks (list_id);

-- Where an account has a block: the newest list with it. Made anew from the lists, and so in no
-- backup; a row whose list is gone or shown by no file of the account says nothing.
CREATE TABLE block (
    account_id INTEGER NOT NULL,
    hash       TEXT    NOT NULL,
    list_id    INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    PRIMARY KEY (account_id, hash)
);
CREATE INDEX block_of_list ON block (list_id);

-- Blocks that came before the file that is to be made of them.
CREATE TABLE block_upload (
    account_id INTEGER NOT NULL,
    hash       TEXT    NOT NULL,
    start      INTEGER NOT NULL,          -- where it begins in its map, in bytes
    size       INTEGER NOT NULL,
    root       INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, hash)
);
CREATE INDEX block_upload_root ON block_upload (root);
CREATE INDEX block_upload_created ON block_upload (created_ms);
