//! The ground of the end-to-end tests: a fake Amazon Bedrock over real TLS, real client programs, and a harness that runs
//! the `geophone` binary between them.
//!
//! [`fake`] answers and writes down what it answered; [`calls`] words the requests; [`client`] and [`curl`] drive real
//! programs that send them; [`harness`] traces those programs, [`terminal`] sees a screen; [`expect`] compares span by span; [`soak`] lets many
//! of them come and go for minutes. Nothing here calls code of
//! geophone itself: what a span should say is derived a second time, from what the fake served.

pub mod api_server;
pub mod asker;
pub mod calls;
pub mod cgroup;
pub mod client;
pub mod collector;
pub mod curl;
pub mod environment;
pub mod expect;
pub mod fake;
pub mod harness;
pub mod manager;
mod price;
pub mod program;
pub mod soak;
pub mod span;
pub mod terminal;
pub mod uv;
