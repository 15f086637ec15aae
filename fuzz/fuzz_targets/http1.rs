//! Connections that may speak HTTP/1.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_user::wire::fuzz::conversation(data));
