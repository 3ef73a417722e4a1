-- What doors keep of an account: JSON, each under a name of its own.

ALTER TABLE account ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
