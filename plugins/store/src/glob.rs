//! Patterns for keys, as Redis reads them, over bytes.
//!
//! `*` matches any bytes, `?` any one byte, `[a-c]` one of a class, `[^x]` one outside a class, and
//! a backslash makes the next byte literal. An unclosed bracket extends to the end.
//!
//! A pattern is matched as an automaton whose states are bits: state `n` means that the first `n`
//! pieces of the pattern have matched the text so far. Each byte of a key costs the same few
//! operations for any pattern and key, and matching can be interrupted anywhere. No crate offers
//! both: `wildmatch` backtracks at each star and has no such classes, `globset` matches paths, and
//! `regex` needs time in proportion to the product of both lengths in the worst case, in one call
//! that cannot be interrupted.

use plugin_api::{Error, Result};

/// Maximum length of a pattern, in bytes.
const LONGEST: usize = 1024;
/// Words of states for the longest pattern, which has one state more than pieces.
const WORDS: usize = LONGEST / WORD + 1;
/// Number of states in a word.
const WORD: usize = u64::BITS as usize;
/// Number of bytes of a key that are matched between two checks for cancellation.
const STRIDE: usize = 1024;

/// A parsed pattern.
pub(crate) struct Pattern {
    /// For each byte, the states that it can enter from the state before, in [`Self::words`] words.
    entered: Vec<u64>,
    /// The states before a star: any byte keeps them.
    kept: [u64; WORDS],
    /// The state in which all pieces have matched.
    last: usize,
    /// Number of words that the states need.
    words: usize,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// The pattern is too long.
    pub(crate) fn parse(pattern: &[u8]) -> Result<Self> {
        if pattern.len() > LONGEST {
            return Err(Error::new(format!("GLOB is longer than {LONGEST} bytes")));
        }
        let mut kept = [0; WORDS];
        let (mut pieces, mut rest) = (Vec::new(), pattern);
        while let Some((piece, after)) = split_piece(rest) {
            rest = after;
            match piece {
                Piece::Star => set(&mut kept, pieces.len()),
                Piece::One(bytes) => pieces.push(bytes),
            }
        }
        let (last, words) = (pieces.len(), pieces.len() / WORD + 1);
        let mut entered = vec![0; 256 * words];
        for (states, byte) in entered.chunks_exact_mut(words).zip(0..=u8::MAX) {
            for (place, piece) in pieces.iter().enumerate() {
                if piece.holds(byte) {
                    set(states, place + 1);
                }
            }
        }
        Ok(Self { entered, kept, last, words })
    }

    /// Returns whether the pattern matches all of `text`. Needs time in proportion to the length of
    /// `text`, and calls `check` every [`STRIDE`] bytes.
    ///
    /// # Errors
    /// The errors of `check`.
    pub(crate) fn matches(
        &self,
        text: &[u8],
        mut check: impl FnMut() -> Result<()>,
    ) -> Result<bool> {
        let mut states = [0; WORDS];
        set(&mut states, 0);
        for part in text.chunks(STRIDE) {
            check()?;
            for byte in part {
                if has(&states, self.last) && has(&self.kept, self.last) {
                    // A star at the end matches the rest.
                    return Ok(true);
                }
                if !self.advance(&mut states, *byte) {
                    return Ok(false);
                }
            }
        }
        Ok(has(&states, self.last))
    }

    /// Processes one byte. Returns false where no state is left.
    fn advance(&self, states: &mut [u64; WORDS], byte: u8) -> bool {
        let entered = self.entered.chunks_exact(self.words).nth(usize::from(byte));
        let (mut carry, mut any) = (0, 0);
        let words = states.iter_mut().zip(&self.kept);
        for ((states, kept), entered) in words.zip(entered.unwrap_or_default()) {
            let before = *states;
            *states = ((before << 1 | carry) & entered) | (before & kept);
            carry = before >> (WORD - 1);
            any |= *states;
        }
        any != 0
    }
}

fn set(states: &mut [u64], place: usize) {
    if let Some(word) = states.get_mut(place / WORD) {
        *word |= 1 << (place % WORD);
    }
}

fn has(states: &[u64], place: usize) -> bool {
    states.get(place / WORD).is_some_and(|word| word >> (place % WORD) & 1 == 1)
}

enum Piece<'a> {
    /// Any number of bytes.
    Star,
    /// Exactly one byte.
    One(Bytes<'a>),
}

/// The bytes that one piece matches.
enum Bytes<'a> {
    Any,
    Only(u8),
    /// The bytes of a class, or all others.
    Class {
        class: &'a [u8],
        inverted: bool,
    },
}

impl Bytes<'_> {
    fn holds(&self, byte: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Only(one) => *one == byte,
            Self::Class { class, inverted } => contains(class, byte).0 != *inverted,
        }
    }
}

/// Returns the first piece of a pattern and the rest.
fn split_piece(pattern: &[u8]) -> Option<(Piece<'_>, &[u8])> {
    let class = |class, inverted| {
        let (_, rest) = contains(class, 0);
        (Piece::One(Bytes::Class { class, inverted }), rest)
    };
    Some(match pattern {
        [] => return None,
        [b'*', rest @ ..] => (Piece::Star, rest),
        [b'?', rest @ ..] => (Piece::One(Bytes::Any), rest),
        [b'[', b'^', rest @ ..] => class(rest, true),
        [b'[', rest @ ..] => class(rest, false),
        [b'\\', one, rest @ ..] | [one, rest @ ..] => (Piece::One(Bytes::Only(*one)), rest),
    })
}

/// Returns whether `byte` is in the class, and the rest after its closing bracket.
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

    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        Pattern::parse(pattern).unwrap().matches(text, || Ok(())).unwrap()
    }

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
    fn backslash_escapes_next_byte() {
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
    fn pattern_and_key_do_not_multiply() {
        // Both have the maximum length: with backtracking this takes a thousand million
        // comparisons.
        let (pattern, text) =
            ("*".to_owned() + &"a".repeat(LONGEST - 2) + "b", vec![b'a'; 1 << 20]);
        let mut checks = 0;
        let pattern = Pattern::parse(pattern.as_bytes()).unwrap();
        let found = pattern.matches(&text, || {
            checks += 1;
            Ok(())
        });
        assert_eq!((found, checks), (Ok(false), text.len() / STRIDE));
    }

    #[test]
    fn matching_ends_at_a_failed_check() {
        let pattern = Pattern::parse(b"*a").unwrap();
        let ended = pattern.matches(&[b'a'; 2 * STRIDE], || Err(Error::cancelled("enough")));
        assert_eq!(ended.unwrap_err().kind(), "CANCELLED");
    }

    #[test]
    fn length_of_a_pattern_is_bounded() {
        let longest = vec![b'?'; LONGEST];
        assert!(matches(&longest, &longest) && !matches(&longest, &longest[1..]));
        assert!(Pattern::parse(&[b'?'; LONGEST + 1]).is_err());
        // States in more than one word.
        let many = ["*a".repeat(100), "[^b]".repeat(200)].concat();
        assert!(matches(many.as_bytes(), &[b'a'; 300]) && !matches(many.as_bytes(), &[b'a'; 299]));
    }

    #[test]
    fn pattern_has_only_the_words_that_it_needs() {
        for (pieces, words) in [(0, 1), (1, 1), (WORD - 1, 1), (WORD, 2), (LONGEST, WORDS)] {
            let pattern = Pattern::parse(&b"a".repeat(pieces)).unwrap();
            assert_eq!((pattern.words, pattern.entered.len()), (words, 256 * words), "{pieces}");
        }
        assert_eq!(WORDS, LONGEST.div_ceil(WORD) + 1);
    }

    /// Returns whether a pattern of stars, question marks and letters matches, by definition.
    fn defined(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| defined(rest, &text[taken..])),
            ([b'?', pattern @ ..], [_, text @ ..]) => defined(pattern, text),
            ([one, pattern @ ..], [other, text @ ..]) => one == other && defined(pattern, text),
            ([], []) => true,
            _ => false,
        }
    }

    /// Matches as Redis does: it retries the last `*` at each place.
    fn matches_by_trying_again(pattern: &[u8], text: &[u8]) -> bool {
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
            let Some((rest, [_, fewer @ ..])) = star else { return false };
            star = Some((rest, fewer));
            (pattern, text) = (rest, fewer);
        }
    }

    /// Returns the rest of the pattern after its first piece, which is no star, has matched `byte`.
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
            [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
                (*literal == byte).then_some(rest)
            }
            [] => None,
        }
    }

    /// Generates bytes that are special in patterns, and a few that are not.
    fn bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
        let byte = prop::sample::select(b"*?[]^-\\abc\xff".to_vec());
        prop::collection::vec(byte, 0..length)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]
        #[test]
        fn agrees_with_trying_again(pattern in bytes(14), text in bytes(8)) {
            let expected = matches_by_trying_again(&pattern, &text);
            prop_assert_eq!(matches(&pattern, &text), expected);
        }

        #[test]
        fn agrees_with_trying_again_on_any_bytes(pattern: Vec<u8>, text: Vec<u8>) {
            let expected = matches_by_trying_again(&pattern, &text);
            prop_assert_eq!(matches(&pattern, &text), expected);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,9}", text in "[ab]{0,9}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(pattern, text), defined(pattern, text));
        }
    }
}
