//! The state of the host that the prompt and its hints show.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::prompt::commands::Commands;

/// The start of a prompt with a connection, and without one.
///
/// Both have one width, so that the editor can draw one over the other.
const UP: &str = "dropin";
const DOWN: &str = "(down)";

/// The state of the host. The main thread writes it, and the editor's thread reads it to draw.
#[derive(Debug, Default)]
pub struct HostState(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    commands: Arc<Commands>,
    name: String,
    role: Option<String>,
    is_down: bool,
    hides_hints: bool,
}

impl HostState {
    /// Returns the state of a host of which only the name is known.
    pub fn new(name: &str) -> Self {
        Self(Mutex::new(State { name: name.to_owned(), ..State::default() }))
    }

    /// Returns the commands of this session.
    pub fn commands(&self) -> Arc<Commands> {
        Arc::clone(&self.lock().commands)
    }

    /// Sets the commands of this session.
    pub fn set_commands(&self, commands: Commands) {
        self.lock().commands = Arc::new(commands);
    }

    /// Sets the role of this session.
    pub fn set_role(&self, role: Option<String>) {
        self.lock().role = role;
    }

    /// Sets the connection down, or up.
    pub fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
    }

    /// Returns true while the connection is lost.
    pub fn is_down(&self) -> bool {
        self.lock().is_down
    }

    /// Hides hints for the rest of the process.
    pub fn hide_hints(&self) {
        self.lock().hides_hints = true;
    }

    /// Returns true when hints are hidden.
    pub fn has_hidden_hints(&self) -> bool {
        self.lock().hides_hints
    }

    /// Returns the prompt for a new line.
    pub fn prompt(&self) -> String {
        let state = self.lock();
        let role = state.role.as_ref().map(|role| format!(" {role}")).unwrap_or_default();
        format!("{UP} {}{role}> ", state.name)
    }

    /// Returns a prompt that is on the screen, as the current state requires it.
    pub fn updated_prompt(&self, prompt: &str) -> String {
        match prompt.strip_prefix(UP) {
            Some(rest) if self.is_down() => format!("{DOWN}{rest}"),
            _ => prompt.to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_have_one_width_up_and_down() {
        let host_state = HostState::new("127.0.0.1:5000");
        assert_eq!(host_state.prompt(), "dropin 127.0.0.1:5000> ");
        host_state.set_role(Some("admin".to_owned()));
        let prompt = host_state.prompt();
        assert_eq!(prompt, "dropin 127.0.0.1:5000 admin> ");
        host_state.set_down(true);
        assert_eq!(host_state.updated_prompt(&prompt), "(down) 127.0.0.1:5000 admin> ");
        host_state.set_down(false);
        assert_eq!(host_state.updated_prompt(&prompt), prompt);
    }
}
