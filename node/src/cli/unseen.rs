//! What is typed and not shown: passphrases and passwords.

use std::io::{BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Failure;

/// Longest line that is read, in bytes.
const LINE_LIMIT: u64 = 4096;

/// One line: from the terminal, unseen, or from whatever standard input is.
pub(super) fn ask(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let input = std::io::stdin();
    let mut line = Zeroizing::new(String::new());
    if input.is_terminal() {
        write!(std::io::stderr(), "{prompt}")?;
        let unseen = Unseen::begin()?;
        let typed = input.lock().take(LINE_LIMIT).read_line(&mut line);
        drop(unseen);
        writeln!(std::io::stderr())?;
        typed?;
    } else {
        input.lock().take(LINE_LIMIT).read_line(&mut line)?;
    }
    let length = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(length);
    Ok(line)
}

/// The terminal shows nothing of what is typed as long as this lives.
struct Unseen(rustix::termios::Termios);

impl Unseen {
    fn begin() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // The terminal may be gone, and nobody is left to see anything then.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}
