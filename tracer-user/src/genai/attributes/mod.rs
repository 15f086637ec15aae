//! The attributes of a call's span, a file for each group.

mod agent;
mod attempts;
mod beside;
pub(super) mod content;
mod cost;
mod guardrail;
mod identity;
mod incomplete;
mod list;
pub(super) mod parameters;
mod request;
mod response;
mod transport;
pub(super) mod usage;

use crate::bedrock::Call;

use super::content::Documents;
use super::failure::Failed;
use super::options::Options;
use super::span::Attribute;

pub(super) use attempts::of_attempts;
pub(super) use content::add_documents;
pub(super) use identity::add_session;
pub(super) use list::List;

/// A call, and what was concluded from it for more than one group.
#[derive(Clone, Copy)]
pub(super) struct Subject<'c> {
    /// The call.
    pub(super) call: &'c Call,
    /// What the telemetry is to look like.
    pub(super) options: &'c Options,
    /// Its `gen_ai` operation.
    pub(super) operation: Option<&'static str>,
    /// What failed.
    pub(super) failed: Option<&'c Failed>,
    /// Why each choice ended, in the convention's words.
    pub(super) finish_reasons: &'c [String],
    /// What was said, ready to be told.
    pub(super) documents: Option<&'c Documents>,
}

/// Every attribute that the call can fill.
pub(super) fn attributes(subject: Subject<'_>) -> Vec<Attribute> {
    let mut list = List::default();
    request::add(&mut list, subject);
    parameters::add(&mut list, subject);
    response::add(&mut list, subject);
    usage::add(&mut list, subject);
    cost::add(&mut list, subject);
    identity::add(&mut list, subject.call);
    agent::add(&mut list, subject);
    guardrail::add(&mut list, subject.call);
    beside::add(&mut list, subject.call);
    transport::add(&mut list, subject);
    attempts::add(&mut list, subject.call);
    incomplete::add(&mut list, subject.call);
    content::add(&mut list, subject);
    list.into_attributes()
}
