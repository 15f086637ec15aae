//! Connections: from probe events to ordered bytes with explicit holes, and to a verdict.
