//! x
mod key_file;
pub mod openpgp;
pub mod secret;
