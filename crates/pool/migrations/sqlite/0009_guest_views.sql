-- Guest views: the disk that a disk image file holds, as a second map over the file's chunks.
-- Of a content and not of a name: copies of a file share it.

CREATE TABLE guest_view (
    file_root INTEGER NOT NULL,  -- root and size of the file, as in table file
    file_size INTEGER NOT NULL,
    format    TEXT    NOT NULL CHECK (format IN ('qcow2', 'vmdk', 'vhdx', 'vdi')),
    -- found: not looked at further yet; packed: has to be unpacked
    state     TEXT    NOT NULL CHECK (state IN ('found', 'packed', 'ready', 'refused')),
    size      INTEGER NOT NULL,  -- of the disk; 0 while it is not known
    root      INTEGER NOT NULL,  -- of the disk; 0 unless ready
    reason    TEXT,              -- why it was refused
    PRIMARY KEY (file_root, file_size)
);
CREATE INDEX guest_view_root ON guest_view (root);

-- Files with ids up to this were looked at, whether they are images.
ALTER TABLE store_state ADD COLUMN recognised INTEGER NOT NULL DEFAULT 0;
