//! What a file lost, by name.

use std::fmt;

/// A part of a file that gave no event though it should have, or that is not of geophone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes of the file were skipped.
    pub bytes: u64,
    /// What is wrong with it.
    pub reason: DamageReason,
}

/// What is wrong with a part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DamageReason {
    /// The bytes are no pcapng block; the reader went on at the next one.
    Unreadable,
    /// The file ends in the middle of a block, as when the recorder was killed.
    Truncated,
    /// A packet of geophone's whose comment or JSON does not follow the format.
    Malformed,
    /// A packet of geophone's whose bytes are not those that were written.
    Checksum,
    /// A packet or block that geophone did not write.
    Foreign,
    /// Part of a section in a newer format.
    Newer,
}

impl DamageReason {
    const ALL: [DamageReason; 6] = [
        DamageReason::Unreadable,
        DamageReason::Truncated,
        DamageReason::Malformed,
        DamageReason::Checksum,
        DamageReason::Foreign,
        DamageReason::Newer,
    ];

    fn describe(self) -> &'static str {
        match self {
            DamageReason::Unreadable => "not readable as blocks",
            DamageReason::Truncated => "cut off at the end of the file",
            DamageReason::Malformed => "malformed",
            DamageReason::Checksum => "changed after they were written",
            DamageReason::Foreign => "not written by geophone",
            DamageReason::Newer => "in a newer format",
        }
    }
}

/// Sums up the damage of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DamageReport {
    reasons: [Sum; DamageReason::ALL.len()],
}

/// All damage of one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    parts: u64,
    bytes: u64,
    first_offset: u64,
}

impl DamageReport {
    /// Adds one more part.
    pub fn add(&mut self, damage: Damage) {
        let Damage {
            offset,
            bytes,
            reason,
        } = damage;
        if let Some(sum) = self.reasons.get_mut(reason as usize) {
            if sum.parts == 0 {
                sum.first_offset = offset;
            }
            sum.parts += 1;
            sum.bytes = sum.bytes.saturating_add(bytes);
        }
    }

    /// How many parts were skipped.
    pub fn parts(&self) -> u64 {
        self.reasons.iter().map(|sum| sum.parts).sum()
    }

    /// How many bytes of the file were skipped.
    pub fn bytes(&self) -> u64 {
        self.reasons.iter().map(|sum| sum.bytes).sum()
    }

    /// Whether nothing was skipped.
    pub fn is_empty(&self) -> bool {
        self.parts() == 0
    }
}

impl fmt::Display for DamageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = DamageReason::ALL
            .iter()
            .zip(&self.reasons)
            .filter(|(_, sum)| sum.parts > 0);
        for (index, (reason, sum)) in found.enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            let Sum {
                parts,
                bytes,
                first_offset,
            } = sum;
            let noun = if *parts == 1 { "part" } else { "parts" };
            let what = reason.describe();
            write!(
                f,
                "{parts} {noun} {what}: {bytes} bytes, first at offset {first_offset}"
            )?;
        }
        Ok(())
    }
}
