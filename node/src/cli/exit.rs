//! How a command ends: with a code and, on standard error, one line that says what to do.

use std::{io::Write, process::ExitCode};

use super::print;
use crate::{config::ConfigError, error::chain, home::HomeError, local::ClientError};

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit 1: it failed, and this is why.
    Failed(String),
    /// Exit 1, and everything was said already.
    Said,
    /// Exit 2: the words are wrong.
    Usage(String),
    /// Exit 3: no node answers.
    NoNode(String),
    /// Exit 4: the daemon stopped for good; started again it would do the same.
    Stopped(String),
    /// Exit 0: the reader of our output closed it (`pacmesh jobs | head`).
    Closed,
}

impl Failure {
    /// A failure out of an error, with all its causes in one line.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed(chain(error))
    }

    /// Says it, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (code, text) = match self {
            Self::Failed(text) => (1, text),
            Self::Said => return ExitCode::from(1),
            Self::Usage(text) => (2, text),
            Self::NoNode(text) => (3, text),
            Self::Stopped(text) => (4, text),
            Self::Closed => return ExitCode::SUCCESS,
        };
        // Nobody is left to be told where standard error is closed as well.
        let _ = writeln!(std::io::stderr(), "pacmesh: {}", print::plain(&text));
        ExitCode::from(code)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NoNode { .. } | ClientError::Denied { .. } => Self::NoNode(chain(&error)),
            other => Self::of(&other),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::of(&error)
        }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        Self::of(&error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::of(&error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::of(&error)
    }
}
