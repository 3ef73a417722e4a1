-- Sealed versions: their content is stored encrypted. Null: as it is.

ALTER TABLE file ADD COLUMN seal TEXT;        -- JSON: whose key opens it, the wrapped data key, the nonce
ALTER TABLE file ADD COLUMN seal_parts TEXT;  -- JSON: lengths and nonces, of one that came in parts
ALTER TABLE upload ADD COLUMN seal TEXT;      -- JSON: as that of the object to come
ALTER TABLE part ADD COLUMN nonce TEXT;       -- hexadecimal
