//! Connections that may speak HTTP/2.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_user::wire::fuzz::http2(data));
