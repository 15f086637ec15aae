//! Registers of the traced program, for calling conventions that are not C's.

use aya_ebpf::EbpfContext;

/// What a Rust method that returns a large value through a pointer was called with.
#[derive(Clone, Copy)]
pub(crate) struct RustCall {
    /// Where the result will be.
    pub(crate) result: u64,
    /// `self`
    pub(crate) receiver: u64,
    /// First argument, by reference.
    pub(crate) argument: u64,
    /// Second argument.
    pub(crate) number: u64,
}

/// The first three arguments of a Go function (`ABIInternal`), and the goroutine that runs it.
#[derive(Clone, Copy)]
pub(crate) struct GoCall {
    /// First integer argument; first integer result at return.
    pub(crate) first: u64,
    pub(crate) second: u64,
    pub(crate) third: u64,
    /// `g`
    pub(crate) goroutine: u64,
}

/// Registers that a caller may keep values in over a call.
pub(crate) const KEPT: usize = 6;

#[cfg(bpf_target_arch = "x86_64")]
mod architecture {
    use aya_ebpf::EbpfContext;
    use aya_ebpf::bindings::pt_regs;
    use aya_ebpf::helpers::bpf_probe_read_user;

    use super::{GoCall, KEPT, RustCall};

    #[inline(always)]
    fn registers<C: EbpfContext>(context: &C) -> *const pt_regs {
        context.as_ptr().cast::<pt_regs>().cast_const()
    }

    /// System V: the hidden pointer to the result counts as first argument.
    #[inline(always)]
    pub(crate) fn rust_call<C: EbpfContext>(context: &C) -> RustCall {
        // SAFETY: the context of a uprobe is a valid `pt_regs`.
        let registers = unsafe { &*registers(context) };
        RustCall {
            result: registers.rdi,
            receiver: registers.rsi,
            argument: registers.rdx,
            number: registers.rcx,
        }
    }

    /// `src/cmd/compile/abi-internal.md` of Go: integers in AX, BX, CX, …; `g` in R14.
    #[inline(always)]
    pub(crate) fn go_call<C: EbpfContext>(context: &C) -> GoCall {
        // SAFETY: as above.
        let registers = unsafe { &*registers(context) };
        GoCall {
            first: registers.rax,
            second: registers.rbx,
            third: registers.rcx,
            goroutine: registers.r14,
        }
    }

    /// A Go function begins by comparing its stack pointer with a limit in `g`; below it, the runtime grows the stack or lets
    /// another goroutine run, and then the function begins again, from its first instruction. The comparison is one of
    ///
    /// ```text
    /// 49 3b 66 10               cmp rsp, [r14+16]
    /// 4c 8d 64 24 DISPLACEMENT  lea r12, [rsp+DISPLACEMENT]; cmp r12, [r14+16]    also with a displacement of 32 bits
    /// ```
    ///
    /// where the probe has taken the place of the first byte. `src/cmd/internal/obj/x86/obj6.go`, `stacksplit`
    #[inline(always)]
    pub(crate) fn go_begins_again<C: EbpfContext>(context: &C) -> bool {
        /// `stackguard0` in `g`, `src/runtime/runtime2.go`
        const STACK_GUARD: u64 = 16;
        // SAFETY: as above.
        let registers = unsafe { &*registers(context) };
        // SAFETY: the helper checks the address.
        let Ok(code) = (unsafe { bpf_probe_read_user(registers.rip as *const u64) }) else {
            return false;
        };
        let code = code >> 8;
        let frame = if code & 0xff_ffff == 0x10_663b {
            0
        } else if code & 0xff_ffff == 0x24_648d {
            (code >> 24) as i8 as u64
        } else if code & 0xff_ffff == 0x24_a48d {
            (code >> 24) as i32 as u64
        } else {
            // The probe stands behind the comparison, or there is none.
            return false;
        };
        // SAFETY: the helper checks the address.
        match unsafe { bpf_probe_read_user((registers.r14 + STACK_GUARD) as *const u64) } {
            Ok(limit) => registers.rsp.wrapping_add(frame) <= limit,
            Err(_) => false,
        }
    }

    #[inline(always)]
    pub(crate) fn kept<C: EbpfContext>(context: &C) -> [u64; KEPT] {
        // SAFETY: as above.
        let registers = unsafe { &*registers(context) };
        [
            registers.rbx,
            registers.rbp,
            registers.r12,
            registers.r13,
            registers.r14,
            registers.r15,
        ]
    }

    #[inline(always)]
    pub(crate) fn stack_pointer<C: EbpfContext>(context: &C) -> u64 {
        // SAFETY: as above.
        unsafe { (*registers(context)).rsp }
    }

    #[inline(always)]
    pub(crate) fn instruction_pointer<C: EbpfContext>(context: &C) -> u64 {
        // SAFETY: as above.
        unsafe { (*registers(context)).rip }
    }
}

#[cfg(bpf_target_arch = "aarch64")]
mod architecture {
    use aya_ebpf::EbpfContext;
    use aya_ebpf::bindings::user_pt_regs;

    use super::{GoCall, KEPT, RustCall};

    #[inline(always)]
    fn registers<C: EbpfContext>(context: &C) -> *const user_pt_regs {
        context.as_ptr().cast::<user_pt_regs>().cast_const()
    }

    /// AAPCS64: the pointer to the result has a register of its own, x8.
    #[inline(always)]
    pub(crate) fn rust_call<C: EbpfContext>(context: &C) -> RustCall {
        // SAFETY: the context of a uprobe is a valid `user_pt_regs`.
        let registers = unsafe { &*registers(context) };
        RustCall {
            result: registers.regs[8],
            receiver: registers.regs[0],
            argument: registers.regs[1],
            number: registers.regs[2],
        }
    }

    /// `src/cmd/compile/abi-internal.md` of Go: integers in R0, R1, R2, …; `g` in R28.
    #[inline(always)]
    pub(crate) fn go_call<C: EbpfContext>(context: &C) -> GoCall {
        // SAFETY: as above.
        let registers = unsafe { &*registers(context) };
        GoCall {
            first: registers.regs[0],
            second: registers.regs[1],
            third: registers.regs[2],
            goroutine: registers.regs[28],
        }
    }

    /// Not known for this processor: the resolvers find Go on x86-64 only.
    #[inline(always)]
    pub(crate) fn go_begins_again<C: EbpfContext>(_: &C) -> bool {
        false
    }

    #[inline(always)]
    pub(crate) fn kept<C: EbpfContext>(context: &C) -> [u64; KEPT] {
        // SAFETY: as above.
        let registers = unsafe { &*registers(context) };
        [
            registers.regs[19],
            registers.regs[20],
            registers.regs[21],
            registers.regs[22],
            registers.regs[23],
            registers.regs[24],
        ]
    }

    #[inline(always)]
    pub(crate) fn stack_pointer<C: EbpfContext>(context: &C) -> u64 {
        // SAFETY: as above.
        unsafe { (*registers(context)).sp }
    }

    #[inline(always)]
    pub(crate) fn instruction_pointer<C: EbpfContext>(context: &C) -> u64 {
        // SAFETY: as above.
        unsafe { (*registers(context)).pc }
    }
}

/// What a Rust method was called with, at its entry.
#[inline(always)]
pub(crate) fn rust_call<C: EbpfContext>(context: &C) -> RustCall {
    architecture::rust_call(context)
}

/// What a Go function was called with at its entry, or returns at a `RET`.
#[inline(always)]
pub(crate) fn go_call<C: EbpfContext>(context: &C) -> GoCall {
    architecture::go_call(context)
}

/// Whether the Go function that is entered will be entered again before it does anything.
#[inline(always)]
pub(crate) fn go_begins_again<C: EbpfContext>(context: &C) -> bool {
    architecture::go_begins_again(context)
}

/// The registers that outlive a call, as the caller left them.
#[inline(always)]
pub(crate) fn kept<C: EbpfContext>(context: &C) -> [u64; KEPT] {
    architecture::kept(context)
}

/// Top of the stack.
#[inline(always)]
pub(crate) fn stack_pointer<C: EbpfContext>(context: &C) -> u64 {
    architecture::stack_pointer(context)
}

/// The probed instruction.
#[inline(always)]
pub(crate) fn instruction_pointer<C: EbpfContext>(context: &C) -> u64 {
    architecture::instruction_pointer(context)
}
