//! Follows a function through all its paths: which errors it reports, what it calls, and whether it keeps its stack in order.
//!
//! Constants in registers are followed, memory is not. A return probe takes the word on top of the stack at the start of a
//! function for the return address; a wrong start would make it overwrite something else. So the height of the stack is
//! followed as well: when every `ret` finds it as it was at the start, that start is as good as the real one.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

use super::super::image::Image;
use super::scan::{Evidence, Starts};

/// Instructions followed in one function, once for each set of constants.
const MAX_STEPS: usize = 1 << 12;
/// Sets of constants with which one instruction is met.
const MAX_MEETINGS: usize = 32;
/// Code fetched at once.
const FETCH: u64 = 256;
/// No instruction is longer.
const LONGEST: usize = 15;

/// A report of an error, `f(library, [function,] reason, file, line)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in super::super) struct Report {
    /// The function that takes it; `None` where that is taken from memory.
    pub(in super::super) to: Option<u64>,
    /// Which part of the library reports.
    pub(in super::super) library: Option<u64>,
    /// A code for the function that reports, where the library still has such codes.
    pub(in super::super) function: Option<u64>,
    /// What is wrong.
    pub(in super::super) reason: Option<u64>,
    /// Address of the text that was looked for: name of the source file or of the function.
    pub(in super::super) text: u64,
}

/// What following a function gave.
#[derive(Debug, Default)]
pub(in super::super) struct Walk {
    /// Calls that pass on one of the texts.
    pub(in super::super) reports: BTreeSet<Report>,
    /// Functions that it calls, tail calls included.
    pub(in super::super) calls: BTreeSet<u64>,
    /// Start of each instruction on its way.
    pub(in super::super) instructions: BTreeSet<u64>,
    /// It writes to memory that is neither its own stack frame nor the buffer that it was given.
    pub(in super::super) writes: bool,
    /// Why it cannot be what a function looks like.
    pub(in super::super) flaw: Option<&'static str>,
    /// What it cost.
    pub(in super::super) steps: usize,
}

/// What is known of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Value {
    Unknown,
    Constant(u64),
    /// An address in what the second argument leads to: in `f(connection, buffer, length)` the buffer.
    Buffer,
}

impl Value {
    fn constant(self) -> Option<u64> {
        match self {
            Value::Constant(value) => Some(value),
            Value::Unknown | Value::Buffer => None,
        }
    }
}

impl From<Option<u64>> for Value {
    fn from(constant: Option<u64>) -> Self {
        constant.map_or(Value::Unknown, Value::Constant)
    }
}

/// What is known before an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    registers: [Value; 16],
    /// Bytes on the stack above the return address; `None` when that depends on data.
    height: Option<i64>,
    /// The height that `rbp` stands for.
    frame: Option<i64>,
    /// A constant on top of the stack.
    pushed: Option<u64>,
    /// How far a check of the stack protector has come.
    canary: Canary,
}

/// The stack protector's check: `cmp reg, fs:[0x28]` (or `sub`, `xor`, or with a `mov` before it), `jne` to a call that never
/// returns. The next function may follow that call at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Canary {
    None,
    Loaded(Register),
    Compared,
    Failed,
}

impl Canary {
    fn step(self, instruction: &Instruction) -> Self {
        const PLACE: u64 = 0x28;
        let reads = instruction.segment_prefix() == Register::FS
            && instruction.memory_displacement64() == PLACE
            && instruction.op1_kind() == OpKind::Memory;
        let first = instruction.op0_register();
        match (instruction.mnemonic(), self) {
            (Mnemonic::Cmp | Mnemonic::Sub | Mnemonic::Xor, _) if reads => Self::Compared,
            (Mnemonic::Mov, _) if reads => Self::Loaded(first),
            (Mnemonic::Cmp, Self::Loaded(register)) if first == register => Self::Compared,
            _ => Self::None,
        }
    }
}

impl State {
    fn at_entry() -> Self {
        let mut state = Self {
            registers: [Value::Unknown; 16],
            height: Some(0),
            frame: None,
            pushed: None,
            canary: Canary::None,
        };
        state.set(Register::RSI, Value::Buffer);
        state
    }

    fn get(&self, register: Register) -> Value {
        slot(register)
            .and_then(|slot| self.registers.get(slot))
            .copied()
            .unwrap_or(Value::Unknown)
    }

    fn set(&mut self, register: Register, value: Value) {
        if let Some(place) = slot(register).and_then(|slot| self.registers.get_mut(slot)) {
            *place = value;
        }
    }

    fn grow(&mut self, bytes: i64) {
        self.height = self.height.and_then(|height| height.checked_add(bytes));
    }
}

fn slot(register: Register) -> Option<usize> {
    let full = register.full_register();
    full.is_gpr64().then(|| full.number())
}

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

/// Follows the function that begins at `start`, looking for calls that pass on an address in `texts`.
pub(in super::super) fn walk(image: &Image<'_>, starts: &Starts, start: u64, texts: &[Range<u64>]) -> Walk {
    let mut walk = Walk::default();
    let mut code = Code::new(image);
    let mut info = InstructionInfoFactory::new();
    let mut met: HashMap<u64, Vec<State>> = HashMap::new();
    let mut open = vec![(start, State::at_entry())];
    while let Some((address, mut state)) = open.pop() {
        let before = met.entry(address).or_default();
        if before.contains(&state) {
            continue;
        }
        if before.len() >= MAX_MEETINGS || walk.steps >= MAX_STEPS {
            walk.flaw = Some("it has too many paths to be followed");
            return walk;
        }
        before.push(state.clone());
        walk.steps += 1;
        walk.instructions.insert(address);
        let Some(instruction) = code.instruction(address) else {
            walk.flaw = Some("there are bytes on its way that are no instruction");
            continue;
        };
        let next = instruction.next_ip();
        let target = instruction.near_branch_target();
        let is_balanced = state.height == Some(0);
        let canary = state.canary;
        state.canary = canary.step(&instruction);
        match instruction.flow_control() {
            FlowControl::Next => {
                walk.writes |= step(&instruction, &mut info, &mut state);
                open.push((next, state));
            }
            FlowControl::Call | FlowControl::IndirectCall => {
                let to = (instruction.flow_control() == FlowControl::Call).then_some(target);
                walk.call(to, &state, texts);
                for register in CALLER_SAVED {
                    state.set(register, Value::Unknown);
                }
                state.pushed = None;
                // A call that never returns is the last instruction of a function.
                if canary != Canary::Failed && starts.of(code.behind_padding(next)).is_none() {
                    open.push((next, state));
                }
            }
            FlowControl::UnconditionalBranch => {
                if is_balanced && starts.of(target).is_some() {
                    walk.call(Some(target), &state, texts);
                } else {
                    open.push((target, state));
                }
            }
            FlowControl::ConditionalBranch => {
                if is_balanced && starts.of(target) == Some(Evidence::Call) {
                    walk.call(Some(target), &state, texts);
                } else {
                    let mut there = state.clone();
                    if canary == Canary::Compared && instruction.mnemonic() == Mnemonic::Jne {
                        there.canary = Canary::Failed;
                    }
                    open.push((target, there));
                }
                open.push((next, state));
            }
            FlowControl::IndirectBranch if is_balanced => walk.call(None, &state, texts),
            FlowControl::IndirectBranch => {
                walk.flaw = Some("it jumps where a table says");
            }
            FlowControl::Return if is_balanced => {}
            FlowControl::Return => {
                walk.flaw = Some("it returns with another stack than it began with");
            }
            // `ud2`, `int3`: how compilers say that nobody comes here.
            FlowControl::Exception => {}
            FlowControl::Interrupt if instruction.mnemonic() == Mnemonic::Int3 => {}
            FlowControl::Interrupt | FlowControl::XbeginXabortXend => {
                walk.flaw = Some("there are instructions in it that no compiler makes");
            }
        }
    }
    walk
}

impl Walk {
    fn call(&mut self, to: Option<u64>, state: &State, texts: &[Range<u64>]) {
        self.calls.extend(to);
        let arguments = [Register::RDI, Register::RSI, Register::RDX, Register::RCX]
            .map(|register| state.get(register).constant());
        let is_text =
            |value: &Option<u64>| value.filter(|value| texts.iter().any(|text| text.contains(value)));
        let [first, second, third, fourth] = arguments;
        let report = match (is_text(&third), is_text(&fourth)) {
            (_, Some(text)) => Report {
                to,
                library: first,
                function: second,
                reason: third,
                text,
            },
            // Link-time optimisation drops an argument that is not used.
            (Some(text), None) => Report {
                to,
                library: first,
                function: None,
                reason: second,
                text,
            },
            (None, None) => return,
        };
        self.reports.insert(report);
    }
}

/// What an instruction that goes on with the next one does; whether it writes to memory beyond stack frame and buffer.
fn step(instruction: &Instruction, info: &mut InstructionInfoFactory, state: &mut State) -> bool {
    let mnemonic = instruction.mnemonic();
    let is_stack = instruction.op0_kind() == OpKind::Register && instruction.op0_register() == Register::RSP;
    let (height, frame, pushed) = (state.height, state.frame, state.pushed);
    let mut result = Value::Unknown;
    state.pushed = None;
    match mnemonic {
        Mnemonic::Push => {
            state.grow(8);
            state.pushed = immediate(instruction, 0);
        }
        Mnemonic::Pop => {
            state.grow(-8);
            result = pushed.into();
        }
        Mnemonic::Pushfq => state.grow(8),
        Mnemonic::Popfq => state.grow(-8),
        Mnemonic::Leave => state.height = frame.and_then(|frame| frame.checked_sub(8)),
        Mnemonic::Sub if is_stack => state.height = moved(height, immediate(instruction, 1), 1),
        Mnemonic::Add if is_stack => state.height = moved(height, immediate(instruction, 1), -1),
        Mnemonic::Lea if is_stack => {
            let base = match instruction.memory_base() {
                Register::RSP => height,
                Register::RBP => frame,
                _ => None,
            };
            let is_plain = instruction.memory_index() == Register::None;
            state.height = moved(
                base.filter(|_| is_plain),
                Some(instruction.memory_displacement64()),
                -1,
            );
        }
        Mnemonic::Mov if is_stack => {
            state.height = frame.filter(|_| instruction.op1_register() == Register::RBP);
        }
        Mnemonic::Lea if instruction.is_ip_rel_memory_operand() => {
            result = Value::Constant(instruction.ip_rel_memory_address());
        }
        Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsxd if instruction.op1_kind() == OpKind::Register => {
            let is_whole = matches!(instruction.op1_register().size(), 4 | 8) && mnemonic == Mnemonic::Mov;
            if is_whole {
                result = state.get(instruction.op1_register());
            }
        }
        Mnemonic::Mov => result = immediate(instruction, 1).into(),
        Mnemonic::Xor
            if instruction.op1_kind() == OpKind::Register
                && instruction.op0_register() == instruction.op1_register() =>
        {
            result = Value::Constant(0);
        }
        _ if is_stack => state.height = None,
        Mnemonic::Lea | Mnemonic::Add | Mnemonic::Sub | Mnemonic::Inc => {
            let parts = [
                instruction.memory_base(),
                instruction.memory_index(),
                instruction.op0_register(),
                instruction.op1_register(),
            ];
            let parts = match mnemonic {
                Mnemonic::Lea => parts.get(..2),
                _ => parts.get(2..),
            };
            let is_in_buffer =
                parts.is_some_and(|parts| parts.iter().any(|register| state.get(*register) == Value::Buffer));
            if is_in_buffer {
                result = Value::Buffer;
            }
        }
        _ => {}
    }
    let effects = info.info(instruction);
    let writes = effects.used_memory().iter().any(|memory| {
        let is_own = memory.base() == Register::RSP || (memory.base() == Register::RBP && frame.is_some());
        let is_buffer = [memory.base(), memory.index()]
            .iter()
            .any(|register| state.get(*register) == Value::Buffer);
        is_write(memory.access()) && !is_own && !is_buffer
    });
    for used in effects.used_registers() {
        if is_write(used.access()) {
            state.set(used.register(), Value::Unknown);
            if used.register().full_register() == Register::RBP {
                state.frame = None;
            }
        }
    }
    let sets =
        instruction.op0_kind() == OpKind::Register && matches!(instruction.op0_register().size(), 4 | 8);
    if sets {
        state.set(instruction.op0_register(), result);
    }
    // `mov rbp, rsp` and `lea rbp, [rsp + N]` begin a frame.
    if instruction.op0_kind() == OpKind::Register && instruction.op0_register() == Register::RBP {
        state.frame = match mnemonic {
            Mnemonic::Mov if instruction.op1_register() == Register::RSP => height,
            Mnemonic::Lea
                if instruction.memory_base() == Register::RSP
                    && instruction.memory_index() == Register::None =>
            {
                moved(height, Some(instruction.memory_displacement64()), -1)
            }
            _ => None,
        };
    }
    writes
}

fn is_write(access: OpAccess) -> bool {
    matches!(
        access,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
    )
}

/// A height after so many bytes more, or fewer.
fn moved(height: Option<i64>, bytes: Option<u64>, sign: i64) -> Option<i64> {
    height?.checked_add(bytes?.cast_signed().checked_mul(sign)?)
}

fn immediate(instruction: &Instruction, operand: u32) -> Option<u64> {
    instruction.try_immediate(operand).ok()
}

/// Code as it is needed, since one function can be followed into another part of the file.
struct Code<'image, 'data> {
    image: &'image Image<'data>,
    address: u64,
    bytes: &'data [u8],
}

impl<'image, 'data> Code<'image, 'data> {
    fn new(image: &'image Image<'data>) -> Self {
        Self {
            image,
            address: 0,
            bytes: &[],
        }
    }

    /// The next address that holds something else than what fills gaps between functions.
    fn behind_padding(&mut self, mut address: u64) -> u64 {
        const WIDEST_GAP: usize = 16;
        for _ in 0..WIDEST_GAP {
            match self.instruction(address) {
                Some(filler) if matches!(filler.mnemonic(), Mnemonic::Nop | Mnemonic::Int3) => {
                    address = filler.next_ip();
                }
                _ => break,
            }
        }
        address
    }

    fn instruction(&mut self, address: u64) -> Option<Instruction> {
        let held = address
            .checked_sub(self.address)
            .and_then(|into| self.bytes.get(usize::try_from(into).ok()?..))
            .unwrap_or_default();
        let code = if held.len() >= LONGEST {
            held
        } else {
            self.image.code_offset(address)?;
            self.address = address;
            self.bytes = self.image.bytes_at(address, FETCH);
            self.bytes
        };
        let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
        let instruction = decoder.decode();
        (!instruction.is_invalid()).then_some(instruction)
    }
}
