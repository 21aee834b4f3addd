//! The values of a settings file.

use toml::de::DeValue;

/// Returns the text of a text or a number; `None` for any other value.
pub(super) fn scalar_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => {
            let text = number.as_str();
            match number.radix() {
                10 => Some(text.to_owned()),
                radix => i64::from_str_radix(text, radix).ok().map(|number| number.to_string()),
            }
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

/// Returns the text of a text or a number, or the problem with another value of this key.
pub(super) fn scalar(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    scalar_text(value)
        .ok_or_else(|| format!("'{key}' takes text or a number, not {}", describe_kind(value)))
}

/// Returns the kind of a value, for messages.
pub(super) fn describe_kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
