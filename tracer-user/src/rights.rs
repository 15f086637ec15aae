//! Rights of threads: each keeps what its work needs, and gives up the rest for good.
//!
//! Capabilities belong to a thread; a new one has those of the thread that starts it. So every thread of geophone is
//! started by [`spawn`], with the rights of its work, and the main thread gives up its own once all is open and in place.
//! What a thread has given up neither it nor anything that it starts can get back.

use std::fmt;
use std::io;
use std::thread::{self, JoinHandle, Scope, ScopedJoinHandle};

use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_capabilities_secure_bits, set_no_new_privs,
};

/// Capabilities that some work needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights(CapabilitySet);

impl Rights {
    /// To write to what is open, and to send.
    pub const NONE: Self = Self(CapabilitySet::empty());
    /// To read files that are closed to others.
    pub const READING: Self = Self(CapabilitySet::DAC_READ_SEARCH);
    /// To look into other processes and the files that they use, replaced ones too. Since Linux 6.6 it is also all that it
    /// takes to put loaded programs on them.
    pub const LOOKING: Self = Self(
        CapabilitySet::SYS_PTRACE
            .union(CapabilitySet::DAC_READ_SEARCH)
            .union(CapabilitySet::CHECKPOINT_RESTORE),
    );
    /// To put probes on files where each is a perf event: before Linux 6.6.
    pub const PERF_EVENTS: Self = Self(
        CapabilitySet::BPF
            .union(CapabilitySet::PERFMON)
            .union(CapabilitySet::SYS_ADMIN),
    );
    /// To send signals to a command that may run as another user.
    pub const SIGNALLING: Self = Self(CapabilitySet::KILL);

    /// These and others.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0.union(other.0))
    }

    /// Leaves the calling thread with those of these rights that it has, and no way to others: not by the programs that it
    /// might run, their owners or their files.
    pub fn keep(self) -> io::Result<Kept> {
        set_no_new_privs(true)?;
        unless_not_permitted(self.cut_bounding_set())?;
        unless_not_permitted(set_capabilities_secure_bits(locked_bits()))?;
        clear_ambient_capability_set()?;
        let before = capabilities(None)?;
        set_capabilities(
            None,
            CapabilitySets {
                effective: before.effective.intersection(self.0),
                permitted: before.permitted.intersection(self.0),
                inheritable: CapabilitySet::empty(),
            },
        )?;
        Ok(Kept {
            kept: Self(before.permitted.intersection(self.0)),
            given_up: Self(before.permitted.difference(self.0)),
        })
    }

    fn cut_bounding_set(self) -> rustix::io::Result<()> {
        for number in 0..u64::BITS {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            match capability_is_in_bounding_set(capability) {
                Ok(true) if !self.0.contains(capability) => remove_capability_from_bounding_set(capability)?,
                Ok(_) => {}
                // The kernel knows no more of them.
                Err(_) => break,
            }
        }
        Ok(())
    }
}

/// What became of the rights of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Those that it still has.
    pub kept: Rights,
    /// Those that it had.
    pub given_up: Rights,
}

/// As `capabilities(7)` spells them.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, _) in self.0.iter_names() {
            write!(f, "{separator}CAP_{name}")?;
            separator = " ";
        }
        if self.0.is_empty() {
            f.write_str("none")
        } else {
            Ok(())
        }
    }
}

/// Being root, or becoming it, makes no difference any more; see `capabilities(7)`.
fn locked_bits() -> CapabilitiesSecureBits {
    use CapabilitiesSecureBits as Bits;
    Bits::NO_ROOT
        | Bits::NO_ROOT_LOCKED
        | Bits::NO_SETUID_FIXUP
        | Bits::NO_SETUID_FIXUP_LOCKED
        | Bits::KEEP_CAPS_LOCKED
        | Bits::NO_CAP_AMBIENT_RAISE
        | Bits::NO_CAP_AMBIENT_RAISE_LOCKED
}

/// Only who has `CAP_SETPCAP` may change these. Nobody else gains by them: `no_new_privs` is in force.
fn unless_not_permitted(result: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match result {
        Err(rustix::io::Errno::PERM) => Ok(()),
        result => result,
    }
}

/// Starts a thread that has these rights and no others.
pub fn spawn<T: Send + 'static>(
    name: &str,
    rights: Rights,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || with(rights, work))
}

/// The same within a scope, for work of a moment that needs little of a stack.
pub fn spawn_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    rights: Rights,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    const STACK: usize = 64 * 1024;
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    thread.spawn_scoped(scope, move || with(rights, work))
}

fn with<T>(rights: Rights, work: impl FnOnce() -> T) -> T {
    if let Err(error) = rights.keep() {
        tracing::warn!(%error, "a thread has rights that it does not need");
    }
    work()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The sets of the calling thread, in the order of `proc_pid_status(5)`: inheritable, permitted, effective, bounding,
    /// ambient.
    fn sets() -> Vec<u64> {
        let status = fs::read_to_string("/proc/thread-self/status").expect("a thread of ours");
        let sets = status.lines().filter(|line| line.starts_with("Cap"));
        let numbers = sets.filter_map(|line| line.split_whitespace().nth(1));
        numbers
            .map(|mask| u64::from_str_radix(mask, 16).expect("a mask"))
            .collect()
    }

    #[test]
    fn a_thread_has_what_its_work_needs_and_its_own_threads_no_more() {
        let before = sets();
        let wanted = Rights::LOOKING.0.bits();
        let own = spawn("own", Rights::LOOKING, || {
            let own = sets();
            let more = Rights::LOOKING.and(Rights::PERF_EVENTS);
            let of_a_child = spawn("child", more, sets).expect("a thread");
            (own, of_a_child.join().expect("it ends"))
        });
        let (own, of_a_child) = own.expect("a thread").join().expect("it ends");
        for sets in [own, of_a_child] {
            assert_eq!(sets[0], 0, "inheritable");
            assert_eq!(sets[1], before[1] & wanted, "permitted");
            assert_eq!(sets[2], before[2] & wanted, "effective");
            assert_eq!(sets[4], 0, "ambient");
        }
        assert_eq!(sets(), before, "the thread that started them");
    }

    #[test]
    fn rights_have_the_names_of_the_manual() {
        assert_eq!(Rights::NONE.to_string(), "none");
        assert_eq!(
            Rights::READING.and(Rights::SIGNALLING).to_string(),
            "CAP_DAC_READ_SEARCH CAP_KILL"
        );
    }
}
