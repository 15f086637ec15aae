//! Programs and libraries that probes may go to.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tracer_user::probe::resolve::fuzz::fuzz(data));
