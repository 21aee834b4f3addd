//! Tests of the runs of a script.

use std::io::Write;

use super::*;

#[test]
fn leftover_writer_neither_delays_nor_fills_output() {
    let (output, mut writer) = io::pipe().unwrap();
    let reading = read_on_thread(output, 100).unwrap();
    let (kept, done) = (Arc::clone(&reading.kept), reading.done.clone());
    writer.write_all(b"reply").unwrap();
    assert_eq!(reading.finish(), b"reply");
    // On Windows the job has killed the writer by then.
    if cfg!(unix) {
        let ended = done.recv_timeout(Duration::from_secs(60));
        assert_eq!(ended, Err(crossbeam_channel::RecvTimeoutError::Disconnected));
        assert!(writer.write_all(b"late").is_err());
        assert!(kept.lock().unwrap().is_empty());
    }
}
