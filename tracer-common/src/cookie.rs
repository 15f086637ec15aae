//! The attach cookie: tells the one pair of programs for reads and writes which shape of function it is attached to.

/// How a function tells how many bytes it moved, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallShape {
    /// Whether the function sends.
    pub write: bool,
    /// The argument (counted from 0) that is a `size_t *` for the count; `None` where the `int` result is the count.
    pub count_argument: Option<u8>,
    /// Whether a probe tells when a connection object is made. Where none does, beginnings are told from what is written.
    pub beginnings_told: bool,
}

/// How rustls passes records to its ciphers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RustlsShape {
    /// 0.23: one or several slices out, a slice of the input back.
    Borrowed,
    /// 0.21 and 0.22: one slice out, an owned vector back.
    Owned,
}

const WRITE: u64 = 1 << 0;
const POINTER: u64 = 1 << 1;
const BEGINNINGS_TOLD: u64 = 1 << 2;
const ARGUMENT_SHIFT: u32 = 8;

impl CallShape {
    /// The cookie of this shape.
    pub const fn encode(self) -> u64 {
        let told = if self.beginnings_told { BEGINNINGS_TOLD } else { 0 };
        let direction = told | if self.write { WRITE } else { 0 };
        match self.count_argument {
            Some(argument) => direction | POINTER | ((argument as u64) << ARGUMENT_SHIFT),
            None => direction,
        }
    }

    /// The shape of a cookie; the bits that no shape uses are not looked at.
    pub const fn decode(cookie: u64) -> Self {
        let [_, argument, ..] = cookie.to_le_bytes();
        Self {
            write: cookie & WRITE != 0,
            count_argument: if cookie & POINTER == 0 {
                None
            } else {
                Some(argument)
            },
            beginnings_told: cookie & BEGINNINGS_TOLD != 0,
        }
    }
}

impl RustlsShape {
    /// The cookie of this shape.
    pub const fn encode(self) -> u64 {
        match self {
            RustlsShape::Borrowed => 0,
            RustlsShape::Owned => 1,
        }
    }

    /// The shape of a cookie.
    pub const fn decode(cookie: u64) -> Self {
        if cookie == 0 {
            RustlsShape::Borrowed
        } else {
            RustlsShape::Owned
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_survives_its_cookie() {
        for write in [false, true] {
            for count_argument in [None, Some(0), Some(3), Some(4), Some(255)] {
                for beginnings_told in [false, true] {
                    let shape = CallShape {
                        write,
                        count_argument,
                        beginnings_told,
                    };
                    assert_eq!(CallShape::decode(shape.encode()), shape);
                }
            }
        }
        for shape in [RustlsShape::Borrowed, RustlsShape::Owned] {
            assert_eq!(RustlsShape::decode(shape.encode()), shape);
        }
    }
}
