//! What Wireshark's tools make of a recording, and we of theirs.

use std::process::Command;

use super::{a_short_run, read, written};

/// tshark is the oracle: it must dissect the HTTP inside, and see a hole as a missing segment.
#[test]
fn tshark_dissects_the_http_inside() {
    if Command::new("tshark").arg("--version").output().is_err() {
        eprintln!(
            "NOT RUN: tshark is not installed (Debian package tshark), so nothing was compared with it"
        );
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run.pcapng");
    std::fs::write(&path, written(&a_short_run())).expect("a file");
    let fields = |filter: &str, fields: &[&str]| {
        let mut command = Command::new("tshark");
        command
            .arg("-r")
            .arg(&path)
            .args(["-Y", filter, "-T", "fields", "-o", "tcp.check_checksum:TRUE"]);
        command.args(["-o", "ip.check_checksum:TRUE"]);
        for field in fields {
            command.args(["-e", field]);
        }
        let output = command.output().expect("tshark runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    assert_eq!(
        fields(
            "http.request",
            &[
                "ip.src",
                "http.request.method",
                "http.request.uri",
                "http.content_length"
            ]
        ),
        "10.0.3.44\tPOST\t/model/m/converse\t2"
    );
    assert_eq!(
        fields("http.response", &["ip.dst", "http.response.code"]),
        "10.0.3.44\t200"
    );
    assert_eq!(fields("tcp.analysis.lost_segment", &["tcp.seq"]), "1058");
    assert_eq!(
        fields(
            "tcp.checksum.status == 0 || ip.checksum.status == 0",
            &["frame.number"]
        ),
        ""
    );
    assert_eq!(
        fields("http.request", &["frame.time_epoch"]),
        "1700000000.000003000"
    );
    assert_eq!(fields("_ws.malformed", &["frame.number"]), "");
}

/// What the tools of Wireshark write is still a recording.
#[test]
fn a_file_that_editcap_wrote_is_replayed() {
    if Command::new("editcap").arg("--version").output().is_err() {
        eprintln!(
            "NOT RUN: editcap is not installed (Debian package wireshark-common), so its files were not read"
        );
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("run.pcapng"), written(&a_short_run())).expect("a file");
    let output = Command::new("editcap")
        .args([path("run.pcapng"), path("edited.pcapng")])
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (edited, damage) = read(&std::fs::read(path("edited.pcapng")).expect("a file"));
    assert_eq!(edited, a_short_run());
    assert!(damage.is_empty(), "{damage}");
}
