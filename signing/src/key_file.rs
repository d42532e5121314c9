//! What stands in a secret file: a heading with kind and version, then `name value` lines in a fixed order.
//!
//! Text, so that a person who restores a backup sees what a file is; strict, so that a damaged file is noticed
//! before a key is made of it.

use std::path::Path;

use zeroize::Zeroizing;

use crate::secret::{self, SecretError, SecretsDir, Seed};

/// A kind of key with its file name, heading and the fields that follow the seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyFile {
    /// The name in the secrets directory.
    pub(crate) name: &'static str,
    /// The word for people and for the heading.
    pub(crate) kind: &'static str,
    /// Names of the fields after `seed`.
    pub(crate) fields: &'static [&'static str],
}

/// The content of a key file.
#[derive(Debug)]
pub(crate) struct KeyContent {
    /// The secret.
    pub(crate) seed: Seed,
    /// The values of [`KeyFile::fields`], in their order.
    pub(crate) fields: Vec<String>,
}

impl KeyFile {
    /// Reads the key; `None` when there is none.
    pub(crate) fn load(&self, dir: &SecretsDir) -> Result<Option<KeyContent>, SecretError> {
        self.load_path(&dir.path_of(self.name))
    }

    /// Reads the key from a file of any name; `None` when there is none.
    pub(crate) fn load_path(&self, path: &Path) -> Result<Option<KeyContent>, SecretError> {
        let Some(bytes) = secret::load_file(path)? else {
            return Ok(None);
        };
        let damaged = |reason| SecretError::Damaged {
            path: path.to_owned(),
            kind: self.kind,
            reason,
        };
        self.parse(&bytes).map(Some).map_err(damaged)
    }

    /// Writes the key; one that is there already stays and is an error.
    pub(crate) fn create(&self, dir: &SecretsDir, content: &KeyContent) -> Result<(), SecretError> {
        dir.create(self.name, self.render(content).as_bytes())
    }

    /// Reads the key, or writes the one that `make` gives. Of two first starts at once the first to write wins, and
    /// both go on with its key.
    pub(crate) fn load_or_create<E: From<SecretError>>(
        &self,
        dir: &SecretsDir,
        make: impl FnOnce() -> Result<KeyContent, E>,
    ) -> Result<KeyContent, E> {
        if let Some(content) = self.load(dir)? {
            return Ok(content);
        }
        let made = make()?;
        match self.create(dir, &made) {
            Ok(()) => Ok(made),
            Err(exists @ SecretError::Exists { .. }) => Ok(self.load(dir)?.ok_or(exists)?),
            Err(other) => Err(other.into()),
        }
    }

    /// The key as it stands in its file, for a backup.
    pub(crate) fn load_text(&self, dir: &SecretsDir) -> Result<Option<Zeroizing<Vec<u8>>>, SecretError> {
        let content = self.load(dir)?;
        Ok(content.map(|content| Zeroizing::new(self.render(&content).as_bytes().to_vec())))
    }

    /// The error for a file whose content does not fit.
    pub(crate) fn damaged(&self, dir: &SecretsDir, reason: &'static str) -> SecretError {
        SecretError::Damaged {
            path: dir.path_of(self.name),
            kind: self.kind,
            reason,
        }
    }

    fn heading(&self) -> String {
        format!("pacmesh {} key 1", self.kind)
    }

    fn render(&self, content: &KeyContent) -> Zeroizing<String> {
        let seed = Zeroizing::new(hex::encode(content.seed.expose()));
        let others: usize = content.fields.iter().map(|value| value.len() + 16).sum();
        let mut text = Zeroizing::new(String::with_capacity(256 + others));
        for part in [self.heading().as_str(), "\nseed ", seed.as_str(), "\n"] {
            text.push_str(part);
        }
        for (name, value) in self.fields.iter().zip(&content.fields) {
            for part in [name, " ", value.as_str(), "\n"] {
                text.push_str(part);
            }
        }
        text
    }

    pub(crate) fn parse(&self, bytes: &[u8]) -> Result<KeyContent, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not text")?;
        let mut lines = text.strip_suffix('\n').ok_or("cut short")?.split('\n');
        if lines.next() != Some(self.heading().as_str()) {
            return Err("another heading");
        }
        let mut seed = Zeroizing::new([0; 32]);
        let digits = lines
            .next()
            .and_then(|line| line.strip_prefix("seed "))
            .ok_or("no seed")?;
        hex::decode_to_slice(digits, seed.as_mut_slice()).map_err(|_| "a damaged seed")?;
        let mut fields = Vec::with_capacity(self.fields.len());
        for name in self.fields {
            let line = lines
                .next()
                .and_then(|line| line.strip_prefix(name))
                .ok_or("a missing line")?;
            fields.push(line.strip_prefix(' ').ok_or("a missing value")?.to_owned());
        }
        if lines.next().is_some() {
            return Err("lines that do not belong there");
        }
        Ok(KeyContent {
            seed: seed.into(),
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: KeyFile = KeyFile {
        name: "some.key",
        kind: "sample",
        fields: &["created", "user"],
    };

    fn text() -> String {
        format!(
            "pacmesh sample key 1\nseed {}\ncreated 7\nuser A <a@b>\n",
            "ab".repeat(32)
        )
    }

    #[test]
    fn a_key_file_is_read_as_it_was_written() {
        let content = FILE.parse(text().as_bytes()).unwrap();
        assert_eq!(content.seed.expose(), &[0xab; 32]);
        assert_eq!(content.fields, ["7", "A <a@b>"]);
        assert_eq!(FILE.render(&content).as_str(), text());
    }

    #[test]
    fn of_two_first_starts_at_once_both_take_the_key_that_was_written_first() {
        let home = tempfile::tempdir().unwrap();
        let dir = SecretsDir::open_or_create(home.path().join("secrets")).unwrap();
        let content = |byte| KeyContent {
            seed: Zeroizing::new([byte; 32]).into(),
            fields: vec!["7".to_owned(), "A".to_owned()],
        };
        let raced = FILE.load_or_create(&dir, || {
            FILE.create(&dir, &content(1))?;
            Ok::<_, SecretError>(content(2))
        });
        assert_eq!(raced.unwrap().seed.expose(), &[1; 32]);
        let later = FILE.load_or_create(&dir, || -> Result<_, SecretError> {
            unreachable!("there is a key")
        });
        assert_eq!(later.unwrap().seed.expose(), &[1; 32]);
    }

    #[test]
    fn what_is_not_exactly_a_key_file_is_refused() {
        let good = text();
        let bad = [
            good.replace("sample", "other"),
            good.replace("key 1", "key 2"),
            good.replace("abab", "abxx"),
            good.replace("seed ab", "seed "),
            good.replace("user", "uses"),
            good.replace("user ", "user"),
            format!("{good}more\n"),
            good.trim_end().to_owned(),
            String::new(),
        ];
        for text in bad {
            assert!(FILE.parse(text.as_bytes()).is_err(), "{text}");
        }
        for end in 0..good.len() {
            assert!(FILE.parse(&good.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    }
}
