//! From the fields of a header block to the head of a request or a response (RFC 9113 section 8.3).

use std::borrow::Cow;

use crate::hpack::{Decoder, Malformed};
use crate::http::{Fields, ResponseHead, Version};

/// Most fields of one head that are kept.
const FIELDS_MAX: usize = 256;

/// What a header block says, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) fields: Fields<'static>,
    has_host: bool,
}

impl Head {
    /// The head of a block that could not be read.
    pub(super) fn unknown() -> Self {
        let mut head = Self::default();
        head.fields.set_partial();
        head
    }

    /// Reads a block. A malformed one gives what stood before the place that is.
    pub(super) fn read(decoder: &mut Decoder, block: &[u8]) -> (Self, Result<(), Malformed>) {
        let mut head = Self::default();
        let mut authority = None;
        let outcome = decoder.decode(block, &mut |field| {
            let (Some(name), Some(value)) = (field.name, field.value) else {
                head.fields.set_partial();
                return;
            };
            match name {
                b":method" => head.method = text(value),
                b":path" => head.path = text(value),
                b":status" => head.status = text(value).and_then(|status| status.parse().ok()),
                b":authority" => authority = Some(value.to_vec()),
                [b':', ..] => {}
                _ => head.push(name, value),
            }
        });
        if outcome.is_err() {
            head.fields.set_partial();
        }
        // What HTTP/1 calls `Host` (RFC 9113 section 8.3.1).
        if let Some(authority) = authority
            && !head.has_host
        {
            head.fields.push("host", authority);
        }
        (head, outcome)
    }

    /// Whether it is that of a response that another one will follow.
    pub(super) fn is_interim(&self) -> bool {
        self.status.is_some_and(|status| (100..200).contains(&status))
    }

    /// The head of a response, if its status is known.
    pub(super) fn response(self) -> Option<ResponseHead<'static>> {
        Some(ResponseHead {
            status: self.status?,
            version: Version::Http2,
            fields: self.fields,
        })
    }

    fn push(&mut self, name: &[u8], value: &[u8]) {
        if self.fields.len() >= FIELDS_MAX {
            self.fields.set_partial();
            return;
        }
        let Some(name) = text(name) else { return };
        self.has_host |= name == "host";
        self.fields.push(Cow::Owned(name), value.to_vec());
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}
