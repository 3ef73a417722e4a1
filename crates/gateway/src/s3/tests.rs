//! Facts about the door of S3.
