#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
//! geophone in the kernel: sees plaintext pass through TLS libraries, decides whether anybody wants it, and hands it over.
//!
//! | program | attached to | does |
//! |---|---|---|
//! | `call_entry`, `call_return` | every function that reads or writes plaintext | copies what the call moved, at its return |
//! | `call_return_large` | nothing: `call_return` goes on in it | calls that take more than one record |
//! | `connection_new` | return of `SSL_new` | begins a generation |
//! | `connection_free` | `SSL_free` | ends it |
//! | `connection_control` | `SSL_ctrl` | takes the server name |
//! | `process_fork`, `process_exec`, `process_exit` | the scheduler's raw tracepoints | follows children, tells ends |
//!
//! Nothing here parses HTTP. A program never fails: what cannot be done is counted in `LOSSES` or, where it should be
//! impossible, logged.

mod call;
mod connection;
mod emit;
mod hints;
mod maps;
mod process;

use aya_ebpf::macros::{raw_tracepoint, uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RawTracePointContext, RetProbeContext};

/// Entry of a function that reads or writes plaintext; the attach cookie tells its shape.
#[uprobe]
fn call_entry(context: ProbeContext) -> u32 {
    call::enter(&context);
    0
}

/// Return of the same function.
#[uretprobe]
fn call_return(context: RetProbeContext) -> u32 {
    call::leave(&context);
    0
}

/// Goes on where `call_return` left a call of many records; called by it, attached to nothing.
#[uretprobe]
fn call_return_large(context: RetProbeContext) -> u32 {
    call::leave_large(&context);
    0
}

/// Return of `SSL *SSL_new(SSL_CTX *)`.
#[uretprobe]
fn connection_new(context: RetProbeContext) -> u32 {
    connection::made(context.ret());
    0
}

/// Entry of `void SSL_free(SSL *)`.
#[uprobe]
fn connection_free(context: ProbeContext) -> u32 {
    if let Some(address) = context.arg(0) {
        connection::freed(address);
    }
    0
}

/// Entry of `long SSL_ctrl(SSL *, int command, long, void *)`.
#[uprobe]
fn connection_control(context: ProbeContext) -> u32 {
    if let (Some(address), Some(command), Some(argument)) = (context.arg(0), context.arg(1), context.arg(3)) {
        connection::control(address, command, argument);
    }
    0
}

/// `TP_PROTO(struct task_struct *parent, struct task_struct *child)`
#[raw_tracepoint(tracepoint = "sched_process_fork")]
fn process_fork(context: RawTracePointContext) -> i32 {
    process::forked(context.arg(0), context.arg(1));
    0
}

/// `TP_PROTO(struct task_struct *task, pid_t old_pid, struct linux_binprm *)`
#[raw_tracepoint(tracepoint = "sched_process_exec")]
fn process_exec(context: RawTracePointContext) -> i32 {
    process::executed(context.arg(0));
    0
}

/// `TP_PROTO(struct task_struct *task)`; later kernels pass more, which is not read.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
fn process_exit(context: RawTracePointContext) -> i32 {
    process::exited(context.arg(0));
    0
}

/// The programs do not panic; the compiler wants to know what would happen.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Helpers such as `bpf_ringbuf_reserve` and `bpf_probe_read_user` have no licence condition, `bpf_probe_read_kernel`
/// wants GPL compatibility.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
