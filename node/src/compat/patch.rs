//! Patches: a variable or function of a PKGBUILD, or a whole diff.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// What it replaces; absent for a diff of everything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// A text, or a list of texts.
    pub value: PatchValue,
}

/// What a patch says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PatchValue {
    /// One text.
    Text(String),
    /// An array.
    List(Vec<String>),
}

impl Patch {
    /// A patch as it came: a text that is written as an array becomes one, other texts lose their quotes; functions and
    /// whole diffs stay as they are.
    pub fn read(value: Value) -> Result<Self, String> {
        let patch: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        let key = patch.key.filter(|key| !key.is_empty());
        let verbatim = key.as_deref().is_none_or(|key| key.ends_with("()"));
        let value = match patch.value {
            PatchValue::Text(text) if !verbatim => read_text(&text)?,
            value => value,
        };
        Ok(Self { key, value })
    }
}

fn read_text(text: &str) -> Result<PatchValue, String> {
    let trimmed = text.trim();
    let inside = |open, close| {
        trimmed
            .strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close))
    };
    if let Some(words) = inside('(', ')') {
        return shell_words(words).map(PatchValue::List);
    }
    if inside('[', ']').is_some() {
        return serde_json::from_str(trimmed)
            .map(PatchValue::List)
            .map_err(|error| format!("'{trimmed}' is not a list of texts: {error}"));
    }
    unquoted(text).map(PatchValue::Text)
}

/// Splits as a shell splits the words of an array (POSIX, "Quoting").
fn shell_words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), character) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, character) if character.is_whitespace() => words.extend(word.take()),
            (_, character) => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err(format!("a quote in '{text}' has no end"));
    }
    words.extend(word);
    Ok(words)
}

fn unquoted(text: &str) -> Result<String, String> {
    let (mut plain, mut quote) = (String::with_capacity(text.len()), None);
    for character in text.chars() {
        match quote {
            Some(open) if character == open => quote = None,
            None if matches!(character, '\'' | '"') => quote = Some(character),
            _ => plain.push(character),
        }
    }
    match quote {
        Some(_) => Err(format!("a quote in '{text}' has no end")),
        None => Ok(plain),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(key: &str, text: &str) -> Value {
        let patch = Patch::read(json!({"key": key, "value": text})).unwrap();
        serde_json::to_value(patch.value).unwrap()
    }

    #[test]
    fn texts_that_are_arrays_become_arrays() {
        assert_eq!(value("arch", "(a b)"), json!(["a", "b"]));
        assert_eq!(
            value("arch", "('a b' \"c\"d e\\ f '')"),
            json!(["a b", "cd", "e f", ""])
        );
        assert_eq!(value("arch", "()"), json!([]));
        assert_eq!(value("arch", r#"["a", "b"]"#), json!(["a", "b"]));
    }

    #[test]
    fn other_texts_lose_their_quotes_and_functions_stay() {
        assert_eq!(value("pkgver", "'1.0'"), json!("1.0"));
        assert_eq!(value("pkgdesc", "\"it's\""), json!("it's"));
        assert_eq!(value("build()", "{ make 'all'; }"), json!("{ make 'all'; }"));
        assert_eq!(value("", "--- a/PKGBUILD 'x"), json!("--- a/PKGBUILD 'x"));
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for wrong in [
            json!({}),
            json!({"key": "a"}),
            json!({"key": "a", "value": null}),
            json!({"key": "a", "value": 1}),
            json!({"key": "a", "value": "('x"}),
            json!({"key": "a", "value": "(x')"}),
            json!({"key": "a", "value": "[1]"}),
            json!([]),
        ] {
            assert!(Patch::read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
