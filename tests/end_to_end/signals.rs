//! Signals that shut the host down, and ignored ones.

use dropin_tests::{Host, Lines, Setup};

/// Starts a host with these signals ignored, as `nohup` and shells do.
fn ignoring_signals(signals: &str) -> Host {
    let script = format!("trap '' {signals}; exec \"$0\" \"$@\"");
    Setup::new().plugins(&["clock"]).started_by(&["sh", "-c", &script]).start()
}

/// Checks that it keeps running: a command that a shutdown would cut short is not.
#[track_caller]
fn serves(host: &Host) {
    let slept = Lines::connect(host).ask("sleep 200");
    assert!(slept.parse::<u64>().is_ok(), "{slept}");
}

#[test]
fn host_survives_signals_ignored_at_its_start() {
    let mut host = ignoring_signals("HUP INT");
    host.hang_up();
    host.interrupt();
    serves(&host);
    host.terminate();
    assert_eq!(host.exit(), Some(0));
}

#[test]
fn host_ends_in_order_at_a_hangup() {
    let mut host = ignoring_signals("TERM");
    host.terminate();
    serves(&host);
    host.hang_up();
    assert_eq!(host.exit(), Some(0));
    host.wait_for_log("host: ended");
}
