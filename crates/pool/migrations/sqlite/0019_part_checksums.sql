-- Of an object that came in parts: their checksums. Null: nobody asked for any.

ALTER TABLE file ADD COLUMN part_checksums TEXT;  -- JSON: by name, in the order of the parts
