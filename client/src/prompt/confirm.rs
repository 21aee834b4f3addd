//! Commands that affect other people, which the prompt asks about first.

/// The first words of each such command, and its warning.
const WARNINGS: [(&[&str], &str); 2] = [
    (&["ks"], "ks ends the host, for everybody who is connected"),
    (&["plugin", "disable"], "plugin disable takes the plugin's commands from everybody"),
];

/// Returns the warning of a command that affects others.
pub fn warning(command: &[Vec<u8>]) -> Option<&'static str> {
    let matches = |words: &[&str]| {
        words.len() <= command.len()
            && words
                .iter()
                .zip(command)
                .all(|(word, typed)| typed.eq_ignore_ascii_case(word.as_bytes()))
    };
    WARNINGS.iter().find(|(words, _)| matches(words)).map(|(_, warning)| *warning)
}

/// Returns true for the answer yes.
pub fn is_confirmed(answer: &[u8]) -> bool {
    ["y", "yes"].iter().any(|yes| answer.trim_ascii().eq_ignore_ascii_case(yes.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_that_affect_others_have_warnings() {
        let has_warning = |line: &str| {
            let command: Vec<_> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
            warning(&command).is_some()
        };
        for line in ["ks", "KS", "Plugin DISABLE text"] {
            assert!(has_warning(line), "{line}");
        }
        for line in ["ksx", "plugin info text", "plugin", ""] {
            assert!(!has_warning(line), "{line}");
        }
    }

    #[test]
    fn only_yes_confirms() {
        assert!(is_confirmed(b" Yes ") && is_confirmed(b"y"));
        assert!(!is_confirmed(b"") && !is_confirmed(b"yo"));
    }
}
