//! What is known of the host at this moment, for the prompt and its hints.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::prompt::commands::Commands;

/// What a prompt starts with, while there is a connection and while there is none. Both are of one
/// width, so that the one can be drawn over the other.
const UP: &str = "dropin";
const DOWN: &str = "(down)";

/// What is known of the host at this moment. The client's main thread writes it, the prompt's thread
/// reads it whenever it draws.
#[derive(Debug, Default)]
pub struct HostState(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    commands: Arc<Commands>,
    name: String,
    role: Option<String>,
    down: bool,
    quiet: bool,
}

impl HostState {
    /// Of a host of this name nothing else is known yet.
    pub fn new(name: &str) -> Self {
        Self(Mutex::new(Known { name: name.to_owned(), ..Known::default() }))
    }

    /// The commands that the session may run.
    pub fn commands(&self) -> Arc<Commands> {
        Arc::clone(&self.known().commands)
    }

    /// Notes the commands.
    pub fn set_commands(&self, commands: Commands) {
        self.known().commands = Arc::new(commands);
    }

    /// Notes what the session may do, as the host calls it.
    pub fn set_role(&self, role: Option<String>) {
        self.known().role = role;
    }

    /// Notes whether the connection is lost.
    pub fn set_down(&self, down: bool) {
        self.known().down = down;
    }

    /// Whether the connection is lost.
    pub fn is_down(&self) -> bool {
        self.known().down
    }

    /// No hints any more: the client ends.
    pub fn set_quiet(&self) {
        self.known().quiet = true;
    }

    /// Whether there are hints no more.
    pub fn is_quiet(&self) -> bool {
        self.known().quiet
    }

    /// The prompt for a new line.
    pub fn prompt(&self) -> String {
        let known = self.known();
        let role = known.role.as_ref().map(|role| format!(" {role}")).unwrap_or_default();
        format!("{UP} {}{role}> ", known.name)
    }

    /// A prompt that is up, as it must look now.
    pub fn refreshed(&self, prompt: &str) -> String {
        match prompt.strip_prefix(UP) {
            Some(rest) if self.is_down() => format!("{DOWN}{rest}"),
            _ => prompt.to_owned(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_prompts_are_of_one_width() {
        let host_state = HostState::new("127.0.0.1:5000");
        assert_eq!(host_state.prompt(), "dropin 127.0.0.1:5000> ");
        host_state.set_role(Some("admin".to_owned()));
        let prompt = host_state.prompt();
        assert_eq!(prompt, "dropin 127.0.0.1:5000 admin> ");
        host_state.set_down(true);
        assert_eq!(host_state.refreshed(&prompt), "(down) 127.0.0.1:5000 admin> ");
        host_state.set_down(false);
        assert_eq!(host_state.refreshed(&prompt), prompt);
    }
}
