-- The highest time of day that endings went by, in ms since 1970; 0 for none yet.

ALTER TABLE store_state ADD COLUMN clock_ms INTEGER NOT NULL DEFAULT 0;
