//! Disk image files to and from the transfer stream.
