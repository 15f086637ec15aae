//! `application/vnd.amazon.eventstream` frames.
