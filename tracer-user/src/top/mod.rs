//! The screen of `geophone top`: what is under way now, and figures of what was.
//!
//! ```text
//!  Span ─────────┐
//!  calls in      ├─ Model ─ view ─ a buffer of cells
//!  flight ───────┤    ↑
//!  keys ─────────┘  keys
//! ```
//!
//! No IO: [`Model`] takes spans, the calls in flight and keys; [`draw`] puts a model into a buffer. The terminal, the clock and
//! the source of events are `cli/`'s. Everything kept is bounded: rows by [`ROWS_MAX`], spans by [`SPANS_MAX`] and
//! [`BYTES_MAX`], calls in flight by [`FLIGHTS_MAX`].

mod columns;
mod durations;
mod figures;
mod filter;
mod flight;
mod keys;
mod looking;
mod model;
mod recent;
mod seen;
mod table;
mod view;
mod words;

#[cfg(test)]
mod tests;

pub use durations::{Durations, ERROR};
pub use figures::Figures;
pub use flight::{FLIGHTS_MAX, Flight, Flights};
pub use keys::Flow;
pub use model::{Model, Source, WARNINGS_MAX};
pub use recent::{BYTES_MAX, Recent, SPANS_MAX};
pub use seen::{Facts, Outcome, Seen};
pub use table::{Group, ROWS_MAX, RowKey, Table};
pub use view::draw;
