//! Many uprobes in one link: `BPF_TRACE_UPROBE_MULTI`, since Linux 6.6.
//!
//! A probe that is a perf event of its own takes a tenth of a second to take away, since the kernel waits for each alone;
//! a link that holds all places of a program in a file is gone in milliseconds, and so is the agent. aya 0.14 loads no
//! program for such links, so its programs are loaded once more here: the same object, on the maps that aya has made.

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya::Ebpf;
use aya::maps::{Map, MapData};
use aya_obj::{Object, ProgramSection};

use super::sys;

/// Slots of `PROGRAMS`, and the program that belongs there.
const CONTINUATIONS: &str = "PROGRAMS";

/// A program that goes on in no other. The first that does decides for which kind of link the slots of [`CONTINUATIONS`]
/// take programs, and that must not happen where there are no such links.
const FIRST: &str = super::loader::program::CONNECTION_FREE;

/// Uprobe programs that are loaded for links of many places.
#[derive(Debug)]
pub(super) struct MultiPrograms {
    programs: HashMap<String, Program>,
}

#[derive(Debug)]
struct Program {
    descriptor: OwnedFd,
    at_return: bool,
}

/// One place in a file, and the cookie that the program finds there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) cookie: u64,
}

impl MultiPrograms {
    /// Loads the uprobe programs of an object whose maps are those of `ebpf`, and puts those that others go on in into
    /// their slots. `None` where the kernel has no links of many places.
    pub(super) fn load(
        ebpf: &Ebpf,
        object: &[u8],
        continuations: &[(u32, &'static str)],
    ) -> Result<Option<Self>, String> {
        let mut object = Object::parse(object).map_err(|error| error.to_string())?;
        relocate(&mut object, ebpf)?;
        let mut loaded = Self {
            programs: HashMap::new(),
        };
        loaded.add(&object, FIRST)?;
        if !loaded.is_supported() {
            return Ok(None);
        }
        for name in object.programs.keys().filter(|name| *name != FIRST) {
            loaded.add(&object, name)?;
        }
        let slots = ebpf
            .map(CONTINUATIONS)
            .and_then(descriptor)
            .ok_or("it has no map of programs")?;
        for (slot, name) in continuations {
            let program = loaded
                .programs
                .get(*name)
                .ok_or_else(|| format!("it has no program `{name}`"))?;
            sys::set_program(slots, *slot, program.descriptor.as_fd())
                .map_err(|error| format!("program `{name}`: {error}"))?;
        }
        Ok(Some(loaded))
    }

    /// Loads a program, if it is one of the uprobes.
    fn add(&mut self, object: &Object, name: &str) -> Result<(), String> {
        let program = object
            .programs
            .get(name)
            .ok_or_else(|| format!("it has no program `{name}`"))?;
        let at_return = match program.section {
            ProgramSection::UProbe { .. } => false,
            ProgramSection::URetProbe { .. } => true,
            _ => return Ok(()),
        };
        let function = object
            .functions
            .get(&program.function_key())
            .ok_or_else(|| format!("program `{name}` has no code"))?;
        let descriptor = sys::load_multi_uprobe(name, &function.instructions, &program.license)
            .map_err(|error| format!("program `{name}`: {error}"))?;
        let program = Program {
            descriptor,
            at_return,
        };
        self.programs.insert(name.to_owned(), program);
        Ok(())
    }

    /// Whether this kernel has such links. Asks for one on a folder: a kernel that knows them says that it is no file.
    fn is_supported(&self) -> bool {
        let place = Place { offset: 0, cookie: 0 };
        self.attach(FIRST, Path::new("/"), &[place])
            .is_err_and(|error| error.raw_os_error() == Some(libc::EBADF))
    }

    /// Puts a program at all these places of a file, or at none. Dropping what it gives takes the probes away.
    pub(super) fn attach(&self, name: &str, file: &Path, places: &[Place]) -> io::Result<OwnedFd> {
        let program = self.programs.get(name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no program `{name}`"))
        })?;
        let path = CString::new(file.as_os_str().as_bytes())?;
        let offsets: Vec<u64> = places.iter().map(|place| place.offset).collect();
        let cookies: Vec<u64> = places.iter().map(|place| place.cookie).collect();
        sys::link_multi_uprobe(
            program.descriptor.as_fd(),
            &path,
            &offsets,
            &cookies,
            program.at_return,
        )
    }
}

/// Writes the descriptors of the maps into the instructions, and joins the functions of each program.
fn relocate(object: &mut Object, ebpf: &Ebpf) -> Result<(), String> {
    let code: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let maps = object.maps.clone();
    let mut places = Vec::new();
    for (name, map) in &maps {
        let made = ebpf
            .map(name)
            .and_then(descriptor)
            .ok_or_else(|| format!("map `{name}` is of a kind that is not used here"))?;
        places.push((name.as_str(), made.as_raw_fd(), map));
    }
    object
        .relocate_maps(places.into_iter(), &code)
        .map_err(|error| error.to_string())?;
    object.relocate_calls(&code).map_err(|error| error.to_string())
}

fn descriptor(map: &Map) -> Option<BorrowedFd<'_>> {
    data(map).map(|data| data.fd().as_fd())
}

/// A map of one of the kinds that the object uses.
pub(super) fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data)
        | Map::PerfEventArray(data)
        | Map::ProgramArray(data)
        | Map::RingBuf(data) => Some(data),
        _ => None,
    }
}
