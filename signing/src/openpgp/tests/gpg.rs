//! The real `gpg` in a home of its own. A machine without it fails the tests: what we sign is for gpg to read.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::openpgp::Certificate;

/// A gpg with an empty key ring. Its agent ends with it.
pub(super) struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub(super) fn new() -> Self {
        // TempDir makes it 0700, as gpg demands; short, because the agent's socket lives in it.
        Gpg {
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub(super) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Runs gpg without judging its exit.
    pub(super) fn output<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        Command::new("gpg")
            .args([
                "--batch",
                "--no-tty",
                "--yes",
                "--status-fd=1",
                "--pinentry-mode=loopback",
                "--passphrase=",
            ])
            .arg("--homedir")
            .arg(self.home.path())
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .expect("gpg must be installed for these tests")
    }

    /// Runs gpg, which must succeed; gives its standard output (with the status lines).
    pub(super) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Vec<u8> {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "gpg failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// As [`run`](Self::run), for text.
    pub(super) fn text<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        String::from_utf8_lossy(&self.run(arguments)).into_owned()
    }

    /// Makes a key; gives its fingerprint.
    pub(super) fn make_key(&self, user: &str, algorithm: &str, usage: &str, expires: &str) -> String {
        let status = self.text(&["--quick-gen-key", user, algorithm, usage, expires]);
        let created = status
            .lines()
            .find_map(|line| line.strip_prefix("[GNUPG:] KEY_CREATED "))
            .unwrap();
        created.split(' ').nth(1).unwrap().to_owned()
    }

    /// The exported certificate of a key.
    pub(super) fn certificate(&self, fingerprint: &str) -> Certificate {
        let path = self.home.path().join("exported");
        self.run(&["--output", path.to_str().unwrap(), "--export", fingerprint]);
        Certificate::parse(&std::fs::read(path).unwrap()).unwrap()
    }

    /// A detached signature by a key, with more options before `--detach-sign`.
    pub(super) fn sign(&self, fingerprint: &str, options: &[&str], data: &[u8]) -> Vec<u8> {
        let (data, signature) = (self.file("signed", data), self.home.path().join("signed.sig"));
        let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        arguments.extend(["--local-user", fingerprint, "--output"].map(OsStr::new));
        arguments.extend([
            signature.as_os_str(),
            OsStr::new("--detach-sign"),
            data.as_os_str(),
        ]);
        self.run(&arguments);
        std::fs::read(signature).unwrap()
    }

    /// Whether gpg calls this a good signature, and its status lines.
    pub(super) fn verify(&self, signature: &[u8], data: &[u8]) -> (bool, String) {
        let (data, signature) = (self.file("data", data), self.file("data.sig", signature));
        let output = self.output(&[OsStr::new("--verify"), signature.as_os_str(), data.as_os_str()]);
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    /// The revocation that gpg wrote when it made the key, ready for import.
    pub(super) fn prepared_revocation(&self, fingerprint: &str) -> PathBuf {
        let path = self
            .home
            .path()
            .join("openpgp-revocs.d")
            .join(format!("{fingerprint}.rev"));
        let text = std::fs::read_to_string(path)
            .unwrap()
            .replace("\n:-----BEGIN", "\n-----BEGIN");
        self.file("revocation", text.as_bytes())
    }

    pub(super) fn path(&self) -> &Path {
        self.home.path()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.path())
            .args(["--kill", "all"])
            .status();
    }
}
