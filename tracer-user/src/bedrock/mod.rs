//! Bedrock: which operation an exchange is, and what it says.
//!
//! [`Calls`] takes the HTTP events of every connection, recognises Bedrock's among them ([`route`]), reads their bodies
//! (`family/`) and gives one [`Call`] for each: a plain value with everything a span may say.

pub mod agent;
pub mod attempt;
mod baggage;
pub mod billing;
pub mod body;
pub mod call;
mod calls;
pub mod content;
mod envelope;
mod exchange;
pub mod failure;
pub mod family;
pub mod guardrail;
mod headers;
pub mod histogram;
pub mod json;
pub mod model;
pub mod operation;
pub mod pace;
pub mod parameters;
mod reading;
pub mod route;
pub mod session;
mod settings;
mod shares;
mod skeleton;
pub mod stop;
mod tool_results;
mod under_way;

mod assembly;

#[cfg(test)]
pub(crate) mod tests;

pub use call::Call;
pub use calls::{Calls, Output};
pub use settings::Settings;
pub use under_way::UnderWay;
