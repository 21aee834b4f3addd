//! Commands that harm others: a person who types one is asked first.

/// What is dangerous: the words that a command begins with, and what it does.
const WARNINGS: [(&[&str], &str); 2] = [
    (&["ks"], "ks ends the host, for everybody who is connected"),
    (&["plugin", "disable"], "plugin disable takes the plugin's commands from everybody"),
];

/// What a command does to others, if it does.
pub fn warning(command: &[Vec<u8>]) -> Option<&'static str> {
    let begins = |words: &[&str]| {
        words.len() <= command.len()
            && words
                .iter()
                .zip(command)
                .all(|(word, said)| said.eq_ignore_ascii_case(word.as_bytes()))
    };
    WARNINGS.iter().find(|(words, _)| begins(words)).map(|(_, warning)| *warning)
}

/// Whether the answer says that it is meant.
pub fn is_confirmed(answer: &[u8]) -> bool {
    ["y", "yes"].iter().any(|yes| answer.trim_ascii().eq_ignore_ascii_case(yes.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_harms_others_is_asked_about() {
        let asks = |line: &str| {
            let command: Vec<_> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
            warning(&command).is_some()
        };
        assert!(asks("ks") && asks("KS") && asks("Plugin DISABLE text"));
        assert!(!asks("ksx") && !asks("plugin info text") && !asks("plugin") && !asks(""));
        assert!(
            is_confirmed(b" Yes ")
                && is_confirmed(b"y")
                && !is_confirmed(b"")
                && !is_confirmed(b"yo")
        );
    }
}
