//! Blanking of credentials.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_user::scrub::fuzz::fuzz(data));
