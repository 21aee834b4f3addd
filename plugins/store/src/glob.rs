//! Patterns for keys, as Redis reads them, over bytes.
//!
//! `*` is any bytes, `?` is any one, `[a-c]` is one of these, `[^x]` one that is not, and a
//! backslash takes the next byte as it is. A bracket that is never closed reaches to the end.

/// Whether all of `text` is like `pattern`.
///
/// Only the last `*` is ever tried again, for what an earlier one took can only have been enough;
/// so the time is the product of the two lengths at worst.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut star = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            star = Some((rest, text));
            pattern = rest;
            continue;
        }
        let Some((&byte, after)) = text.split_first() else {
            return pattern.is_empty();
        };
        if let Some(rest) = step(pattern, byte) {
            (pattern, text) = (rest, after);
            continue;
        }
        // The star takes one byte more, and the rest is tried again.
        let Some((rest, [_, fewer @ ..])) = star else { return false };
        star = Some((rest, fewer));
        (pattern, text) = (rest, fewer);
    }
}

/// What is left of the pattern when its first piece, not a star, has taken `byte`.
fn step(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', b'^', class @ ..] => {
            let (found, rest) = contains(class, byte);
            (!found).then_some(rest)
        }
        [b'[', class @ ..] => {
            let (found, rest) = contains(class, byte);
            found.then_some(rest)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

/// Whether `byte` is in the class, and what follows its closing bracket.
fn contains(class: &[u8], byte: u8) -> (bool, &[u8]) {
    let (mut class, mut found) = (class, false);
    loop {
        (class, found) = match class {
            [] => return (found, class),
            [b']', rest @ ..] => return (found, rest),
            [b'\\', one, rest @ ..] => (rest, found || *one == byte),
            [low, b'-', high, rest @ ..] => {
                let (low, high) = (*low.min(high), *low.max(high));
                (rest, found || (low..=high).contains(&byte))
            }
            [one, rest @ ..] => (rest, found || *one == byte),
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pattern: &str, like: &[&str], unlike: &[&str]) {
        for text in like {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} and {text}");
        }
        for text in unlike {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} and {text}");
        }
    }

    #[test]
    fn wildcards() {
        check("", &[""], &["a"]);
        check("abc", &["abc"], &["ab", "abcd", "ABC", ""]);
        check("a?c", &["abc", "a?c"], &["ac", "abbc"]);
        check("*", &["", "a", "a*b"], &[]);
        check("a*", &["a", "ab"], &["", "ba"]);
        check("*a*b", &["ab", "xaxb", "abab"], &["ba", "aba"]);
        check("a**?", &["ab", "abc"], &["a"]);
        check("user:*:name", &["user:1:name", "user:::name"], &["user:name", "user:1:names"]);
    }

    #[test]
    fn classes() {
        check("[a-c]", &["a", "b", "c"], &["d", "", "ab", "-"]);
        check("[c-a]", &["b"], &["d"]);
        check("[abx-z]1", &["a1", "y1"], &["c1", "a"]);
        check("[^x]", &["a", "^"], &["x", ""]);
        check("[^a-c]*", &["d", "dab"], &["a"]);
        check("[a^]", &["a", "^"], &["b"]);
        check("[\\]-]", &["]", "-"], &["\\"]);
        check("[a-]", &["a", "]"], &["-", "b"]);
        check("[]", &[], &["", "]", "a"]);
        check("[^]", &["a"], &[""]);
        check("[ab", &["a", "b"], &["[ab", "c"]);
    }

    #[test]
    fn a_backslash_takes_the_next_byte_as_it_is() {
        check("\\*", &["*"], &["a", "\\*"]);
        check("a\\?\\[b", &["a?[b"], &["axxb"]);
        check("\\\\", &["\\"], &["\\\\"]);
        check("a\\", &["a\\"], &["a"]);
    }

    #[test]
    fn bytes_need_not_be_text() {
        assert!(matches(b"\xff?[\x80-\x90]", b"\xff\x00\x85"));
        assert!(!matches(b"?", "é".as_bytes()));
    }

    #[test]
    fn many_stars_take_no_longer() {
        let (pattern, text) = ("*a".repeat(50) + "b", "a".repeat(5_000));
        assert!(!matches(pattern.as_bytes(), text.as_bytes()));
    }

    /// What a pattern of stars, question marks and letters means, by its definition.
    fn defined(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| defined(rest, &text[taken..])),
            ([b'?', pattern @ ..], [_, text @ ..]) => defined(pattern, text),
            ([one, pattern @ ..], [other, text @ ..]) => one == other && defined(pattern, text),
            ([], []) => true,
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,9}", text in "[ab]{0,9}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text), defined(pattern, text));
        }

        #[test]
        fn no_pattern_panics(pattern: Vec<u8>, text: Vec<u8>) {
            let _ = matches(&pattern, &text);
        }
    }
}
