//! Content and transfer codings (RFC 9110 §8.4, RFC 9112 §7.2): gzip, deflate, br, zstd and stacks of them.
//!
//! Decoding is a stream: what can be decoded is given at once, since a streamed answer is told piece by piece. It is
//! bounded in memory and in expansion. One exception: a zstd decoder of ours keeps the last window of a frame (often 8 MiB
//! or the whole body) until the frame ends.

mod brotli;
mod deflate;
mod inflate;
#[cfg(test)]
mod tests;
mod zstd;

use self::brotli::Brotli;
use self::deflate::{Deflate, Gzip};
use self::zstd::Zstd;
use crate::counters::{Counter, Counters};
use crate::http::{BodyPart, Hole, HoleReason};

/// Most codings stacked on one body.
pub const CODINGS_MAX: usize = 3;

/// Most decoded bytes of one coded body. Bedrock takes and gives 25 MB.
pub const DECODED_MAX: u64 = 128 << 20;

/// Most decoded bytes for each coded byte, once there are [`RATIO_FREE`] of them. Text as repetitive as JSON can be stays
/// far below; deflate can reach 1032.
pub const RATIO_MAX: u64 = 512;

/// So many decoded bytes are fine whatever the ratio.
pub const RATIO_FREE: u64 = 4 << 20;

/// The ratio is taken over whole steps of so many coded bytes, wherever the pieces of the input end: where decoding stops
/// must not depend on them.
const RATIO_STEP: u64 = 4096;

/// Undoes the codings of one body.
#[derive(Debug)]
pub struct Decoder {
    // Outermost coding first: the one applied last is undone first.
    codings: Vec<Coding>,
    stages: Vec<Stage>,
    state: State,
    /// Coded bytes so far.
    coded: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So far so good.
    Decoding,
    /// Bytes are missing: what follows makes no sense to a decoder.
    Cut,
    /// Broken or unknown; the rest is passed over.
    Undecodable,
    /// Expanded beyond a cap; what follows so many coded bytes is passed over.
    TooLarge { after: u64 },
}

/// Why decoding stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Broken,
    TooLarge,
}

/// Takes decoded bytes.
type Output<'o> = &'o mut dyn FnMut(&[u8]) -> Result<(), Stop>;

impl Decoder {
    /// For a body that went through these codings, named in the order they were applied.
    pub fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let mut codings: Vec<Coding> = names.filter_map(Coding::named).take(CODINGS_MAX + 1).collect();
        codings.reverse();
        if codings.len() > CODINGS_MAX {
            codings = vec![Coding::Unknown];
        }
        Self {
            codings,
            stages: Vec::new(),
            state: State::Decoding,
            coded: 0,
        }
    }

    /// Takes the next part of the coded body and gives what it decodes to.
    pub fn push(&mut self, part: BodyPart<'_>, counters: &mut Counters, give: &mut impl FnMut(BodyPart<'_>)) {
        if self.codings.is_empty() {
            give(part);
            return;
        }
        if let BodyPart::Bytes(bytes) = part {
            self.coded += bytes.len() as u64;
        }
        match (part, self.state) {
            (BodyPart::Hole(hole), state) => {
                give(BodyPart::Hole(hole));
                if state == State::Decoding {
                    self.state = State::Cut;
                }
            }
            (BodyPart::Bytes(bytes), State::TooLarge { after }) => {
                let beyond = self.coded.saturating_sub(after).min(bytes.len() as u64);
                counters.add(Counter::BodyBytesBeyondCap, beyond);
            }
            (BodyPart::Bytes(_), State::Undecodable) => {}
            (BodyPart::Bytes(_), State::Cut) => self.stop(Stop::Broken, counters, give),
            (BodyPart::Bytes(bytes), State::Decoding) => {
                if self.stages.is_empty() {
                    self.stages = self
                        .codings
                        .iter()
                        .filter_map(|coding| Stage::new(*coding))
                        .collect();
                }
                let result = if self.stages.len() == self.codings.len() {
                    decode(&mut self.stages, bytes, &mut |bytes| {
                        give(BodyPart::Bytes(bytes));
                        Ok(())
                    })
                } else {
                    Err(Stop::Broken)
                };
                if let Err(stop) = result {
                    self.stop(stop, counters, give);
                }
            }
        }
    }

    /// The body is over, complete or not.
    pub fn finish(&mut self, counters: &mut Counters, give: &mut impl FnMut(BodyPart<'_>)) {
        if self.state == State::Decoding && self.stages.iter().any(Stage::keeps_back) {
            self.stop(Stop::Broken, counters, give);
        }
    }

    /// Memory held beyond this value.
    pub fn held(&self) -> usize {
        self.stages.iter().map(Stage::held).sum()
    }

    fn stop(&mut self, stop: Stop, counters: &mut Counters, give: &mut impl FnMut(BodyPart<'_>)) {
        self.state = match stop {
            Stop::Broken => State::Undecodable,
            Stop::TooLarge => {
                let after = self.stages.first().map_or(0, |stage| steps(stage.taken));
                counters.add(Counter::BodyBytesBeyondCap, self.coded.saturating_sub(after));
                State::TooLarge { after }
            }
        };
        self.stages = Vec::new();
        counters.add(Counter::BodiesUndecodable, 1);
        give(BodyPart::Hole(Hole {
            length: None,
            reason: HoleReason::Undecodable,
        }));
    }
}

impl Coding {
    /// None for names that stand for no coding.
    fn named(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name {
            "" => None,
            _ if is("identity") => None,
            _ if is("gzip") || is("x-gzip") => Some(Coding::Gzip),
            _ if is("deflate") => Some(Coding::Deflate),
            _ if is("br") => Some(Coding::Brotli),
            _ if is("zstd") => Some(Coding::Zstd),
            _ => Some(Coding::Unknown),
        }
    }
}

/// One coding being undone.
#[derive(Debug)]
struct Stage {
    kind: StageKind,
    taken: u64,
    given: u64,
}

#[derive(Debug)]
enum StageKind {
    Gzip(Gzip),
    Deflate(Deflate),
    Brotli(Box<Brotli>),
    Zstd(Box<Zstd>),
}

impl Stage {
    fn new(coding: Coding) -> Option<Self> {
        Some(Self {
            kind: match coding {
                Coding::Gzip => StageKind::Gzip(Gzip::new()),
                Coding::Deflate => StageKind::Deflate(Deflate::new()),
                Coding::Brotli => StageKind::Brotli(Box::new(Brotli::new())),
                Coding::Zstd => StageKind::Zstd(Box::new(Zstd::new())),
                Coding::Unknown => return None,
            },
            taken: 0,
            given: 0,
        })
    }

    /// Decodes step by step; what comes out is bounded by what went in up to the end of the step.
    fn decode(&mut self, mut input: &[u8], output: Output<'_>) -> Result<(), Stop> {
        while !input.is_empty() {
            let room = usize::try_from(RATIO_STEP - self.taken % RATIO_STEP).unwrap_or(usize::MAX);
            let (now, later) = input.split_at_checked(room).unwrap_or((input, &[]));
            self.taken += now.len() as u64;
            self.step(now, output)?;
            input = later;
        }
        Ok(())
    }

    fn step(&mut self, input: &[u8], output: Output<'_>) -> Result<(), Stop> {
        let Self { kind, taken, given } = self;
        let most = steps(*taken)
            .saturating_mul(RATIO_MAX)
            .clamp(RATIO_FREE, DECODED_MAX);
        let mut bounded = |bytes: &[u8]| {
            let room = usize::try_from(most.saturating_sub(*given)).unwrap_or(usize::MAX);
            let fitting = bytes.get(..room).unwrap_or(bytes);
            *given += fitting.len() as u64;
            output(fitting)?;
            if fitting.len() < bytes.len() {
                return Err(Stop::TooLarge);
            }
            Ok(())
        };
        match kind {
            StageKind::Gzip(gzip) => gzip.decode(input, &mut bounded),
            StageKind::Deflate(deflate) => deflate.decode(input, &mut bounded),
            StageKind::Brotli(brotli) => brotli.decode(input, &mut bounded),
            StageKind::Zstd(zstd) => zstd.decode(input, &mut bounded),
        }
    }

    /// Whether bytes were decoded that were not given yet.
    fn keeps_back(&self) -> bool {
        match &self.kind {
            StageKind::Gzip(_) | StageKind::Deflate(_) | StageKind::Brotli(_) => false,
            StageKind::Zstd(zstd) => zstd.keeps_back(),
        }
    }

    fn held(&self) -> usize {
        match &self.kind {
            StageKind::Gzip(_) | StageKind::Deflate(_) => inflate::HELD,
            StageKind::Brotli(brotli) => brotli.held(),
            StageKind::Zstd(zstd) => zstd.held(),
        }
    }
}

/// Sends bytes through the stages, one after the other.
fn decode(stages: &mut [Stage], input: &[u8], output: Output<'_>) -> Result<(), Stop> {
    match stages.split_first_mut() {
        None => output(input),
        Some((first, rest)) => first.decode(input, &mut |bytes| decode(rest, bytes, output)),
    }
}

/// Rounded up to whole steps.
fn steps(coded: u64) -> u64 {
    coded.div_ceil(RATIO_STEP).saturating_mul(RATIO_STEP)
}

/// Size of the buffer on the stack that a stage decodes into.
const BLOCK: usize = 16 * 1024;
