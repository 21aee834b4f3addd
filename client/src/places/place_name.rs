//! Names of places: their form, and the words that are reserved.

/// First words of the command line that are not names of places.
pub const RESERVED: [&str; 13] = [
    "s",
    "l",
    "i",
    "same",
    "lan",
    "internet",
    "add",
    "remove",
    "places",
    "completion",
    "plugin",
    "man",
    "help",
];

/// The longest name of a place, in bytes.
const MAX_NAME: usize = 64;

/// Checks the name of a place; the error is a message with the cause and the rule.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !starts_well || name.len() > MAX_NAME || !name.bytes().all(is_allowed) {
        return Err(format!(
            "'{}' cannot name a place: take up to {MAX_NAME} letters, digits, '-', '_' and '.', \
             and begin with a letter or a digit",
            name.escape_debug()
        ));
    }
    match RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        true => Err(format!(
            "'{name}' cannot name a place, since it means something else to the client; take \
             another name"
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_unreserved_names_are_accepted() {
        for name in ["home", "Home-2", "a.b_c", "1", "sl"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", "-x", ".x", "a b", "é", "a\n", "a/b", &long] {
            assert!(check_name(name).unwrap_err().contains("letters"), "{name}");
        }
        for name in RESERVED.into_iter().chain(["S", "Add"]) {
            assert!(check_name(name).unwrap_err().contains("another name"), "{name}");
        }
    }
}
