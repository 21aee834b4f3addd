//! The patterns that name the commands that a key may run.

use plugin_api::MAX_NAME;

/// Returns whether the text is a pattern: characters of names, `*` for any number of them, `?` for
/// one.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    let legal = |c: u8| c.is_ascii_alphanumeric() || b"-_.:*?".contains(&c);
    (1..=2 * MAX_NAME).contains(&text.len()) && text.bytes().all(legal)
}

/// Returns whether a pattern matches this command, by its name or by `plugin.name`.
#[must_use]
pub fn covers(pattern: &str, name: &str, plugin: Option<&str>) -> bool {
    let pattern = pattern.as_bytes();
    is_match(pattern, name.as_bytes())
        || plugin.is_some_and(|plugin| is_match(pattern, format!("{plugin}.{name}").as_bytes()))
}

fn is_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The positions of the last star in the pattern, and of the end of its match in the text.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || c.eq_ignore_ascii_case(&text[t]) => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, t) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_says() {
        for (pattern, name, plugin, expected) in [
            ("get", "get", Some("store"), true),
            ("GET", "get", Some("store"), true),
            ("get", "getall", Some("store"), false),
            ("get", "forget", Some("store"), false),
            ("store.get", "get", Some("store"), true),
            ("store.get", "get", Some("other"), false),
            ("text.*", "upper", Some("text"), true),
            ("text.*", "upper", Some("context"), false),
            ("text.*", "text.upper", Some("x"), true),
            ("text*", "upper", Some("text"), true),
            ("*", "anything", None, true),
            ("g?t", "get", None, true),
            ("g?t", "gt", None, false),
            ("*a*b", "xxaxxab", None, true),
            ("*a*b", "xxaxxa", None, false),
            ("get*", "get", None, true),
            ("", "get", None, false),
        ] {
            assert_eq!(covers(pattern, name, plugin), expected, "{pattern} {name} {plugin:?}");
        }
    }

    #[test]
    fn only_names_and_wildcards_make_a_pattern() {
        assert!(is_pattern("text.*") && is_pattern("a-b_c?"));
        for text in ["", "a b", "é", "a,b", "a\n", "-é"] {
            assert!(!is_pattern(text), "{text}");
        }
    }
}
