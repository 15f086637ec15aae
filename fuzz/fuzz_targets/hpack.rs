//! Header blocks of HTTP/2.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_user::hpack::fuzz::fuzz(data));
