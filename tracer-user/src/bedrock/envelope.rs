//! Request bodies that are event-streams: each frame of the client's comes in an envelope that signs it.
//!
//! AWS Signature Version 4 for event-streams: an envelope is a frame with `:date` and `:chunk-signature` whose payload is the
//! frame proper; the last one is empty. With a bearer token there are no envelopes.

use crate::http::{BodyPart, HoleReason};
use crate::wire::eventstream::{Broken, Decoder, Item, Message};

/// Reads the frames of a request.
#[derive(Debug, Default)]
pub(super) struct Envelopes {
    decoder: Decoder,
    /// Frames that could not be read.
    broken: u64,
}

impl Envelopes {
    /// Takes the next part of the body; `each` takes the frames proper.
    pub(super) fn push(&mut self, part: &BodyPart<'_>, each: &mut impl FnMut(&Message<'_>)) {
        let Self { decoder, broken } = self;
        let mut open = |item: Item<'_>| match item {
            Item::Message(envelope) if envelope.header(":chunk-signature").is_some() => {
                // An envelope holds one frame, whole.
                let mut inner = Decoder::new();
                inner.feed(envelope.payload, &mut |item| match item {
                    Item::Message(message) => each(&message),
                    Item::Broken(Broken { .. }) => *broken += 1,
                });
            }
            Item::Message(message) => each(&message),
            Item::Broken(Broken { .. }) => *broken += 1,
        };
        match part {
            BodyPart::Bytes(bytes) => decoder.feed(bytes, &mut open),
            BodyPart::Hole(hole) => {
                let length = hole.length.filter(|_| hole.reason != HoleReason::Undecodable);
                decoder.hole(length, &mut open);
            }
        }
    }

    /// How many frames could not be read so far.
    pub(super) fn broken(&self) -> u64 {
        self.broken
    }

    /// Bytes kept.
    pub(super) fn held(&self) -> usize {
        self.decoder.buffered()
    }
}
