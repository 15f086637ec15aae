//! `/proc/PID/maps`: which files a process runs code from.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::watch::MappedFile;

/// More mappings than this are not looked at in one process.
const MAX_MAPPINGS: usize = 65_536;

/// Files that a process has mapped as code, each once.
pub fn code_files(pid: u32) -> io::Result<Vec<MappedFile>> {
    let text = fs::read(format!("/proc/{pid}/maps"))?;
    // A process that is gone or a kernel thread has no maps, which reads as nothing.
    Ok(parse(pid, &text))
}

fn parse(pid: u32, text: &[u8]) -> Vec<MappedFile> {
    let mut seen = HashSet::new();
    text.split(|byte| *byte == b'\n')
        .take(MAX_MAPPINGS)
        .filter_map(|line| parse_line(pid, line))
        .filter(|file| seen.insert((file.device, file.inode)))
        .collect()
}

/// One line, such as `7f0a4c000000-7f0a4c05e000 r-xp 0001f000 fe:00 1234   /usr/lib/libssl.so.3`; see proc(5).
fn parse_line(pid: u32, line: &[u8]) -> Option<MappedFile> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let mut field = || std::str::from_utf8(fields.next()?).ok();
    let (start, end) = field()?.split_once('-')?;
    let permissions = field()?;
    let _file_offset = field()?;
    let (major, minor) = field()?.split_once(':')?;
    let inode: u64 = field()?.parse().ok()?;
    if inode == 0 || permissions.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let path = fields.next()?.trim_ascii_start();
    Some(MappedFile {
        pid,
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        device: (
            u32::from_str_radix(major, 16).ok()?,
            u32::from_str_radix(minor, 16).ok()?,
        ),
        inode,
        generation: 0,
        path: path_without_mark(path),
    })
}

/// The kernel marks the path of an unlinked file with ` (deleted)`.
pub(super) fn path_without_mark(path: &[u8]) -> PathBuf {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    PathBuf::from(OsString::from_vec(path.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn code_of_files_is_kept_and_data_stacks_and_repeats_are_not() {
        let text = b"\
55d0-55d1 r--p 00000000 fe:00 11                         /usr/bin/app
55d1-55d2 r-xp 00001000 fe:00 11                         /usr/bin/app
55d3-55d4 r-xp 00003000 fe:00 11                         /usr/bin/app
7f00-7f10 r-xp 00000000 fe:00 12                         /opt/my lib/libssl.so.1.1 (deleted)
7f20-7f30 r-xp 00000000 00:00 0                          [vdso]
7f40-7f50 rwxp 00000000 00:00 0 \n";
        let files = parse(3, text);
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].path, Path::new("/usr/bin/app"));
        assert_eq!((files[0].start, files[0].device), (0x55d1, (0xfe, 0)));
        assert_eq!(files[1].path, Path::new("/opt/my lib/libssl.so.1.1"));
    }

    #[test]
    fn our_own_process_runs_code_from_its_executable() {
        let executable = std::env::current_exe().unwrap();
        let files = code_files(std::process::id()).unwrap();
        assert!(files.iter().any(|file| file.path == executable));
    }

    proptest! {
        #[test]
        fn any_text_gives_files_and_never_a_panic(text in "[0-9a-fx: /\n()-]{0,200}") {
            parse(1, text.as_bytes());
        }
    }
}
