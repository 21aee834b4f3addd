//! Statistics over several rounds.

use std::fmt;

/// The median and the range of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The minimum.
    pub least: f64,
    /// The maximum.
    pub most: f64,
}

/// Returns the spread of some figures; `None` without any.
pub fn spread(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    Some(Spread { median: f64::midpoint(low, high), least, most })
}

/// Returns the spread of the ratios within each round.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Spread> {
    let pairs = ours.iter().zip(theirs).filter(|(_, theirs)| **theirs > 0.0);
    spread(pairs.map(|(ours, theirs)| ours / theirs))
}

/// Formats a figure with its significant digits.
pub fn short(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".into(),
        size if size >= 10_000.0 => grouped((figure / 100.0).round() as i64 * 100),
        size if size >= 1000.0 => grouped(figure.round() as i64),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

/// Formats an integer with thousands separators.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({}–{})", short(self.median), short(self.least), short(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_middle() {
        let of = |figures: &[f64]| spread(figures.iter().copied());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(of(&[4.0, 1.0]).unwrap().median, 2.5);
    }

    #[test]
    fn ratios_are_of_one_round() {
        let ratio = ratio(&[10.0, 100.0, 5.0], &[5.0, 50.0, 0.0]).unwrap();
        assert_eq!(ratio, Spread { median: 2.0, least: 2.0, most: 2.0 });
    }

    #[test]
    fn figures_are_short() {
        for (figure, text) in [
            (0.0, "0"),
            (0.012_34, "0.012"),
            (0.987, "0.99"),
            (12.345, "12.3"),
            (123.45, "123"),
            (1234.5, "1,235"),
            (1_234_567.0, "1,234,600"),
        ] {
            assert_eq!(short(figure), text);
        }
        assert_eq!(grouped(-1_000_000), "-1,000,000");
    }
}
