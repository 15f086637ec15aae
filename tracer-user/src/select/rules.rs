//! The ordered list, and what it says of a process.

use std::fmt;

use super::condition::{Condition, Subject, Terms, Truth};
use super::glob::BadGlob;
use super::settings::{BadSelection, RuleSettings, SelectionSettings};

/// Most rules, of the configuration and of the command line together: every process is held against all of them.
const RULES_MAX: usize = 1024;

/// What is done with a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is traced.
    pub trace: bool,
    /// Whether its prompts and completions may be kept, if they are kept at all. Never without `trace`.
    pub content: bool,
    /// Why.
    pub by: By,
}

/// What has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// No rule names it.
    Default,
    /// `--only` names others.
    Only,
    /// This one of the rules, those of `--skip` first.
    Rule(usize),
}

/// What the rules say of a process, as far as is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What is not known of it cannot change this.
    Settled(Decision),
    /// It depends on what is not known; this is the narrowest that it may come to.
    Open(Decision),
}

impl Outcome {
    /// What is to be done as long as no more is known.
    pub fn decision(self) -> Decision {
        let (Self::Settled(decision) | Self::Open(decision)) = self;
        decision
    }
}

/// Rules, ready to be asked.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Who fits none of these is left alone, if there are any.
    only: Vec<Condition>,
    /// Those of `--skip` first.
    in_order: Vec<Rule>,
    otherwise: Decision,
}

#[derive(Debug, Clone)]
struct Rule {
    /// `--skip`, or its place and name in the configuration.
    title: String,
    condition: Condition,
    trace: bool,
    content: bool,
}

impl Default for Rules {
    /// Everything is traced.
    fn default() -> Self {
        Self {
            only: Vec::new(),
            in_order: Vec::new(),
            otherwise: Decision::new(true, true, By::Default),
        }
    }
}

impl Decision {
    fn new(trace: bool, content: bool, by: By) -> Self {
        Self {
            trace,
            content: trace && content,
            by,
        }
    }
}

impl RuleSettings {
    pub(super) fn condition(&self) -> Result<Condition, (String, BadGlob)> {
        let Self {
            name: _,
            exe,
            command,
            namespace,
            pod,
            labels,
            trace: _,
            content: _,
        } = self;
        Condition::parse(Terms {
            exe: exe.as_deref(),
            command: command.as_deref(),
            namespace: namespace.as_deref(),
            pod: pod.as_deref(),
            labels,
        })
    }
}

impl RuleSettings {
    /// What is wrong with it, if anything.
    pub fn check(&self) -> Result<(), BadSelection> {
        let title = match &self.name {
            Some(name) => format!("\"{name}\""),
            None => "it".to_owned(),
        };
        self.read(&title).map(|_| ())
    }

    fn read(&self, title: &str) -> Result<Condition, BadSelection> {
        let condition = self.globs(title)?;
        if condition.is_empty() {
            return Err(BadSelection::NamesNobody(title.to_owned()));
        }
        if self.trace.is_none() && self.content.is_none() {
            return Err(BadSelection::SaysNothing(title.to_owned()));
        }
        Ok(condition)
    }

    fn globs(&self, title: &str) -> Result<Condition, BadSelection> {
        self.condition().map_err(|(field, error)| BadSelection::Glob {
            rule: title.to_owned(),
            field,
            error,
        })
    }
}

impl Rules {
    /// Reads rules.
    pub fn new(settings: &SelectionSettings) -> Result<Self, BadSelection> {
        let SelectionSettings {
            trace,
            content,
            rules,
            only,
            skip,
        } = settings;
        if rules.len() + only.len() + skip.len() > RULES_MAX {
            return Err(BadSelection::TooMany { max: RULES_MAX });
        }
        let mut read = Vec::new();
        for term in skip {
            let title = "--skip".to_owned();
            read.push(Rule {
                condition: term.rule.globs(&title)?,
                title,
                trace: false,
                content: false,
            });
        }
        for (index, rule) in rules.iter().enumerate() {
            let title = match &rule.name {
                Some(name) => format!("rule {} \"{name}\"", index + 1),
                None => format!("rule {}", index + 1),
            };
            read.push(Rule {
                condition: rule.read(&title)?,
                title,
                trace: rule.trace.unwrap_or(true),
                content: rule.content.unwrap_or(true),
            });
        }
        Ok(Self {
            only: only
                .iter()
                .map(|term| term.rule.globs("--only"))
                .collect::<Result<_, _>>()?,
            in_order: read,
            otherwise: Decision::new(*trace, *content, By::Default),
        })
    }

    /// Whether everything is traced, whoever it is.
    pub fn are_trivial(&self) -> bool {
        self.only.is_empty() && self.in_order.is_empty() && self.otherwise.trace && self.otherwise.content
    }

    /// Whether any rule asks for what only an API server can tell.
    pub fn ask_of_pods(&self) -> bool {
        let of_rules = self.in_order.iter().map(|rule| &rule.condition);
        self.only.iter().chain(of_rules).any(Condition::asks_of_pods)
    }

    /// What is to be done with a process.
    pub fn decide(&self, subject: &Subject<'_>) -> Outcome {
        let mut possible = Vec::new();
        let named = self.only.iter().map(|condition| condition.holds(subject)).max();
        match named {
            Some(Truth::No) => return Outcome::Settled(Decision::new(false, false, By::Only)),
            Some(Truth::Maybe) => possible.push(Decision::new(false, false, By::Only)),
            Some(Truth::Yes) | None => {}
        }
        let mut is_found = false;
        for (index, rule) in self.in_order.iter().enumerate() {
            let holds = rule.condition.holds(subject);
            if holds != Truth::No {
                possible.push(Decision::new(rule.trace, rule.content, By::Rule(index)));
            }
            if holds == Truth::Yes {
                is_found = true;
                break;
            }
        }
        if !is_found {
            possible.push(self.otherwise);
        }
        narrowest(&possible).unwrap_or(Outcome::Settled(self.otherwise))
    }

    /// What has decided, for people.
    pub fn tell(&self, by: By) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| match by {
            By::Default => f.write_str("no rule names it"),
            By::Only => f.write_str("no --only names it"),
            By::Rule(index) => match self.in_order.get(index) {
                Some(Rule { title, condition, .. }) => write!(f, "{title} ({condition})"),
                None => f.write_str("a rule that is gone"),
            },
        })
    }
}

/// Of what it may come to, what takes away most: of trace and of content by itself.
fn narrowest(possible: &[Decision]) -> Option<Outcome> {
    let first = *possible.first()?;
    let least = possible.iter().copied().reduce(|least, other| {
        // Who takes away most has decided; of equals the first.
        let taker = if (other.trace, other.content) < (least.trace, least.content) {
            other
        } else {
            least
        };
        Decision::new(
            least.trace && other.trace,
            least.content && other.content,
            taker.by,
        )
    })?;
    let agree = possible
        .iter()
        .all(|decision| (decision.trace, decision.content) == (first.trace, first.content));
    Some(if agree {
        Outcome::Settled(first)
    } else {
        Outcome::Open(least)
    })
}
