//! OpenSSL by the internal functions that all public ones call.
//!
//! `ssl_read_internal(s, buf, num, size_t *n)` and `ssl_write_internal(s, buf, num, [flags,] size_t *n)` in OpenSSL's
//! `ssl/ssl_lib.c` are not exported, but every build since 1.1.1 has them. Probing them takes half as many probes as the
//! exports, also covers `BIO_f_ssl`, and is ten times cheaper where the internal function begins with a `push` and the
//! exported one does not. Two proofs are asked for, else the exports are used:
//!
//! 1. *Flow.* On every path, `SSL_read` and `SSL_read_ex` (`SSL_write` and `SSL_write_ex`) make exactly one call that hands
//!    on their connection, buffer and length together with a place for the count, it is the same function for both, and the
//!    place for the count is the same argument.
//! 2. *Name.* That function reports its errors under its own name (3.0 and later) or its own error code (1.1.1).

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::flow::{self, Call, Value};
use super::image::{Function, Image, Machine};
use super::openssl::{Api, library, point};
use super::{AttachPoint, CountReturn, Library, Resolver, Role, Sibling, Stack, Unresolved, entry};

/// Probes on the internal functions.
#[derive(Debug)]
pub(super) struct Internal;

/// An internal function with its proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Proven {
    pub(super) address: u64,
    pub(super) count_argument: u8,
}

/// How an internal function names itself when it reports an error.
pub(super) struct Signature {
    pub(super) name: &'static str,
    /// `SSL_F_SSL_READ_INTERNAL`, `SSL_F_SSL_WRITE_INTERNAL` of OpenSSL 1.1.1's `sslerr.h`.
    pub(super) code: u64,
}

pub(super) const READ: Signature = Signature {
    name: "ssl_read_internal",
    code: 523,
};
pub(super) const WRITE: Signature = Signature {
    name: "ssl_write_internal",
    code: 524,
};

impl Resolver for Internal {
    fn name(&self) -> &'static str {
        "proven internal functions"
    }

    fn stack(&self) -> Stack {
        Stack::OpenSsl
    }

    fn resolve(&self, image: &Image<'_>, sibling: Sibling<'_>) -> Vec<Result<Library, Unresolved>> {
        if image.machine != Machine::X86_64 {
            return Vec::new();
        }
        let Some((api, read, write)) = Api::find(image).and_then(|api| {
            let (read, write) = prove(image, &api)?;
            Some((api, read, write))
        }) else {
            return Vec::new();
        };
        let points = internals(image, &api, read, write);
        vec![points.map(|points| library(image, sibling, self.name(), points))]
    }
}

fn internals(
    image: &Image<'_>,
    api: &Api,
    read: Proven,
    write: Proven,
) -> Result<Vec<AttachPoint>, Unresolved> {
    let mut points = api.lifecycle(image)?;
    for (proven, signature, role) in [
        (read, READ, Role::Read as fn(CountReturn) -> Role),
        (write, WRITE, Role::Write),
    ] {
        let count = CountReturn::OutPointer {
            argument: proven.count_argument,
        };
        let function = Function {
            address: proven.address,
            size: 0,
        };
        points.push(point(image, role(count), function, signature.name)?);
    }
    Ok(points)
}

fn prove(image: &Image<'_>, api: &Api) -> Option<(Proven, Proven)> {
    let read = one(plain(image, api.read)?, extended(image, api.read_ex?, None)?)?;
    let write = one(
        plain(image, api.write)?,
        extended(image, api.write_ex?, api.write_ex2)?,
    )?;
    let named = names_itself(image, read, &READ) && names_itself(image, write, &WRITE);
    let is_emulated = |address| entry::entry(image.machine, image.bytes_at(address, entry::LOOK)).emulated;
    let exports_are_cheaper = is_emulated(api.read.address)
        && is_emulated(api.write.address)
        && !(is_emulated(read.address) && is_emulated(write.address));
    (named && read.address != write.address && !exports_are_cheaper).then_some((read, write))
}

/// Both wrappers must agree.
fn one(plain: Proven, extended: Proven) -> Option<Proven> {
    (plain == extended).then_some(plain)
}

/// `SSL_read(s, buf, int num)`: hands on a place in its own frame for the count.
pub(super) fn plain(image: &Image<'_>, function: Function) -> Option<Proven> {
    the_only(&flow::calls(image, function, 3)?, Value::Frame)
}

/// `SSL_read_ex(s, buf, size_t num, size_t *n)`: hands on its own fourth argument, maybe by way of
/// `SSL_write_ex2(s, buf, num, flags, size_t *n)`.
fn extended(image: &Image<'_>, function: Function, through: Option<Function>) -> Option<Proven> {
    let proven = the_only(&flow::calls(image, function, 4)?, Value::Argument(3))?;
    match through {
        Some(through) if through.address == proven.address && proven.count_argument == 4 => {
            hands_on_all_five(&flow::calls(image, through, 5)?)
        }
        _ => Some(proven),
    }
}

/// The one call that passes on connection, buffer and length, and `count` as the place for the number of bytes: fourth
/// argument, or fifth behind flags of zero.
fn the_only(calls: &[Call], count: Value) -> Option<Proven> {
    single(calls.iter().filter_map(|call| {
        let [connection, buffer, length, fourth, fifth] = call.arguments;
        let passes_on =
            (connection, buffer, length) == (Value::Argument(0), Value::Argument(1), Value::Argument(2));
        let count_argument = if fourth == count {
            3
        } else if fourth == Value::Zero && fifth == count {
            4
        } else {
            return None;
        };
        passes_on.then_some((call.target, count_argument))
    }))
}

fn hands_on_all_five(calls: &[Call]) -> Option<Proven> {
    let five = [0, 1, 2, 3, 4].map(Value::Argument);
    single(
        calls
            .iter()
            .filter(|call| call.arguments == five)
            .map(|call| (call.target, 4)),
    )
}

/// All candidates must be the same function, and none may be reached through a pointer.
fn single(candidates: impl Iterator<Item = (Option<u64>, u8)>) -> Option<Proven> {
    let mut found = None;
    for (target, count_argument) in candidates {
        let candidate = Proven {
            address: target?,
            count_argument,
        };
        if *found.get_or_insert(candidate) != candidate {
            return None;
        }
    }
    found
}

fn names_itself(image: &Image<'_>, proven: Proven, signature: &Signature) -> bool {
    flow::any_instruction(image, proven.address, |instruction| {
        loads_text(image, instruction, signature.name) || loads_code(instruction, signature.code)
    })
}

/// `lea rdx, [rip + name]` or `mov edx, offset name`.
fn loads_text(image: &Image<'_>, instruction: &Instruction, text: &str) -> bool {
    let address = match instruction.mnemonic() {
        Mnemonic::Lea if instruction.is_ip_rel_memory_operand() => instruction.ip_rel_memory_address(),
        Mnemonic::Mov if instruction.op1_kind() == OpKind::Immediate32 => instruction.immediate(1),
        _ => return false,
    };
    let wanted = text.as_bytes();
    image.bytes_at(address, wanted.len() as u64 + 1).split_last() == Some((&0, wanted))
}

/// `mov esi, code`: the second argument of `ERR_put_error`.
fn loads_code(instruction: &Instruction, code: u64) -> bool {
    instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register() == Register::ESI
        && instruction.op1_kind() == OpKind::Immediate32
        && instruction.immediate(1) == code
}
