//! What operators write, and what comes of it.

mod properties;
mod selector;

use serde::Deserialize;

use super::{
    BadSelection, BadTerm, By, Outcome, Place, RuleSettings, Rules, SelectionSettings, Subject, Term,
};
use crate::event::pod::Pod;

fn rules(toml: &str) -> Rules {
    Rules::new(&settings(toml)).unwrap()
}

fn settings(toml: &str) -> SelectionSettings {
    #[derive(Deserialize)]
    #[serde(default)]
    struct Written {
        trace: bool,
        content: bool,
        rules: Vec<RuleSettings>,
    }
    impl Default for Written {
        fn default() -> Self {
            Self {
                trace: true,
                content: true,
                rules: Vec::new(),
            }
        }
    }
    let Written {
        trace,
        content,
        rules,
    } = toml::from_str(toml).unwrap();
    SelectionSettings {
        trace,
        content,
        rules,
        ..SelectionSettings::default()
    }
}

fn refusal(toml: &str) -> BadSelection {
    Rules::new(&settings(toml)).unwrap_err()
}

fn terms(words: &[&str]) -> Vec<Term> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

fn pod(namespace: &str, name: &str, labels: &[(&str, &str)]) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        labels: labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..Pod::default()
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Trace and content of a process that is known in full.
fn settled(rules: &Rules, exe: &str, line: &str, place: Place<'_>) -> (bool, bool) {
    match rules.decide(&Subject::new(exe, &words(line), place)) {
        Outcome::Settled(decision) => (decision.trace, decision.content),
        Outcome::Open(decision) => panic!("{decision:?} is open"),
    }
}

#[test]
fn without_rules_everything_is_traced() {
    let rules = Rules::default();
    assert!(rules.are_trivial());
    assert_eq!(
        settled(&rules, "/usr/bin/node", "node app.js", Place::Outside),
        (true, true)
    );
    let unknown = Subject::new("", &[], Place::Unknown);
    assert!(matches!(rules.decide(&unknown), Outcome::Settled(decision) if decision.by == By::Default));
}

#[test]
fn the_first_rule_that_fits_decides() {
    let rules = rules(
        r#"
        [[rules]]
        namespace = "hr"
        labels = { "app.kubernetes.io/name" = "chat*" }
        trace = true
        content = false
        [[rules]]
        namespace = "hr"
        trace = false
        [[rules]]
        exe = "python3*"
        command = "* /srv/batch/*"
        trace = false
        "#,
    );
    assert!(rules.ask_of_pods());
    let chat = pod("hr", "chat-1", &[("app.kubernetes.io/name", "chat-api")]);
    let payroll = pod("hr", "payroll-1", &[("app.kubernetes.io/name", "payroll")]);
    let shop = pod("shop", "shop-1", &[]);
    let of = |exe, line, place| settled(&rules, exe, line, place);
    assert_eq!(of("/usr/bin/node", "node x", Place::Pod(&chat)), (true, false));
    assert_eq!(
        of("/usr/bin/node", "node x", Place::Pod(&payroll)),
        (false, false)
    );
    assert_eq!(of("/usr/bin/node", "node x", Place::Pod(&shop)), (true, true));
    let batch = "python3 /srv/batch/a.py";
    assert_eq!(of("/usr/bin/python3.12", batch, Place::Outside), (false, false));
    assert_eq!(of("/usr/bin/ruby", batch, Place::Outside), (true, true));
}

#[test]
fn a_list_of_who_is_traced_leaves_everybody_else_alone() {
    let rules = rules("trace = false\n[[rules]]\nexe = \"/usr/bin/node\"\ntrace = true\n");
    assert_eq!(
        settled(&rules, "/usr/bin/node", "node x", Place::Outside),
        (true, true)
    );
    assert_eq!(
        settled(&rules, "/usr/bin/bun", "bun x", Place::Outside),
        (false, false)
    );
    // A program that no rule can mean, however it is called and wherever it runs.
    let bun = rules.decide(&Subject::program("/usr/bin/bun"));
    assert!(matches!(bun, Outcome::Settled(decision) if !decision.trace));
    assert_eq!(rules.tell(bun.decision().by).to_string(), "no rule names it");
}

#[test]
fn what_is_not_known_is_not_guessed() {
    let rules = rules("[[rules]]\nname = \"personnel\"\nnamespace = \"hr-*\"\ntrace = false\n");
    let line = words("python3 app.py");
    let waiting = rules.decide(&Subject::new("/usr/bin/python3", &line, Place::Unknown));
    let Outcome::Open(narrowest) = waiting else {
        panic!("its namespace may be hr-1")
    };
    assert!(!narrowest.trace);
    assert_eq!(
        rules.tell(narrowest.by).to_string(),
        "rule 1 \"personnel\" (namespace=hr-*)"
    );
    let outside = rules.decide(&Subject::new("/usr/bin/python3", &line, Place::Outside));
    assert!(matches!(outside, Outcome::Settled(decision) if decision.trace));
    // Gone before anybody could read what it was.
    let rules = super::tests::rules("[[rules]]\nexe = \"python3\"\ntrace = false\n");
    let gone = rules.decide(&Subject::new("", &[], Place::Outside));
    assert!(matches!(gone, Outcome::Open(decision) if !decision.trace));
}

#[test]
fn the_command_line_names_who_is_left_alone_and_who_is_not_before_any_rule() {
    let mut settings = settings("[[rules]]\nexe = \"node\"\ntrace = true\ncontent = false\n");
    settings.only = terms(&["exe=node", "command=*worker*"]);
    settings.skip = terms(&["command=* --batch *"]);
    let rules = Rules::new(&settings).unwrap();
    let of = |exe, line| settled(&rules, exe, line, Place::Outside);
    assert_eq!(of("/bin/node", "node app.js"), (true, false));
    assert_eq!(of("/bin/ruby", "ruby worker.rb"), (true, true));
    assert_eq!(
        of("/bin/ruby", "ruby app.rb"),
        (false, false),
        "no --only names it"
    );
    assert_eq!(of("/bin/node", "node app.js --batch 7"), (false, false));
    let skipped = rules.decide(&Subject::new(
        "/bin/node",
        &words("node app.js --batch 7"),
        Place::Outside,
    ));
    assert_eq!(
        rules.tell(skipped.decision().by).to_string(),
        "--skip (command=* --batch *)"
    );
}

#[test]
fn content_is_only_ever_taken_away() {
    let rules = rules("content = false\n[[rules]]\nexe = \"node\"\ncontent = true\n");
    assert_eq!(settled(&rules, "/bin/node", "node", Place::Outside), (true, true));
    assert_eq!(
        settled(&rules, "/bin/ruby", "ruby", Place::Outside),
        (true, false)
    );
}

#[test]
fn a_rule_that_cannot_be_meant_is_refused_by_name() {
    assert_eq!(
        refusal("[[rules]]\nname = \"all\"\ntrace = false\n").to_string(),
        "rule 1 \"all\" names nobody: give it one of exe, command, namespace, pod and labels, or set trace and content of \
         [selection] for everybody else"
    );
    assert_eq!(
        refusal("[[rules]]\nexe = \"node\"\n").to_string(),
        "rule 1 says neither trace nor content: write `trace = true` or `trace = false`"
    );
    assert_eq!(
        refusal("[[rules]]\nlabels = { app = \"\" }\ntrace = false\n").to_string(),
        "rule 1: labels.app is empty: it would fit nothing"
    );
    let many = "[[rules]]\nexe = \"node\"\ntrace = true\n".repeat(1025);
    assert_eq!(refusal(&many).to_string(), "there are more than 1024 rules");
    let unknown = toml::from_str::<RuleSettings>("executable = \"node\"\n").unwrap_err();
    assert!(
        unknown.message().contains("unknown field `executable`"),
        "{unknown}"
    );
}

#[test]
fn a_term_of_the_command_line_says_how_it_is_written() {
    assert_eq!("node".parse::<Term>().unwrap_err(), BadTerm::Kind);
    assert_eq!("user=0".parse::<Term>().unwrap_err(), BadTerm::Kind);
    assert_eq!("label.=x".parse::<Term>().unwrap_err(), BadTerm::Kind);
    let error = "exe=/opt/{a".parse::<Term>().unwrap_err().to_string();
    assert!(
        error.starts_with("the glob `/opt/{a`: unclosed alternate group"),
        "{error}"
    );
    let term: Term = "command=* --key=v *".parse().unwrap();
    assert_eq!(term.to_string(), "command=* --key=v *");
    let settings = SelectionSettings {
        skip: terms(&["label.app.kubernetes.io/name=chat"]),
        ..SelectionSettings::default()
    };
    let rules = Rules::new(&settings).unwrap();
    let chat = pod("shop", "c", &[("app.kubernetes.io/name", "chat")]);
    assert_eq!(settled(&rules, "/a", "a", Place::Pod(&chat)), (false, false));
    assert_eq!(settled(&rules, "/a", "a", Place::Outside), (true, true));
}
