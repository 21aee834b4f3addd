//! Starts an executable for its manifest alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use platform::Group;
use telemetry::log_throttle::LineBudget;

use super::launcher::LinesLauncher;
use crate::{
    live::{host_services::PluginServices, manifest::Manifest},
    load_error::Refusal,
    process::{executable::Executable, protocol::Launcher},
};

/// The time that a worker has to end by itself.
const END: Duration = Duration::from_secs(2);

/// Starts an executable that speaks JSON lines, waits for its hello for at most `timeout`, and ends
/// it with all that it has started. Its lines are logged under its stem.
///
/// # Errors
/// The reason for which it must not be served.
pub fn try_out(executable: Executable, timeout: Duration) -> Result<Manifest, Refusal> {
    let services = PluginServices {
        name: executable.stem.clone(),
        data_dir: executable.data_dir.clone(),
        started: Instant::now(),
        lines: LineBudget::default(),
    };
    let services = Arc::new(services);
    let launcher = LinesLauncher { executable, timeout, services, changed: Arc::new(|_| {}) };
    let mut launched = launcher.launch(&|| false)?;
    launched.protocol.stop();
    wait_for_end(&mut launched.group);
    launched.group.kill();
    Ok(launched.hello.manifest)
}

/// Waits until a process has ended by itself, for at most [`END`].
fn wait_for_end(group: &mut Group) {
    let Ok(observer) = group.observer() else { return };
    let expires_at = Instant::now() + END;
    while Instant::now() < expires_at && matches!(group.reap(&observer), Ok(None)) {
        observer.wait(expires_at.saturating_duration_since(Instant::now()));
    }
}
