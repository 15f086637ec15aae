//! Live source: finds TLS libraries, attaches the probes and reads the ring buffer. All that needs root is here.

pub mod resolve;
