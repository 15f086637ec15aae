//! Capture files: pcapng that Wireshark opens and that replays to the same spans.
