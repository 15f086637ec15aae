//! Event-stream frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_user::wire::eventstream::fuzz::fuzz(data));
