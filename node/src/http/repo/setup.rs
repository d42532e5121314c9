//! The page at `/`: what to write into pacman.conf, and which keys to trust.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pacmesh_protocol::ledger::kinds::GenerationKey;

/// What stands for this machine where the request does not say how it was reached.
const UNKNOWN_HOST: &str = "THIS-HOST:7480";

/// The page for the folders that are shown; `host` is the request's Host header.
pub(super) fn page(keys: &[GenerationKey], host: Option<&str>) -> String {
    let host = host.filter(|host| is_host(host)).unwrap_or(UNKNOWN_HOST);
    let repositories: BTreeSet<_> = keys.iter().map(|key| &key.repository).collect();
    if repositories.is_empty() {
        return "This is a pacmesh repository. Nothing was published yet.\n".to_owned();
    }
    let mut page = format!(
        "This is a pacmesh repository. To install from it:\n\n\
         1. Trust the keys that its packages are signed with. Compare the fingerprints that are shown with\n   \
            those of `pacmesh keys list` on a node before you sign them.\n\n\
         \x20   curl -O http://{host}/keyring.asc\n\
         \x20   gpg --show-keys keyring.asc\n\
         \x20   pacman-key --add keyring.asc\n\
         \x20   pacman-key --lsign-key FINGERPRINT\n\n\
         2. Append to /etc/pacman.conf, then run `pacman -Sy`:\n"
    );
    for repository in repositories {
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "\n{}",
            stanza(repository.as_str(), &format!("http://{host}"))
        );
    }
    page
}

/// The section of pacman.conf for one repository.
fn stanza(repository: &str, server: &str) -> String {
    format!("[{repository}]\nSigLevel = Required DatabaseOptional\nServer = {server}/$repo/$arch\n")
}

fn is_host(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(arch: &str) -> GenerationKey {
        GenerationKey {
            repository: "farm".parse().unwrap(),
            arch: arch.parse().unwrap(),
        }
    }

    #[test]
    fn each_repository_has_one_stanza_with_the_address_that_was_asked() {
        let page = page(&[key("x86_64"), key("aarch64")], Some("nas.local:7480"));
        assert_eq!(page.matches("[farm]\n").count(), 1);
        assert!(
            page.contains("Server = http://nas.local:7480/$repo/$arch\n"),
            "{page}"
        );
        assert!(page.contains("SigLevel = Required DatabaseOptional\n"));
    }

    #[test]
    fn a_host_that_is_none_is_not_repeated() {
        for host in ["<script>", "a b", "", &"x".repeat(300)] {
            assert!(page(&[key("any")], Some(host)).contains(UNKNOWN_HOST), "{host}");
        }
    }
}
