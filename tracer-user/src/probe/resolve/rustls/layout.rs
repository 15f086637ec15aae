//! How a build of rustls reads the record that it encrypts, told by its code.
//!
//! Rust promises no layout: it is the compiler's choice for each version of rustls. `encrypt` gets its record by address, as
//! third argument, and reads what it needs at fixed distances from there (`rustls/src/msgs/message/outbound.rs` in 0.23,
//! `rustls/src/msgs/message.rs` before):
//!
//! | layout | 0 | 8 | 0x10 | 0x18 | 0x20 |
//! |---|---|---|---|---|---|
//! | borrowed | chunks or none | pointer or count | length or start | end | content type, version |
//! | owned | pointer | length | content type, version | | |

use std::collections::HashSet;

use iced_x86::{
    Code, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};

use super::super::RustlsLayout;
use super::super::flow::decode;
use super::super::image::Image;

/// The record is read at the beginning.
const MAX_INSTRUCTIONS: usize = 1024;
const LONGEST_INSTRUCTION: u64 = 15;

/// Length of a record's description in the owned layout, rounded up to words; the borrowed one is longer.
const OWNED_LENGTH: u64 = 0x18;
/// Where the owned layout has the content type, less than a word. The borrowed one has a word there.
const OWNED_TYPE: u64 = 0x10;
const WORD: u64 = 8;

/// What a callee may overwrite, of the registers that can hold the record's address.
const CALLER_SAVED: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

/// The layout that an `encrypt` reads; `None` when its code does not tell, as without optimisation, where the address goes
/// by way of memory.
pub(super) fn of_encrypt(image: &Image<'_>, start: u64) -> Option<RustlsLayout> {
    let mut information = InstructionInfoFactory::new();
    let mut seen = HashSet::new();
    let mut open = vec![(start, Holders::only(Register::RDX))];
    let mut reads_owned_type = false;
    while let Some((address, mut holders)) = open.pop() {
        if holders.is_empty() || seen.len() >= MAX_INSTRUCTIONS || !seen.insert(address) {
            continue;
        }
        let Some(instruction) = decode(image.bytes_at(address, LONGEST_INSTRUCTION), address, address) else {
            continue;
        };
        if let Some((distance, size)) = access(&instruction, holders) {
            if distance.saturating_add(size) > OWNED_LENGTH {
                return Some(RustlsLayout::Borrowed);
            }
            reads_owned_type |= distance >= OWNED_TYPE && size < WORD;
        }
        holders.follow(&instruction, &mut information);
        let next = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Next => open.push((next, holders)),
            FlowControl::Call | FlowControl::IndirectCall => {
                for register in CALLER_SAVED {
                    holders.remove(register);
                }
                open.push((next, holders));
            }
            FlowControl::UnconditionalBranch => open.push((instruction.near_branch_target(), holders)),
            FlowControl::ConditionalBranch => {
                open.push((instruction.near_branch_target(), holders));
                open.push((next, holders));
            }
            FlowControl::IndirectBranch
            | FlowControl::Return
            | FlowControl::Exception
            | FlowControl::Interrupt
            | FlowControl::XbeginXabortXend => {}
        }
    }
    reads_owned_type.then_some(RustlsLayout::Owned)
}

/// How far into the record an instruction reaches, and over how many bytes.
fn access(instruction: &Instruction, holders: Holders) -> Option<(u64, u64)> {
    let reaches = (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory)
        && instruction.memory_index() == Register::None
        && holders.contains(instruction.memory_base());
    let size = match instruction.mnemonic() {
        // An address that is passed on, of one byte at least.
        Mnemonic::Lea => 1,
        _ => instruction.memory_size().size(),
    };
    reaches.then_some((instruction.memory_displacement64(), size as u64))
}

/// Registers that hold the address of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holders(u16);

impl Holders {
    fn only(register: Register) -> Self {
        Self(bit(register))
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn contains(self, register: Register) -> bool {
        self.0 & bit(register) != 0
    }

    fn remove(&mut self, register: Register) {
        self.0 &= !bit(register);
    }

    /// What an instruction does to them.
    fn follow(&mut self, instruction: &Instruction, information: &mut InstructionInfoFactory) {
        let copies = matches!(instruction.code(), Code::Mov_r64_rm64 | Code::Mov_rm64_r64)
            && instruction.op0_kind() == OpKind::Register
            && instruction.op1_kind() == OpKind::Register
            && self.contains(instruction.op1_register());
        for used in information.info(instruction).used_registers() {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            if writes {
                self.remove(used.register());
            }
        }
        if copies {
            self.0 |= bit(instruction.op0_register());
        }
    }
}

/// The place of a general register, whatever part of it is named; none for others.
fn bit(register: Register) -> u16 {
    let full = register.full_register();
    if full.is_gpr64() { 1 << full.number() } else { 0 }
}
