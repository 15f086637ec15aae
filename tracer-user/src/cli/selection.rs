//! Whom to trace: `--only`, `--skip` and the rules of the settings, applied while tracing.

use std::fmt;
use std::sync::Arc;

use clap::Args;

use super::failure::Failure;
use super::settings::{self, Kubernetes, Scalar, Table, Tables, Type};
use super::{BAD_USAGE, note, pods};
use crate::counters::Counters;
use crate::event::{ProbeEvent, Process};
use crate::probe::{LeftAlone, Tracer};
use crate::select::{BadTerm, InPod, RuleSettings, Rules, SelectionSettings, Selector, Sink, Term};

/// What the command line says of whom to trace.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Selection")]
#[allow(clippy::doc_markdown, reason = "these comments are the help text")]
pub(super) struct SelectionOptions {
    /// Trace only processes that fit; may be given several times, and then one of them is enough.
    ///
    /// exe=GLOB is held against the path of the executable (against its file's name, without a `/` in the glob),
    /// command=GLOB against the arguments joined by one space; namespace=GLOB, pod=GLOB and label.KEY=GLOB against the
    /// pod. A glob has to fit the whole: command='* app.py *'.
    #[arg(long, value_name = "WHAT=GLOB", value_parser = term)]
    pub(super) only: Vec<Term>,
    /// Leave processes alone that fit, written as with --only; goes before every other rule.
    #[arg(long, value_name = "WHAT=GLOB", value_parser = term)]
    pub(super) skip: Vec<Term>,
}

fn term(text: &str) -> Result<Term, BadTerm> {
    text.parse()
}

/// The rules, ready for use.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    pub(super) rules: Arc<Rules>,
    /// `None` where nobody asks for pods.
    pub(super) in_pod: Option<InPod>,
    /// Whether the settings have a say; not where somebody named the processes.
    is_by_settings: bool,
}

impl Choice {
    /// Reads the rules.
    pub(super) fn new(settings: &settings::Selection, kubernetes: &Kubernetes) -> Result<Self, Failure> {
        let rules = rules(settings)?;
        let in_pod = pods::in_pod(kubernetes);
        if rules.ask_of_pods() && in_pod.is_none() {
            return Err(refused(
                NOBODY_TELLS_OF_PODS,
                "give --kubernetes-node (of a build with Kubernetes), or leave those rules out",
            ));
        }
        Ok(Self {
            rules: Arc::new(rules),
            in_pod,
            is_by_settings: true,
        })
    }
}

const NOBODY_TELLS_OF_PODS: &str =
    "they name namespaces, pods or labels, and no API server is asked for them";

fn refused(why: impl fmt::Display, remedy: &str) -> Failure {
    Failure::new("cannot use the rules of whom to trace", why, remedy).with_exit_code(BAD_USAGE)
}

/// The rules that the settings give.
pub(super) fn rules(settings: &settings::Selection) -> Result<Rules, Failure> {
    let settings::Selection {
        trace,
        content,
        only,
        skip,
        rules,
    } = settings;
    Rules::new(&SelectionSettings {
        trace: trace.get().copied().unwrap_or(true),
        content: content.get().copied().unwrap_or(true),
        only: only.get().cloned().unwrap_or_default(),
        skip: skip.all().cloned().collect(),
        rules: rules.get().map(|Tables(rules)| rules.clone()).unwrap_or_default(),
    })
    .map_err(|error| refused(error, "docs/operations.md describes rules"))
}

impl Scalar for Term {
    const TYPES: &'static [Type] = &[Type::String];
    const SEPARATOR: char = '\n';

    fn expected() -> String {
        "exe=GLOB, command=GLOB, namespace=GLOB, pod=GLOB or label.KEY=GLOB".to_owned()
    }

    fn parse(text: &str) -> Result<Self, Option<String>> {
        text.parse().map_err(|error: BadTerm| match error {
            BadTerm::Kind => None,
            BadTerm::Glob(error) => Some(format!("the glob {error}")),
        })
    }

    fn show(&self) -> toml::Value {
        toml::Value::String(self.to_string())
    }
}

impl Table for RuleSettings {
    fn check(&self) -> Result<(), String> {
        RuleSettings::check(self).map_err(|error| error.to_string())
    }
}

/// Decides for each process, and tells the kernel side.
#[derive(Debug)]
pub(super) struct Selection {
    selector: Selector,
    left_alone: LeftAlone,
    asks_for_pods: bool,
    is_by_settings: bool,
}

impl Selection {
    pub(super) fn new(choice: Choice, left_alone: LeftAlone) -> Self {
        let Choice {
            rules,
            in_pod,
            is_by_settings,
        } = choice;
        Self {
            asks_for_pods: in_pod.is_some(),
            is_by_settings,
            selector: Selector::new(rules, in_pod),
            left_alone,
        }
    }

    /// Other rules hold from now on, for who runs already too.
    pub(super) fn reload(
        &mut self,
        rules: Rules,
        tracer: &mut Tracer,
        each: &mut dyn FnMut(&ProbeEvent<'_>),
    ) {
        if !self.is_by_settings {
            return;
        }
        if rules.ask_of_pods() && !self.asks_for_pods {
            note(format_args!(
                "the rules of whom to trace stay as they were: {NOBODY_TELLS_OF_PODS}"
            ));
            return;
        }
        let rules = Arc::new(rules);
        tracer.choose(Arc::clone(&rules));
        let Self {
            selector, left_alone, ..
        } = self;
        selector.reload(rules, &mut Onward { left_alone, each });
    }

    /// Hands on what may be told, at once or later.
    pub(super) fn push(&mut self, event: &ProbeEvent<'_>, each: &mut dyn FnMut(&ProbeEvent<'_>)) {
        let Self {
            selector, left_alone, ..
        } = self;
        selector.push(event, &mut Onward { left_alone, each });
    }

    /// Tracing stops: what waits still is told as far as it may be.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(&ProbeEvent<'_>)) {
        let Self {
            selector, left_alone, ..
        } = self;
        selector.finish(&mut Onward { left_alone, each });
    }

    /// What was dropped.
    pub(super) fn counters(&self) -> &Counters {
        self.selector.counters()
    }
}

struct Onward<'a> {
    left_alone: &'a LeftAlone,
    each: &'a mut dyn FnMut(&ProbeEvent<'_>),
}

impl Sink for Onward<'_> {
    fn event(&mut self, event: &ProbeEvent<'_>) {
        (self.each)(event);
    }

    fn leave_alone(&mut self, process: &Process) {
        self.left_alone.add(process);
    }

    fn follow(&mut self, process: &Process) {
        self.left_alone.remove(process.key.pid);
    }
}
