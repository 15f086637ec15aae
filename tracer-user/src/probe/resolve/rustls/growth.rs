//! By how much a record grows, told by the code of `encrypted_payload_len`: its second argument and a constant.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::super::image::Image;

/// With checks for overflow it takes a dozen instructions.
const MAX_INSTRUCTIONS: usize = 24;
const LONGEST_CODE: u64 = 128;

/// What the function at an address adds to its second argument, if that is all that it does.
pub(super) fn growth(image: &Image<'_>, address: u64) -> Option<u8> {
    added(image.bytes_at(address, LONGEST_CODE))
}

/// Follows the code to its return. Branches are those of checks for overflow, and not taken.
fn added(code: &[u8]) -> Option<u8> {
    let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
    let mut sums = Sums::default();
    for _ in 0..MAX_INSTRUCTIONS {
        let instruction = decoder.decode();
        match instruction.flow_control() {
            FlowControl::Return => return u8::try_from(sums.get(Register::RAX)?).ok(),
            FlowControl::ConditionalBranch => {}
            FlowControl::Next => sums.follow(&instruction)?,
            _ => return None,
        }
    }
    None
}

/// For each register what it holds beyond the second argument, if it holds that.
struct Sums([Option<u64>; 16]);

impl Default for Sums {
    fn default() -> Self {
        let mut sums = Self([None; 16]);
        sums.set(Register::RSI, Some(0));
        sums
    }
}

impl Sums {
    fn get(&self, register: Register) -> Option<u64> {
        let place = register.is_gpr64().then(|| register.number())?;
        self.0.get(place).copied().flatten()
    }

    fn set(&mut self, register: Register, sum: Option<u64>) {
        let full = register.full_register();
        if full.is_gpr64()
            && let Some(place) = self.0.get_mut(full.number())
        {
            // Part of a register is not a sum.
            *place = sum.filter(|_| register.is_gpr64());
        }
    }

    /// What an instruction does to them; `None` for one that such a function does not have.
    fn follow(&mut self, instruction: &Instruction) -> Option<()> {
        let target = instruction.op0_register();
        match instruction.mnemonic() {
            Mnemonic::Mov if instruction.op1_kind() == OpKind::Register => {
                self.set(target, self.get(instruction.op1_register()));
            }
            Mnemonic::Lea if instruction.memory_index() == Register::None => {
                let base = self.get(instruction.memory_base());
                let sum = base.and_then(|sum| sum.checked_add(instruction.memory_displacement64()));
                self.set(target, sum);
            }
            Mnemonic::Add if is_immediate(instruction.op1_kind()) => {
                let sum = self.get(target);
                self.set(
                    target,
                    sum.and_then(|sum| sum.checked_add(instruction.immediate(1))),
                );
            }
            Mnemonic::Pop => self.set(target, None),
            Mnemonic::Push | Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Endbr64 | Mnemonic::Nop => {}
            _ => return None,
        }
        Some(())
    }
}

fn is_immediate(kind: OpKind) -> bool {
    matches!(kind, OpKind::Immediate8to64 | OpKind::Immediate32to64)
}

#[cfg(test)]
mod tests {
    use super::added;

    #[test]
    fn a_sum_is_read_from_all_the_ways_that_compilers_write_it() {
        let plain = [0x48, 0x8d, 0x46, 0x11, 0xc3];
        assert_eq!(added(&plain), Some(0x11));
        let framed = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x46, 0x18, 0x5d, 0xc3];
        assert_eq!(added(&framed), Some(0x18));
        let marked = [0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x8d, 0x46, 0x10, 0xc3];
        assert_eq!(added(&marked), Some(0x10));
        // cmp rsi, -17; ja panic; add rsi, 16; mov rax, rsi; ret
        let checked = [
            0x48, 0x83, 0xfe, 0xef, 0x77, 0x08, 0x48, 0x83, 0xc6, 0x10, 0x48, 0x89, 0xf0, 0xc3,
        ];
        assert_eq!(added(&checked), Some(0x10));
        // push rax; cmp rsi, -9; ja panic; lea rax, [rsi + 8]; add rsi, 24; cmp rsi, rax; jb panic; mov rax, rsi; pop rcx; ret
        let checked_twice = [
            0x50, 0x48, 0x83, 0xfe, 0xf7, 0x77, 0x12, 0x48, 0x8d, 0x46, 0x08, 0x48, 0x83, 0xc6, 0x18, 0x48,
            0x39, 0xc6, 0x72, 0x05, 0x48, 0x89, 0xf0, 0x59, 0xc3,
        ];
        assert_eq!(added(&checked_twice), Some(0x18));
    }

    #[test]
    fn what_does_anything_else_is_no_sum() {
        for code in [
            &[][..],
            &[0xc3],
            // The first argument; a part of the second; a load; a call; a jump.
            &[0x48, 0x8d, 0x47, 0x11, 0xc3],
            &[0x8d, 0x46, 0x11, 0xc3],
            &[0x48, 0x8b, 0x46, 0x11, 0xc3],
            &[0x48, 0x8d, 0x46, 0x11, 0xe8, 0, 0, 0, 0, 0xc3],
            &[0x48, 0x8d, 0x46, 0x11, 0xeb, 0],
        ] {
            assert_eq!(added(code), None, "{code:x?}");
        }
    }
}
