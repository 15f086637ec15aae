//! Cheap guesses that a connection talks to Bedrock, so that a large prompt written right after its head is whole
//! before user space has had a chance to decide. User space has the last word either way.

use aya_ebpf::helpers::bpf_probe_read_user;
use tracer_common::limits::SERVER_NAME;

/// How the paths of the Bedrock runtimes begin (`bedrock-runtime`, `bedrock-agent-runtime`, `bedrock-agentcore`), cut to
/// the eight bytes of a register. Such a path on a foreign host costs a few records until user space ignores it.
const PATHS: [Beginning; 9] = [
    Beginning::new(b"/model/"),
    Beginning::new(b"/agents/"),
    Beginning::new(b"/knowled"),
    Beginning::new(b"/async-i"),
    Beginning::new(b"/guardra"),
    Beginning::new(b"/runtime"),
    Beginning::new(b"/flows/"),
    Beginning::new(b"/retriev"),
    Beginning::new(b"/rerank"),
];

const POST: Beginning = Beginning::new(b"POST ");
const GET: Beginning = Beginning::new(b"GET ");
const PUT: Beginning = Beginning::new(b"PUT ");

/// RFC 9113 section 3.4.
const PREFACE: Beginning = Beginning::new(b"PRI * HT");

/// RFC 9110 section 9.3, RFC 5789.
const METHODS: [Beginning; 8] = [
    POST,
    GET,
    PUT,
    Beginning::new(b"HEAD "),
    Beginning::new(b"DELETE "),
    Beginning::new(b"OPTIONS "),
    Beginning::new(b"PATCH "),
    Beginning::new(b"CONNECT "),
];

/// A SETTINGS frame of no acknowledgement, RFC 9113 section 6.5: kind 4, no flags, stream 0; of any length below 64 KiB.
const SETTINGS: u64 = 4 << 24;
const SETTINGS_MASK: u64 = !(0xffff << 8);

/// Fewer bytes are not taken for the beginning of a connection.
pub(crate) const BEGINNING: u64 = 8;

/// Shortest write that is looked at: method, space, and the beginning of a path.
const SHORTEST: u64 = 16;

/// Up to eight bytes of text, to be compared in one go. Both targets are little-endian.
#[derive(Clone, Copy)]
struct Beginning {
    text: u64,
    mask: u64,
}

impl Beginning {
    const fn new(text: &[u8]) -> Self {
        let mut this = Self { text: 0, mask: 0 };
        let mut index = 0;
        while index < text.len() {
            this.text |= (text[index] as u64) << (8 * index);
            this.mask |= 0xff << (8 * index);
            index += 1;
        }
        this
    }

    #[inline(always)]
    fn of(self, word: u64) -> bool {
        word & self.mask == self.text
    }
}

/// Whether bytes begin like a whole connection of HTTP: a request, the preface of HTTP/2, or the first frame of its server.
/// `write`: they are sent. A response may stand there as well, but only where a request was before.
#[inline(always)]
pub(crate) fn begins(buffer: u64, write: bool) -> bool {
    let Some(word) = word(buffer) else {
        return false;
    };
    if write {
        is_request(word) || PREFACE.of(word)
    } else {
        is_request(word) || PREFACE.of(word) || word & SETTINGS_MASK == SETTINGS
    }
}

#[inline(always)]
fn is_request(word: u64) -> bool {
    let mut found = false;
    let mut index = 0;
    while index < METHODS.len() {
        found |= METHODS[index].of(word);
        index += 1;
    }
    found
}

/// Whether a write begins like an HTTP/1 request to a Bedrock operation.
#[inline(always)]
pub(crate) fn requests_bedrock(buffer: u64, count: u64) -> bool {
    if count < SHORTEST {
        return false;
    }
    let Some(method) = word(buffer) else {
        return false;
    };
    let path = if POST.of(method) {
        5
    } else if GET.of(method) || PUT.of(method) {
        4
    } else {
        return false;
    };
    let Some(path) = word(buffer + path) else {
        return false;
    };
    let mut found = false;
    let mut index = 0;
    while index < PATHS.len() {
        found |= PATHS[index].of(path);
        index += 1;
    }
    found
}

#[inline(always)]
fn word(address: u64) -> Option<u64> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_user(address as *const u64) }.ok()
}

/// Whether a server name has `bedrock` in it.
#[inline(always)]
pub(crate) fn names_bedrock(name: &[u8; SERVER_NAME], length: usize) -> bool {
    /// Seven letters in a register.
    const MASK: u64 = (1 << 56) - 1;
    const BEDROCK: u64 = {
        let mut letters = 0;
        let mut index = 0;
        while index < 7 {
            letters = letters << 8 | b"bedrock"[index] as u64;
            index += 1;
        }
        letters
    };
    let mut letters = 0;
    let mut found = false;
    let mut index = 0;
    while index < SERVER_NAME {
        if index >= length {
            break;
        }
        // Lower case, as far as letters go.
        letters = (letters << 8 | u64::from(name[index] | 0x20)) & MASK;
        found |= letters == BEDROCK;
        index += 1;
    }
    found
}
