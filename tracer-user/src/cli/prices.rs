//! Price lists: the one compiled in, and a user's own before it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::BAD_USAGE;
use super::failure::Failure;
use crate::genai::cost::Prices;

/// The prices to go by.
pub(super) fn load(file: Option<&Path>) -> Result<Arc<Prices>, Failure> {
    let compiled_in = Prices::compiled_in();
    let Some(path) = file else {
        return Ok(compiled_in);
    };
    let what = format!("cannot take prices from {}", path.display());
    let text = fs::read_to_string(path).map_err(|error| {
        let remedy = "give --prices a file that can be read, or leave it out for the list compiled in";
        Failure::new(what.clone(), error, remedy).with_exit_code(BAD_USAGE)
    })?;
    let own = Prices::parse(&text).map_err(|error| {
        let remedy = "write it like docs/prices.md shows, or take LiteLLM's model_prices_and_context_window.json as it is";
        Failure::new(what, error, remedy).with_exit_code(BAD_USAGE)
    })?;
    tracing::info!(
        rows = own.len(),
        date = own.date(),
        "prices of {}",
        path.display()
    );
    Ok(Arc::new(compiled_in.overlaid(own)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::load;

    #[test]
    fn a_bad_list_says_what_where_and_how_to_go_on() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        writeln!(file, "price = [\n  {{ model = 3 }},\n]").expect("it is written");
        let failure = load(Some(file.path())).expect_err("a bad list");
        assert_eq!(failure.exit_code(), 2);
        let text = failure.to_string();
        assert!(text.contains("line 2: invalid type: integer `3`"), "{text}");
        assert!(text.contains("docs/prices.md"), "{text}");
    }
}
