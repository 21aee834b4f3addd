//! Wine, in a folder of this project's own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::error::TaskError;

/// Texts in the output that show that Wine itself is at fault.
const SIGNATURES: [&str; 5] = [
    "unimplemented function",
    "wine client error",
    "wineserver: ",
    "wine: could not",
    // ERROR_INTERNAL_ERROR, of CreateProcess.
    "(os error 1359)",
];

/// Time limit for Wine's self-check.
const SOUND: Duration = Duration::from_secs(120);

/// A Wine with its own drive C.
pub struct Wine {
    prefix: PathBuf,
    log: PathBuf,
    environment: Vec<(&'static str, String)>,
}

/// The result of a program under Wine.
pub struct Ended {
    /// `None`: it was killed at its time limit.
    pub success: Option<bool>,
    /// Its output.
    pub output: String,
}

impl Wine {
    /// Creates a Wine in this folder, with these variables, and checks that it works.
    ///
    /// # Errors
    /// Wine does not work.
    pub fn set_up(
        folder: &Path,
        environment: Vec<(&'static str, String)>,
    ) -> Result<Self, TaskError> {
        let wine = Self { prefix: folder.join("prefix"), log: folder.join("output"), environment };
        fs::create_dir_all(folder)
            .map_err(|error| TaskError::Io("make", folder.to_owned(), error))?;
        wine.check()?;
        Ok(wine)
    }

    /// Checks that Wine can run one of its own programs.
    ///
    /// # Errors
    /// Wine cannot; the error has its output.
    pub fn check(&self) -> Result<(), TaskError> {
        let ended = self.run(Path::new("cmd"), &["/c", "echo sound"], Path::new("/"), SOUND)?;
        if ended.success == Some(true) && ended.output.contains("sound") {
            return Ok(());
        }
        Err(fault_error(&format!("`wine cmd /c echo sound` printed: {}", ended.output.trim())))
    }

    /// Runs a program to its end, with this time limit.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn run(
        &self,
        program: &Path,
        arguments: &[&str],
        folder: &Path,
        time: Duration,
    ) -> Result<Ended, TaskError> {
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |error| TaskError::Io(operation, path, error)
        };
        let log = File::create(&self.log).map_err(failed("write", &self.log))?;
        let both = log.try_clone().map_err(failed("write", &self.log))?;
        let mut command = self.command("wine");
        command.arg(program).args(arguments).current_dir(folder);
        command.stdin(Stdio::null()).stdout(log).stderr(both);
        let mut child = command.spawn().map_err(failed("start", Path::new("wine")))?;
        let start = Instant::now();
        let success = loop {
            match child.try_wait().map_err(failed("wait for", program))? {
                Some(status) => break Some(status.success()),
                None if start.elapsed() >= time => {
                    self.stop();
                    // Fails if the program has just ended.
                    let _ = child.kill();
                    let _ = child.wait();
                    break None;
                }
                None => thread::sleep(Duration::from_millis(50)),
            }
        };
        let output = fs::read(&self.log).map_err(failed("read", &self.log))?;
        Ok(Ended { success, output: String::from_utf8_lossy(&output).into_owned() })
    }

    /// Ends every program in this Wine, and checks that it still works.
    ///
    /// # Errors
    /// Wine does not work any more.
    pub fn restart(&self) -> Result<(), TaskError> {
        self.stop();
        self.check()
    }

    /// Ends every program in this Wine.
    pub fn stop(&self) {
        // An error means that none is running.
        let _ = self.command("wineserver").arg("-k").status();
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all");
        // The tests of cargo would start a native one, and there are more native tools.
        for variable in ["CARGO", "DROPIN_TEST_ALL"] {
            command.env_remove(variable);
        }
        // No debugger, no web engine and no .NET are needed.
        command.env("WINEDLLOVERRIDES", "winedbg.exe=d;mscoree=d;mshtml=d");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns the error for a fault of Wine itself.
pub fn fault_error(what: &str) -> TaskError {
    TaskError::Unsound(format!("Wine itself failed, so nothing is known about Dropin: {what}"))
}

/// Returns the line in the output that shows that Wine is at fault, if there is one.
pub fn fault_line(output: &str) -> Option<&str> {
    output.lines().find(|line| SIGNATURES.iter().any(|word| line.contains(word)))
}

/// Converts a native path to its path under Wine.
pub fn path(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}
