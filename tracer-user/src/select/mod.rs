//! Which processes are traced and which are left alone: rules of the operator, the first that fits decides.
//!
//! [`Rules`] are an ordered list of globs on executable, command line, namespace, pod and labels. They are asked with what is
//! known of a process, which may be less than everything: then the answer says so, and what it would be at its narrowest.
//! [`Selector`] applies them to the events of a run: it holds back for a moment what comes of a process before it is known
//! whether that is left alone. No IO.
//!
//! Nothing here widens what geophone was told to give: a rule takes away tracing or content, and so do the annotations of
//! pods, which go before every rule that would trace.

mod condition;
mod glob;
mod rules;
mod selector;
mod settings;

pub use condition::{Place, Subject};
pub use glob::BadGlob;
pub use rules::{By, Decision, Outcome, Rules};
pub use selector::{InPod, Selector, Sink, Told, explain};
pub use settings::{BadSelection, BadTerm, RuleSettings, SelectionSettings, Term};

#[cfg(test)]
mod tests;
