//! Who a process is, as an OpenTelemetry resource.
