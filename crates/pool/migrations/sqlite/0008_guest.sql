-- A fourth role. SQLite cannot change a CHECK, so that the table is made anew.

CREATE TABLE membership_new (
    user_id    INTEGER NOT NULL REFERENCES user_ (id),
    account_id INTEGER NOT NULL REFERENCES account (id),
    role       TEXT    NOT NULL CHECK (role IN ('admin', 'member', 'reader', 'guest')),
    PRIMARY KEY (user_id, account_id)
);
INSERT INTO membership_new SELECT user_id, account_id, role FROM membership;
DROP TABLE membership;
ALTER TABLE membership_new RENAME TO membership;
CREATE INDEX membership_account ON membership (account_id);
