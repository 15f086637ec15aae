//! OpenSSL and its relatives by symbol: `libssl.so`, bundled copies of it, and executables that carry it with their symbols.

use memchr::memmem;
use object::read::ReadCache;

use super::image::{Function, Image};
use super::{AttachPoint, CountReturn, Library, Resolver, Role, Sibling, Stack, Unresolved, entry};

/// Probes on the public functions. Works for every build that names them.
#[derive(Debug)]
pub(super) struct Exports;

/// The public functions that matter, as the symbol table places them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Api {
    pub(super) read: Function,
    pub(super) read_ex: Option<Function>,
    pub(super) write: Function,
    pub(super) write_ex: Option<Function>,
    pub(super) write_ex2: Option<Function>,
    pub(super) new: Function,
    pub(super) free: Function,
    pub(super) control: Option<Function>,
}

impl Api {
    /// Finds them, all of one symbol table.
    ///
    /// A file that has the data functions but creates no connections is a shim in front of the real library, which is
    /// traced by itself; probes on both would count every byte twice.
    pub(super) fn find(image: &Image<'_>) -> Option<Self> {
        let [read, read_ex, write, write_ex, write_ex2, new, free, control] = image.functions([
            "SSL_read",
            "SSL_read_ex",
            "SSL_write",
            "SSL_write_ex",
            "SSL_write_ex2",
            "SSL_new",
            "SSL_free",
            "SSL_ctrl",
        ]);
        match (read, write, new, free) {
            (Some(read), Some(write), Some(new), Some(free)) => Some(Self {
                read,
                read_ex,
                write,
                write_ex,
                write_ex2,
                new,
                free,
                control,
            }),
            _ => None,
        }
    }

    /// Points for what is probed in every case: creation, end and server name of a connection.
    pub(super) fn lifecycle(&self, image: &Image<'_>) -> Result<Vec<AttachPoint>, Unresolved> {
        let mut points = vec![
            point(image, Role::New, self.new, "SSL_new")?,
            point(image, Role::Free, self.free, "SSL_free")?,
        ];
        if let Some(control) = self.control {
            points.push(point(image, Role::Control, control, "SSL_ctrl")?);
        }
        Ok(points)
    }
}

impl Resolver for Exports {
    fn name(&self) -> &'static str {
        "symbols"
    }

    fn stack(&self) -> Stack {
        Stack::OpenSsl
    }

    fn resolve(&self, image: &Image<'_>, sibling: Sibling<'_>) -> Vec<Result<Library, Unresolved>> {
        let Some(api) = Api::find(image) else {
            return Vec::new();
        };
        let points = exports(image, &api);
        vec![points.map(|points| library(image, sibling, self.name(), points))]
    }
}

fn exports(image: &Image<'_>, api: &Api) -> Result<Vec<AttachPoint>, Unresolved> {
    const COUNT_ARGUMENT: u8 = 3;
    let by_result = CountReturn::ReturnValue;
    let by_pointer = CountReturn::OutPointer {
        argument: COUNT_ARGUMENT,
    };
    let mut points = api.lifecycle(image)?;
    points.push(point(image, Role::Read(by_result), api.read, "SSL_read")?);
    points.push(point(image, Role::Write(by_result), api.write, "SSL_write")?);
    if let Some(read_ex) = api.read_ex {
        points.push(point(image, Role::Read(by_pointer), read_ex, "SSL_read_ex")?);
    }
    if let Some(write_ex) = api.write_ex {
        points.push(point(image, Role::Write(by_pointer), write_ex, "SSL_write_ex")?);
    }
    // SSL_write_ex calls SSL_write_ex2 where that exists: one probe more would count the bytes twice.
    Ok(points)
}

/// A probe at the start of a function, where it is cheapest.
pub(super) fn point(
    image: &Image<'_>,
    role: Role,
    function: Function,
    symbol: &str,
) -> Result<AttachPoint, Unresolved> {
    let start = image
        .code_offset(function.address)
        .ok_or_else(|| Unresolved::Malformed(format!("{symbol} lies outside of the executable code")))?;
    let entry = entry::entry(image.machine, image.bytes_at(function.address, entry::LOOK));
    Ok(AttachPoint {
        role,
        offset: start.saturating_add(entry.skip),
        symbol: symbol.to_owned(),
    })
}

/// What the file says about itself.
pub(super) fn library(
    image: &Image<'_>,
    sibling: Sibling<'_>,
    resolver: &'static str,
    points: Vec<AttachPoint>,
) -> Library {
    let relative = image.search(".rodata", |text| {
        if let Some(version) = version_behind(text, b"LibreSSL ") {
            Some(("LibreSSL", Some(version)))
        } else if memmem::find(text, b"boringssl").is_some() {
            Some(("BoringSSL", None))
        } else {
            version_behind(text, b"OpenSSL ").map(|version| ("OpenSSL", Some(version)))
        }
    });
    let (name, version) = relative.unwrap_or_else(|| ("OpenSSL", version_of_libcrypto(image, sibling)));
    Library {
        name,
        version,
        provider: None,
        resolver,
        points,
    }
}

/// From 3.0 on the version stands in libcrypto only, which libssl names as needed.
fn version_of_libcrypto(image: &Image<'_>, sibling: Sibling<'_>) -> Option<String> {
    let strings = image.section(".dynstr")?;
    memmem::find_iter(strings, b"libcrypto").find_map(|start| {
        let name = strings.get(start..)?.split(|byte| *byte == 0).next()?;
        let file = sibling(std::str::from_utf8(name).ok()?)?;
        let cache = ReadCache::new(&file);
        let libcrypto = Image::parse(&file, &cache).ok()?;
        libcrypto.search(".rodata", |text| version_behind(text, b"OpenSSL "))
    })
}

/// The first version number that directly follows a word, such as `3.0.19` or `1.1.1w`.
fn version_behind(text: &[u8], word: &[u8]) -> Option<String> {
    const LONGEST: usize = 24;
    memmem::find_iter(text, word).find_map(|place| {
        let behind = text.get(place + word.len()..)?;
        let length = behind
            .iter()
            .take(LONGEST)
            .position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-'))?;
        let version = std::str::from_utf8(behind.get(..length)?).ok()?;
        let is_version =
            version.starts_with(|first: char| first.is_ascii_digit()) && version.matches('.').count() == 2;
        is_version.then(|| version.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::version_behind;

    #[test]
    fn a_version_is_told_from_other_mentions() {
        let text = b"\0OpenSSL needs a key\0OpenSSL 3.0 command\0OpenSSL 1.1.1w  11 Sep 2023\0";
        assert_eq!(version_behind(text, b"OpenSSL ").as_deref(), Some("1.1.1w"));
        assert_eq!(version_behind(b"OpenSSL 3.0.1", b"OpenSSL "), None, "cut off");
    }
}
