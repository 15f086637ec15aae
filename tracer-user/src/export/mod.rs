//! Outlets: OTLP, the console, JSON lines.
