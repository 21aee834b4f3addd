//! The client at the prompt: in a terminal, with a host behind it.

mod first_contact;
mod hints;
mod history;
mod outages;
mod output;
mod running;

use std::{path::Path, process::Command};

use dropin_tests::{Host, built, terminal::Terminal};
use tempfile::TempDir;

/// A user at a client, with settings and a history of its own.
struct Person {
    terminal: Terminal,
    home: TempDir,
    prompt: String,
}

/// Returns a command for a client of this host, which keeps all its files under `home`.
fn client(host: &Host, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(built::program("client"));
    command.args(["--port", &host.port().to_string()]).args(arguments).arg("s");
    for name in ["PORT", "ADDRESS", "LAN_ADDRESS", "INTERNET_ADDRESS", "CONFIG", "KEY", "HISTORY"] {
        command.env_remove(format!("DROPIN_{name}"));
    }
    for name in ["PAGER", "LESS", "NO_COLOR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    command.env("HOME", home);
    command
}

impl Person {
    /// Starts a client and waits for its prompt.
    #[track_caller]
    fn at(host: &Host) -> Self {
        let home = tempfile::tempdir().unwrap();
        let command = client(host, home.path(), &[]);
        Self::with(host, home, &command, "admin")
    }

    #[track_caller]
    fn with(host: &Host, home: TempDir, command: &Command, role: &str) -> Self {
        let mut terminal = Terminal::start(command);
        let role = if role.is_empty() { String::new() } else { format!(" {role}") };
        let prompt = format!("dropin 127.0.0.1:{}{role}> ", host.port());
        terminal.sees_last(&prompt);
        Self { terminal, home, prompt }
    }

    /// Types a line and waits until it is shown behind the prompt.
    #[track_caller]
    fn types(&mut self, line: &str) {
        self.terminal.press(line);
        let shown = format!("{}{line}", self.prompt);
        self.terminal.sees(shown.trim_end());
    }

    /// Types and runs a line, and waits for this reply and the prompt after it.
    #[track_caller]
    fn runs(&mut self, line: &str, answer: &str) {
        self.types(line);
        self.terminal.press("\r");
        let end = format!("\n{answer}\n{}", self.prompt.trim_end());
        self.terminal.sees_that(answer, |screen| screen.trim_end().ends_with(&end));
    }

    /// Ends the client by Ctrl-D.
    #[track_caller]
    fn leaves(mut self) {
        // Outside the prompt the terminal handles Ctrl-D. The role may have changed by now.
        self.terminal.sees_that("prompt", |screen| {
            let last = screen.trim_end().lines().last().unwrap_or_default();
            last.starts_with("dropin ") && last.ends_with('>')
        });
        self.terminal.press("\x04");
        assert_eq!(self.terminal.finish().status, Some(0));
    }
}
