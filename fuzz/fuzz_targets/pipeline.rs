//! All of the core, from the scrubber to the spans.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_user::pipeline::fuzz::fuzz(data));
