//! Whatever the rules, knowing more never takes back what was decided by less.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::settings::RuleSettings;
use super::super::{Outcome, Place, Rules, SelectionSettings, Subject};
use crate::event::pod::Pod;

const EXES: [&str; 3] = ["/bin/a", "/bin/b", "/opt/a"];
const LINES: [&str; 2] = ["a x", "b y"];
const NAMES: [&str; 2] = ["n", "m"];

fn glob(of: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        3 => Just(None),
        1 => Just(Some("*".to_owned())),
        3 => proptest::sample::select(of).prop_map(|text| Some(text.to_owned())),
    ]
}

fn rule() -> impl Strategy<Value = RuleSettings> {
    (
        glob(&["/bin/a", "a", "/bin/*"]),
        glob(&["a *", "b y"]),
        glob(&NAMES),
        glob(&NAMES),
        glob(&NAMES),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(exe, command, namespace, pod, label, trace, content)| RuleSettings {
                name: None,
                exe: exe.or_else(|| {
                    let names_nobody =
                        command.is_none() && namespace.is_none() && pod.is_none() && label.is_none();
                    names_nobody.then(|| "*".to_owned())
                }),
                command,
                namespace,
                pod,
                labels: label.map(|label| ("l".to_owned(), label)).into_iter().collect(),
                trace: Some(trace),
                content: Some(content),
            },
        )
}

fn selection() -> impl Strategy<Value = Rules> {
    let rules = proptest::collection::vec(rule(), 0..6);
    let only = proptest::option::of(proptest::sample::select(
        &["exe=a", "namespace=n", "label.l=m", "command=b*"][..],
    ));
    (rules, any::<bool>(), any::<bool>(), only).prop_map(|(rules, trace, content, only)| {
        Rules::new(&SelectionSettings {
            trace,
            content,
            rules,
            only: only.into_iter().map(|term| term.parse().unwrap()).collect(),
            skip: Vec::new(),
        })
        .unwrap()
    })
}

/// Every process that there can be.
fn everybody() -> Vec<(&'static str, &'static str, Option<Pod>)> {
    let mut pods = vec![None];
    for namespace in NAMES {
        for name in NAMES {
            for label in [None, Some("n"), Some("m")] {
                pods.push(Some(Pod {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    labels: label
                        .map(|label| BTreeMap::from([("l".to_owned(), label.to_owned())]))
                        .unwrap_or_default(),
                    ..Pod::default()
                }));
            }
        }
    }
    let mut everybody = Vec::new();
    for exe in EXES {
        for line in LINES {
            everybody.extend(pods.iter().map(|pod| (exe, line, pod.clone())));
        }
    }
    everybody
}

proptest! {
    #[test]
    fn what_is_settled_stays_and_what_is_open_is_never_narrower_in_the_end(rules in selection(), known in 0_u8..8) {
        for (exe, line, pod) in everybody() {
            let arguments = super::words(line);
            let place = pod.as_ref().map_or(Place::Outside, Place::Pod);
            let full = rules.decide(&Subject::new(exe, &arguments, place));
            let Outcome::Settled(full) = full else {
                return Err(TestCaseError::fail("all is known and nothing is settled"));
            };
            let partial = Subject::new(
                if known & 1 == 0 { "" } else { exe },
                if known & 2 == 0 { &[] } else { &arguments },
                if known & 4 == 0 { Place::Unknown } else { place },
            );
            match rules.decide(&partial) {
                Outcome::Settled(early) => {
                    prop_assert_eq!((early.trace, early.content), (full.trace, full.content));
                }
                Outcome::Open(narrowest) => {
                    prop_assert!(narrowest.trace <= full.trace && narrowest.content <= full.content);
                }
            }
            prop_assert!(full.trace || !full.content);
        }
    }

    #[test]
    fn any_glob_is_taken_or_refused_and_never_a_panic(glob in "[*?{}\\[\\]!,a/\\\\-]{0,12}", text in "[a/,-]{0,12}") {
        let settings = SelectionSettings {
            rules: vec![RuleSettings {
                exe: Some(glob.clone()),
                command: Some(glob),
                trace: Some(false),
                ..RuleSettings::default()
            }],
            ..SelectionSettings::default()
        };
        if let Ok(rules) = Rules::new(&settings) {
            rules.decide(&Subject::new(&text, std::slice::from_ref(&text), Place::Unknown));
        }
    }
}
