//! Go's `crypto/tls` by the table of functions that its runtime needs, and `-s -w` therefore keeps.
//!
//! Three things are particular to Go. A return probe would change a return address on a stack that Go moves, so what a read
//! gave is taken at each `RET` of it. A function whose stack is too small begins again after that has grown, so a probe lies
//! behind that check and not at the start. And arguments are in registers from Go 1.17 on x86-64 only, which the check itself
//! proves: it finds the goroutine in `r14` (`src/cmd/compile/abi-internal.md`).

mod table;
mod version;

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register,
};

use self::table::{Function, Table};
use super::image::{Image, Machine};
use super::{AttachPoint, Library, Resolver, Role, Sibling, Stack, Unresolved};

/// Probes on the methods of `tls.Conn`.
#[derive(Debug)]
pub(super) struct FunctionTable;

const READ: &str = "crypto/tls.(*Conn).Read";
const WRITE: &str = "crypto/tls.(*Conn).Write";
const HANDSHAKE: &str = "crypto/tls.(*Conn).clientHandshake";
const CLOSE: &str = "crypto/tls.(*Conn).Close";

/// No function of `crypto/tls` comes near this.
const MAX_SIZE: u64 = 1 << 16;

impl Resolver for FunctionTable {
    fn name(&self) -> &'static str {
        "function table"
    }

    fn stack(&self) -> Stack {
        Stack::Go
    }

    fn resolve(&self, image: &Image<'_>, _: Sibling<'_>) -> Vec<Result<Library, Unresolved>> {
        if !table::is_go(image) {
            return Vec::new();
        }
        let version = version::version(image);
        match points(image, version.as_deref()) {
            Ok(points) if points.is_empty() => Vec::new(),
            Ok(points) => vec![Ok(Library {
                name: "Go crypto/tls",
                version,
                provider: None,
                resolver: self.name(),
                points,
            })],
            Err(reason) => {
                let library = match version {
                    Some(version) => format!("Go {version}"),
                    None => "Go".to_owned(),
                };
                vec![Err(Unresolved::Refused { library, reason })]
            }
        }
    }
}

/// Nothing when the linker left `crypto/tls` out, since nothing uses it.
fn points(image: &Image<'_>, version: Option<&str>) -> Result<Vec<AttachPoint>, String> {
    let Some(table) = Table::find(image)? else {
        return Ok(Vec::new());
    };
    let [read, write, handshake, close] = table.functions(image, [READ, WRITE, HANDSHAKE, CLOSE])?;
    if read.is_none() && write.is_none() {
        return Ok(Vec::new());
    }
    if image.machine != Machine::X86_64 {
        return Err("can be traced on x86-64 only".to_owned());
    }
    if version.is_some_and(|version| version.contains("noregabi")) {
        return Err("built to pass arguments on the stack".to_owned());
    }
    let (Some(read), Some(write)) = (read, write) else {
        return Err(format!("it has only one of {READ} and {WRITE}"));
    };
    let mut points = vec![
        begin(image, read, Role::GoRead, READ)?,
        begin(image, write, Role::GoWrite, WRITE)?,
    ];
    points.extend(returns(image, read, READ)?);
    for (function, role, symbol) in [
        (handshake, Role::GoHandshake, HANDSHAKE),
        (close, Role::GoClose, CLOSE),
    ] {
        if let Some(function) = function {
            points.push(begin(image, function, role, symbol)?);
        }
    }
    Ok(points)
}

/// Behind the check whether the stack is large enough: `cmp rsp, [r14 + 16]; jbe …`, where a large frame is subtracted first.
fn begin(image: &Image<'_>, function: Function, role: Role, symbol: &str) -> Result<AttachPoint, String> {
    const LONGEST: usize = 8;
    let mut info = InstructionInfoFactory::new();
    let mut is_compared = false;
    for instruction in instructions(image, function).take(LONGEST) {
        let instruction = instruction.ok_or_else(|| format!("the start of {symbol} cannot be decoded"))?;
        if instruction.flow_control() == FlowControl::ConditionalBranch {
            if is_compared {
                return point(image, role, instruction.next_ip(), symbol);
            }
            continue;
        }
        let overwrites = info.info(&instruction).used_registers().iter().any(|used| {
            let writes = matches!(
                used.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            writes && ARGUMENTS.contains(&used.register().full_register())
        });
        if overwrites || instruction.flow_control() != FlowControl::Next {
            break;
        }
        is_compared |=
            instruction.memory_base() == Register::R14 && instruction.memory_displacement64() == STACK_GUARD;
    }
    Err(format!(
        "{symbol} does not begin with the check of its stack, so its arguments may not be in registers"
    ))
}

/// The first three arguments, and the goroutine.
const ARGUMENTS: [Register; 4] = [Register::RAX, Register::RBX, Register::RCX, Register::R14];
/// `stackguard0` in `struct g`.
const STACK_GUARD: u64 = 16;

/// Every `RET`, through the whole function.
fn returns(image: &Image<'_>, function: Function, symbol: &str) -> Result<Vec<AttachPoint>, String> {
    let mut points = Vec::new();
    for instruction in instructions(image, function) {
        let instruction = instruction.ok_or_else(|| format!("{symbol} cannot be decoded to its end"))?;
        if instruction.flow_control() == FlowControl::Return {
            points.push(point(image, Role::GoReadReturn, instruction.ip(), symbol)?);
        }
    }
    if points.is_empty() {
        return Err(format!("{symbol} has no place where it returns"));
    }
    Ok(points)
}

fn point(image: &Image<'_>, role: Role, address: u64, symbol: &str) -> Result<AttachPoint, String> {
    let offset = image
        .code_offset(address)
        .ok_or_else(|| format!("{symbol} lies outside of the executable code"))?;
    Ok(AttachPoint {
        role,
        offset,
        symbol: symbol.to_owned(),
    })
}

/// The instructions of a function one by one, ending with `None` where there is none.
fn instructions(image: &Image<'_>, function: Function) -> impl Iterator<Item = Option<Instruction>> {
    let Function { start, end } = function;
    let size = end.saturating_sub(start);
    let code = if size <= MAX_SIZE {
        image.bytes_at(start, size)
    } else {
        &[]
    };
    let mut decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over || (decoder.ip() >= end && !code.is_empty()) {
            return None;
        }
        let instruction = decoder.can_decode().then(|| decoder.decode());
        let instruction = instruction.filter(|instruction| !instruction.is_invalid());
        is_over = instruction.is_none();
        Some(instruction)
    })
}

#[cfg(test)]
mod tests;
