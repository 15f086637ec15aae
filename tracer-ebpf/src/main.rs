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
//! | `rustls_encrypt`, `rustls_decrypt`, `rustls_decrypted` | rustls' ciphers | take the plaintext of records |
//! | `rustls_pair`, `rustls_settle`, `rustls_read`, `rustls_written`, `rustls_pieces` | nothing: the three go on in them | find which two ciphers belong together; copy |
//! | `go_write`, `go_read`, `go_read_returns` | Go's `crypto/tls`, each `RET` of a read | copy what passed, by goroutine |
//! | `go_handshake`, `go_close` | the same | begin and end a generation |
//! | `process_fork`, `process_exec`, `process_exit` | the scheduler's raw tracepoints | follows children, tells ends |
//!
//! Nothing here parses HTTP. A program never fails: what cannot be done is counted in `LOSSES` or, where it should be
//! impossible, logged.

mod call;
mod connection;
mod emit;
mod go;
mod hints;
mod identity;
mod maps;
mod partner;
mod process;
mod registers;
mod rustls;
mod share;
mod slices;

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

/// Entry of rustls' `MessageEncrypter::encrypt`; the attach cookie tells its shape.
#[uprobe]
fn rustls_encrypt(context: ProbeContext) -> u32 {
    rustls::encrypt(&context);
    0
}

/// Entry of rustls' `MessageDecrypter::decrypt`.
#[uprobe]
fn rustls_decrypt(context: ProbeContext) -> u32 {
    rustls::decrypt(&context);
    0
}

/// Return of the same.
#[uretprobe]
fn rustls_decrypted(context: RetProbeContext) -> u32 {
    rustls::decrypted(&context);
    0
}

/// Finds the cipher state that a record's belongs to; `rustls_encrypt` and `rustls_decrypted` go on in it.
#[uprobe]
fn rustls_pair(context: ProbeContext) -> u32 {
    rustls::pair(&context);
    0
}

/// Finds the connection of a record; `rustls_pair` goes on in it.
#[uprobe]
fn rustls_settle(context: ProbeContext) -> u32 {
    rustls::settle_record(&context);
    0
}

/// Hands a decrypted record over whose connection is known; the others go on in it.
#[uprobe]
fn rustls_read(_: ProbeContext) -> u32 {
    rustls::hand_over(false);
    0
}

/// Hands a record over that is encrypted in one piece; the others go on in it.
#[uprobe]
fn rustls_written(_: ProbeContext) -> u32 {
    rustls::hand_over(true);
    0
}

/// Hands a record over that is encrypted from several pieces; the others go on in it.
#[uprobe]
fn rustls_pieces(context: ProbeContext) -> u32 {
    rustls::hand_over_pieces(&context);
    0
}

/// Entry of Go's `crypto/tls.(*Conn).Write`; has the cookie of a write.
#[uprobe]
fn go_write(context: ProbeContext) -> u32 {
    go::write(&context);
    0
}

/// Entry of Go's `crypto/tls.(*Conn).Read`.
#[uprobe]
fn go_read(context: ProbeContext) -> u32 {
    go::read(&context);
    0
}

/// A `RET` of the same; has the cookie of a read.
#[uprobe]
fn go_read_returns(context: ProbeContext) -> u32 {
    go::read_returns(&context);
    0
}

/// Entry of Go's `crypto/tls.(*Conn).clientHandshake`.
#[uprobe]
fn go_handshake(context: ProbeContext) -> u32 {
    go::handshake(&context);
    0
}

/// Entry of Go's `crypto/tls.(*Conn).Close`.
#[uprobe]
fn go_close(context: ProbeContext) -> u32 {
    connection::freed(registers::go_call(&context).first);
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
