//! Applies the limits as a worker process does: on the only thread of a process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(target_os = "linux")]
fn main() {
    use std::{env, fs, net::TcpListener, path::PathBuf, process::Command};

    use dropin_sandbox::{Limits, Sandbox};

    const FOLDER: &str = "DROPIN_TEST_FOLDER";
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
        // A sandboxed process cannot remove the folder.
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env::current_exe().unwrap());
        assert!(child.env(FOLDER, folder.path()).status().unwrap().success());
        return;
    };
    let inside = folder.join("inside");
    fs::create_dir(&inside).unwrap();
    let limits = Limits {
        memory: Some(256 << 20),
        cpu: None,
        open_files: Some(100),
        sandbox: Sandbox::Strict,
    };
    limits.check().unwrap();
    limits.apply(std::slice::from_ref(&inside)).unwrap();
    fs::write(inside.join("created"), "").unwrap();
    let denied = std::io::ErrorKind::PermissionDenied;
    assert_eq!(fs::write(folder.join("created"), "").unwrap_err().kind(), denied);
    assert_eq!(TcpListener::bind(("127.0.0.1", 0)).unwrap_err().kind(), denied);
}

#[cfg(not(target_os = "linux"))]
fn main() {}
