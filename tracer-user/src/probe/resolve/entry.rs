//! Where at the entry of a function a probe is cheap.
//!
//! The kernel runs the instruction under a probe either by emulation or by a single step out of line. A step costs two more
//! traps: ten times as much here. What is emulated on x86-64: `push`, `nop`, `call`, `jmp` and conditional jumps
//! (`branch_setup_xol_ops`, `push_setup_xol_ops` in the kernel's `arch/x86/kernel/uprobes.c`).

use super::image::Machine;

/// Longest code that needs to be looked at.
pub(super) const LOOK: u64 = 16;

/// A mark for indirect branches that compilers put at the start of functions. It does nothing, so stepping over it leaves
/// the return address on top of the stack, as the kernel's return probe wants it.
const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// The best place for a probe at the start of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Bytes to step over.
    pub(super) skip: u64,
    /// The kernel emulates the instruction there.
    pub(super) emulated: bool,
}

/// Looks at the first bytes of a function.
pub(super) fn entry(machine: Machine, code: &[u8]) -> Entry {
    if machine != Machine::X86_64 {
        return Entry {
            skip: 0,
            emulated: false,
        };
    }
    if let Some(behind) = code.strip_prefix(&ENDBR64)
        && is_push(behind)
    {
        return Entry {
            skip: ENDBR64.len() as u64,
            emulated: true,
        };
    }
    Entry {
        skip: 0,
        emulated: is_push(code) || is_branch_or_nop(code),
    }
}

fn is_push(code: &[u8]) -> bool {
    matches!(code, [0x50..=0x57, ..] | [0x41, 0x50..=0x57, ..])
}

fn is_branch_or_nop(code: &[u8]) -> bool {
    matches!(
        code,
        [0x70..=0x7f | 0x90 | 0xe8 | 0xe9 | 0xeb, ..] | [0x0f, 0x80..=0x8f, ..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_x86(code: &[u8]) -> (u64, bool) {
        let Entry { skip, emulated } = entry(Machine::X86_64, code);
        (skip, emulated)
    }

    #[test]
    fn a_push_is_emulated_and_a_stack_adjustment_is_not() {
        assert_eq!(on_x86(&[0x41, 0x57, 0x41, 0x56]), (0, true));
        assert_eq!(on_x86(&[0x55, 0x48]), (0, true));
        assert_eq!(on_x86(&[0x48, 0x83, 0xec, 0x18]), (0, false));
    }

    #[test]
    fn the_mark_for_indirect_branches_is_stepped_over_when_a_push_follows() {
        assert_eq!(on_x86(&[0xf3, 0x0f, 0x1e, 0xfa, 0x53]), (4, true));
        assert_eq!(on_x86(&[0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83]), (0, false));
    }

    #[test]
    fn nothing_is_claimed_about_missing_code_or_other_processors() {
        assert_eq!(on_x86(&[]), (0, false));
        assert!(!entry(Machine::Aarch64, &[0x55]).emulated);
    }
}
