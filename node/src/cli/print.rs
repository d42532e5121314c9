//! Text and JSON on standard output; a closed pipe ends a command quietly.

use std::io::{IsTerminal, Write};

use comfy_table::{Table, TableStyle};
use serde::Serialize;

use super::Failure;

/// One line.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    Ok(writeln!(
        std::io::stdout().lock(),
        "{}",
        plain(&text.to_string())
    )?)
}

/// A text without what a terminal would obey: some of it was written by other machines.
pub(crate) fn plain(text: &str) -> String {
    let shown = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let replaced = text
        .chars()
        .map(|c| if shown(c) { c } else { char::REPLACEMENT_CHARACTER });
    replaced.collect()
}

/// Bytes as they are.
pub(crate) fn raw(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

/// One JSON value on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(serde_json::to_string(value)?)
}

/// A table without frames, which `awk` and people read alike.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(head.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for text in table.lines() {
        line(text.trim_end())?;
    }
    Ok(())
}

/// Whether somebody watches.
pub(crate) fn on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// The first digits of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv5_what_another_machine_says_moves_no_cursor() {
        assert_eq!(
            plain("a\tb\nc\u{1b}[2J\r\u{9b}m"),
            "a\tb\nc\u{fffd}[2J\u{fffd}\u{fffd}m"
        );
    }
}
