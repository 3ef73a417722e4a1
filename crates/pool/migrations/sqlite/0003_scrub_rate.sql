-- A scrub that goes on after a restart keeps to the rate that was asked for.

ALTER TABLE scrub ADD COLUMN rate INTEGER;  -- bytes a second at most; NULL for no limit
