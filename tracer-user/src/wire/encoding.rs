//! Content codings: gzip, deflate, br, zstd, bounded.
