//! `SECURITY.md` names proofs: each of them is there.

use std::path::Path;

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn each_place_and_each_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("SECURITY.md")).expect("the page");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| rule |"));
    let mut proofs = 0;
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, rule, places, proof, _] = cells.as_slice() else {
            panic!("a row has a rule, a place and a proof: {row}");
        };
        for place in quoted(places) {
            assert!(root.join(place).exists(), "{rule}: there is no {place}");
        }
        let mut of_this_rule = 0;
        for named in quoted(proof) {
            let (file, test) = named.split_once(": ").expect("a file and a test");
            let code =
                std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(
                code.contains(&format!("fn {test}(")),
                "{rule}: {file} has no test {test}"
            );
            of_this_rule += 1;
        }
        assert!(of_this_rule > 0, "{rule}: no proof is named");
        proofs += of_this_rule;
    }
    assert!(proofs > 20, "the tables were not found");
}
