//! Text and JSON on standard output; a closed pipe ends a command quietly.

use std::io::{IsTerminal, Write};

use comfy_table::{Table, TableStyle};
use serde::Serialize;

use super::Failure;

/// One line.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
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
