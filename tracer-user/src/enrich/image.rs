//! References of container images, `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
//!
//! <https://github.com/distribution/reference/blob/main/reference.go>

/// A reference, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Image<'a> {
    /// Everything before tag and digest.
    pub(super) name: &'a str,
    /// What was asked for by name.
    pub(super) tag: Option<&'a str>,
    /// What was asked for by content, `sha256:…`.
    pub(super) digest: Option<&'a str>,
}

impl<'a> Image<'a> {
    /// Takes a reference apart. A colon before the last slash belongs to the port of a registry.
    pub(super) fn parse(reference: &'a str) -> Self {
        let (rest, digest) = match reference.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (reference, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        Self { name, tag, digest }
    }

    /// Version of a service that runs this image: tag and digest, or what there is of them.
    pub(super) fn version(&self) -> String {
        match (self.tag, self.digest) {
            (Some(tag), Some(digest)) => format!("{tag}@{digest}"),
            (Some(one), None) | (None, Some(one)) => one.to_owned(),
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Image;

    fn parts(reference: &str) -> (&str, Option<&str>, String) {
        let image = Image::parse(reference);
        (image.name, image.tag, image.version())
    }

    #[test]
    fn a_reference_is_taken_apart() {
        assert_eq!(
            parts("registry.local:5000/agents/chat:1.4"),
            ("registry.local:5000/agents/chat", Some("1.4"), "1.4".to_owned())
        );
        assert_eq!(
            parts("registry.local:5000/agents/chat"),
            ("registry.local:5000/agents/chat", None, String::new()),
            "a port is no tag"
        );
        assert_eq!(
            parts("chat:1.4@sha256:0a1b"),
            ("chat", Some("1.4"), "1.4@sha256:0a1b".to_owned())
        );
        assert_eq!(
            parts("chat@sha256:0a1b"),
            ("chat", None, "sha256:0a1b".to_owned())
        );
        assert_eq!(parts(""), ("", None, String::new()));
    }
}
