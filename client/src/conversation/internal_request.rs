//! Commands that the client sends for its own use.

/// A command that the client sends for its own use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalRequest {
    /// Selects RESP3.
    Hello,
    /// Asks for the role of this session.
    Info,
    /// Subscribes to changes of the commands.
    Watch,
    /// Asks for the commands and their arguments.
    Docs,
}

impl InternalRequest {
    /// Returns the words of the command.
    pub fn words(self) -> Vec<Vec<u8>> {
        let words = match self {
            Self::Hello => ["HELLO", "3"],
            Self::Info => ["CLIENT", "INFO"],
            Self::Watch => ["COMMAND", "WATCH"],
            Self::Docs => ["COMMAND", "DOCS"],
        };
        words.map(|word| word.as_bytes().to_vec()).into()
    }
}
