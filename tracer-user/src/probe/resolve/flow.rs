//! Follows the arguments of an x86-64 function through its code to the calls it makes, on every path.
//!
//! Just enough of an interpreter to prove that a small wrapper hands its arguments on: registers are tracked, memory is
//! not, and whatever it does not understand becomes unknown. System V calling convention.

use std::collections::HashSet;

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};

use super::image::{Function, Image};

/// Wrappers are some 30 instructions long.
const MAX_STEPS: usize = 1024;
/// A wrapper longer than this is none.
const MAX_SIZE: u64 = 4096;

/// What is known about a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Unknown,
    /// An argument of the function, counted from 0.
    Argument(u8),
    /// An address in the function's own frame.
    Frame,
    Zero,
}

/// A call or a tail call, with its first five arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    /// Address of the callee; `None` when it is taken from memory or a register.
    pub(super) target: Option<u64>,
    pub(super) arguments: [Value; 5],
}

const ARGUMENT_REGISTERS: [Register; 5] = [
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
];

/// The System V convention lets a callee overwrite these.
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

/// One value for each of the 16 general registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Registers([Value; 16]);

impl Registers {
    fn at_entry(arguments: u8) -> Self {
        let mut registers = Self([Value::Unknown; 16]);
        for (index, register) in (0..arguments).zip(ARGUMENT_REGISTERS) {
            registers.set(register, Value::Argument(index));
        }
        registers.set(Register::RSP, Value::Frame);
        registers
    }

    fn get(&self, register: Register) -> Value {
        slot(register)
            .and_then(|slot| self.0.get(slot))
            .copied()
            .unwrap_or(Value::Unknown)
    }

    fn set(&mut self, register: Register, value: Value) {
        if let Some(place) = slot(register).and_then(|slot| self.0.get_mut(slot)) {
            *place = value;
        }
    }
}

fn slot(register: Register) -> Option<usize> {
    let full = register.full_register();
    full.is_gpr64().then(|| full.number())
}

/// All calls that a function of `arguments` arguments can make. `None` when its code could not be followed to the end.
pub(super) fn calls(image: &Image<'_>, function: Function, arguments: u8) -> Option<Vec<Call>> {
    if function.size == 0 || function.size > MAX_SIZE {
        return None;
    }
    let code = image.bytes_at(function.address, function.size);
    let within = function.address..function.address.checked_add(function.size)?;
    let mut info = InstructionInfoFactory::new();
    let mut calls = Vec::new();
    let mut seen = HashSet::new();
    let mut open = vec![(function.address, Registers::at_entry(arguments))];
    while let Some((address, mut registers)) = open.pop() {
        if !seen.insert((address, registers)) {
            continue;
        }
        if seen.len() > MAX_STEPS {
            return None;
        }
        let instruction = decode(code, function.address, address)?;
        let next = instruction.next_ip();
        let mut call = |target| {
            calls.push(Call {
                target,
                arguments: ARGUMENT_REGISTERS.map(|register| registers.get(register)),
            });
        };
        let target = instruction.near_branch_target();
        match instruction.flow_control() {
            FlowControl::Next => {
                step(&instruction, &mut info, &mut registers);
                open.push((next, registers));
            }
            FlowControl::Call | FlowControl::IndirectCall => {
                let direct = instruction.flow_control() == FlowControl::Call;
                call(direct.then_some(target));
                for register in CALLER_SAVED {
                    registers.set(register, Value::Unknown);
                }
                // A call that never returns may be the last instruction.
                if within.contains(&next) {
                    open.push((next, registers));
                }
            }
            FlowControl::UnconditionalBranch if within.contains(&target) => {
                open.push((target, registers));
            }
            FlowControl::UnconditionalBranch => call(Some(target)),
            FlowControl::ConditionalBranch => {
                if within.contains(&target) {
                    open.push((target, registers));
                } else {
                    call(Some(target));
                }
                open.push((next, registers));
            }
            FlowControl::IndirectBranch => call(None),
            FlowControl::Return | FlowControl::Exception => {}
            FlowControl::Interrupt | FlowControl::XbeginXabortXend => return None,
        }
    }
    Some(calls)
}

/// Looks through the code of a function, jumps included, for an instruction that `wanted` accepts.
pub(super) fn any_instruction(
    image: &Image<'_>,
    start: u64,
    mut wanted: impl FnMut(&Instruction) -> bool,
) -> bool {
    const MAX_INSTRUCTIONS: usize = 2048;
    const LONGEST_INSTRUCTION: u64 = 15;
    let mut seen = HashSet::new();
    let mut open = vec![start];
    while let Some(address) = open.pop() {
        if seen.len() >= MAX_INSTRUCTIONS || !seen.insert(address) {
            continue;
        }
        let Some(instruction) = decode(image.bytes_at(address, LONGEST_INSTRUCTION), address, address) else {
            continue;
        };
        if wanted(&instruction) {
            return true;
        }
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {
                open.push(instruction.next_ip());
            }
            FlowControl::UnconditionalBranch => open.push(instruction.near_branch_target()),
            FlowControl::ConditionalBranch => {
                open.push(instruction.near_branch_target());
                open.push(instruction.next_ip());
            }
            FlowControl::IndirectBranch
            | FlowControl::Return
            | FlowControl::Exception
            | FlowControl::Interrupt
            | FlowControl::XbeginXabortXend => {}
        }
    }
    false
}

/// The instruction at `address` of code that begins at `base`.
pub(super) fn decode(code: &[u8], base: u64, address: u64) -> Option<Instruction> {
    let into = usize::try_from(address.checked_sub(base)?).ok()?;
    let mut decoder = Decoder::with_ip(64, code.get(into..)?, address, DecoderOptions::NONE);
    let instruction = decoder.decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// What a straight instruction does to the registers.
fn step(instruction: &Instruction, info: &mut InstructionInfoFactory, registers: &mut Registers) {
    let result = match instruction.mnemonic() {
        Mnemonic::Mov
            if instruction.code() == Code::Mov_r64_rm64 || instruction.code() == Code::Mov_rm64_r64 =>
        {
            moved(instruction, registers)
        }
        // The byte count is an `int`: widening it keeps its meaning.
        Mnemonic::Movsxd | Mnemonic::Mov => match moved(instruction, registers) {
            count @ Value::Argument(2) => count,
            _ if is_zero(instruction) => Value::Zero,
            _ => Value::Unknown,
        },
        Mnemonic::Xor if is_same_register(instruction) => Value::Zero,
        Mnemonic::Lea if registers.get(instruction.memory_base()) == Value::Frame => Value::Frame,
        Mnemonic::Sub | Mnemonic::Add | Mnemonic::And if instruction.op0_register() == Register::RSP => {
            Value::Frame
        }
        Mnemonic::Push => return,
        Mnemonic::Pop => {
            registers.set(instruction.op0_register(), Value::Unknown);
            return;
        }
        _ => Value::Unknown,
    };
    for used in info.info(instruction).used_registers() {
        let writes = matches!(
            used.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        );
        if writes {
            registers.set(used.register(), Value::Unknown);
        }
    }
    if result != Value::Unknown && instruction.op0_kind() == OpKind::Register {
        registers.set(instruction.op0_register(), result);
    }
}

fn moved(instruction: &Instruction, registers: &Registers) -> Value {
    if instruction.op1_kind() == OpKind::Register {
        registers.get(instruction.op1_register())
    } else {
        Value::Unknown
    }
}

fn is_zero(instruction: &Instruction) -> bool {
    instruction.op1_kind() != OpKind::Register
        && instruction.op1_kind() != OpKind::Memory
        && instruction.immediate(1) == 0
}

fn is_same_register(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == instruction.op1_register()
}
