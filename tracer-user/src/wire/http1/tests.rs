//! Conversations over HTTP/1, as people and machines hold them.
