//! The detection of misspelt environment variables.

use clap::Command;
use protocol::nearest::nearest;

/// The prefix of all variables of both programs.
const PREFIX: &str = "DROPIN_";

/// The prefix of the tests' variables.
const OF_TESTS: &str = "DROPIN_TEST_";

/// The variables that only the client reads.
const OF_THE_CLIENT: [&str; 6] = [
    "DROPIN_ADDRESS",
    "DROPIN_CONFIG",
    "DROPIN_HISTORY",
    "DROPIN_INTERNET_ADDRESS",
    "DROPIN_KEY",
    "DROPIN_LAN_ADDRESS",
];

/// Returns a warning of one line for each of these variables that is probably misspelt.
pub fn misspelt(names: impl Iterator<Item = String>) -> Vec<String> {
    let known = known_variables(&super::command());
    let warnings = names.filter_map(|name| {
        // Windows ignores the case of variables' names.
        let name = if cfg!(windows) { name.to_ascii_uppercase() } else { name };
        let nearest = find_meant(&name, &known)?;
        Some(format!("{name} means nothing to the host, did you mean {nearest}?"))
    });
    warnings.collect()
}

fn find_meant<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let rest = name.strip_prefix(PREFIX)?;
    let is_known = known.iter().any(|known| known == name) || OF_THE_CLIENT.contains(&name);
    if is_known || name.starts_with(OF_TESTS) {
        return None;
    }
    // The common prefix is left out: only the rest counts for the distance.
    let rests = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
    let near = nearest(&rest.to_ascii_uppercase(), rests)?;
    known.iter().map(String::as_str).find(|known| known.strip_prefix(PREFIX) == Some(near))
}

/// Returns the host's variables, with those of every subcommand.
fn known_variables(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(|argument| argument.get_env());
    let mut names: Vec<_> = own.map(|name| name.to_string_lossy().into_owned()).collect();
    names.extend(command.get_subcommands().flat_map(known_variables));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str) -> Vec<String> {
        misspelt([name.to_owned()].into_iter())
    }

    #[test]
    fn misspelt_variable_is_reported_with_nearest_name() {
        for (name, nearest) in [
            ("DROPIN_PROT", "DROPIN_PORT"),
            ("DROPIN_PLUGIN", "DROPIN_PLUGINS"),
            ("DROPIN_MAX_SESSION", "DROPIN_MAX_SESSIONS"),
            #[cfg(not(windows))]
            ("DROPIN_Trust", "DROPIN_TRUST"),
            ("DROPIN_STATEDIR", "DROPIN_STATE_DIR"),
        ] {
            let expected = format!("{name} means nothing to the host, did you mean {nearest}?");
            assert_eq!(said(name), [expected]);
        }
    }

    #[test]
    fn variables_of_others_are_not_misspelt() {
        let own = known_variables(&super::super::command());
        assert!(own.iter().any(|name| name == "DROPIN_MAX_SESSIONS"), "{own:?}");
        let others = ["PATH", "DROPIN_TEST_ALL", "DROPIN_TEST_PORT", "DROPIN_FLAVOUR", "DROPIN_"];
        for name in own.iter().map(String::as_str).chain(OF_THE_CLIENT).chain(others) {
            assert!(said(name).is_empty(), "{name}");
        }
    }
}
