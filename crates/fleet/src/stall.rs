//! Pauses that notice when this process was stopped meanwhile.

use std::time::{Duration, Instant};

/// The delay of a pause from which on the silence of others does not count.
const STALL: Duration = Duration::from_millis(500);

/// Sleeps for this time. Returns true if it took much longer: the others were not silent, this host
/// was deaf.
pub async fn sleep(time: Duration) -> bool {
    let before = Instant::now();
    tokio::time::sleep(time).await;
    before.elapsed() >= time + STALL
}
