//! Server-sent events.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_user::wire::sse::fuzz::fuzz(data));
