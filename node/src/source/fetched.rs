//! Which files beside a PKGBUILD are downloads of an earlier `makepkg`, told by reading its text.
//!
//! makepkg puts what it fetches beside the PKGBUILD. Packing those files would make the tree, and so the job, depend on
//! whether somebody built it by hand before. The PKGBUILD is not run for this: only plain `name=value` lines are
//! followed, and only words inside `source…=( )` count; where that is not enough the file is simply packed.

use std::collections::{BTreeMap, BTreeSet};

/// File names that the `source` arrays of this PKGBUILD fetch from elsewhere.
pub(super) fn fetched_names(pkgbuild: &str) -> BTreeSet<String> {
    let variables = variables(pkgbuild);
    let mut fetched = BTreeSet::new();
    let mut local = BTreeSet::new();
    for word in source_words(pkgbuild) {
        for word in braces(&expand(&word, &variables)) {
            match remote_name(&word) {
                Some(name) => fetched.insert(name),
                None => local.insert(word),
            };
        }
    }
    fetched.retain(|name| !name.is_empty() && !name.contains('$') && !local.contains(name));
    fetched
}

/// Plain assignments at the beginning of a line, expanded from those above them.
fn variables(pkgbuild: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for line in pkgbuild.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            continue;
        }
        // An array of one word names the package base in most PKGBUILDs.
        let value = value.trim().trim_start_matches('(').trim_end_matches(')').trim();
        let value = value.trim_matches(['"', '\'']);
        if !value.contains(char::is_whitespace) {
            let value = expand(value, &variables);
            variables.insert(name.to_owned(), value);
        }
    }
    variables
}

/// The words between the brackets of every `source` array.
fn source_words(pkgbuild: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut inside = false;
    for line in pkgbuild.lines() {
        let line = line.split(" #").next().unwrap_or_default();
        let rest = if inside {
            line
        } else {
            match line.split_once("=(") {
                Some((name, rest)) if is_source_array(name) => rest,
                _ => continue,
            }
        };
        inside = !rest.contains(')');
        let rest = rest.split(')').next().unwrap_or_default();
        words.extend(
            rest.replace(['"', '\''], "")
                .split_whitespace()
                .map(str::to_owned),
        );
    }
    words
}

fn is_source_array(name: &str) -> bool {
    let name = name.trim_end_matches('+');
    name == "source" || name.starts_with("source_")
}

/// `$name` and `${name}`; everything else stays as it is.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let braced = after.strip_prefix('{').unwrap_or(after);
        let end = braced
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(braced.len());
        let (name, tail) = braced.split_at(end);
        let closed = after.len() == braced.len() || tail.starts_with('}');
        match variables.get(name) {
            Some(value) if closed => {
                out.push_str(value);
                rest = if after.len() == braced.len() {
                    tail
                } else {
                    &tail[1..]
                };
            }
            _ => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// `a{,.sig}` is `a` and `a.sig`; at most one pair of braces per word.
fn braces(word: &str) -> Vec<String> {
    let parts = word
        .split_once('{')
        .and_then(|(head, rest)| rest.split_once('}').map(|(list, tail)| (head, list, tail)));
    match parts {
        Some((head, list, tail)) if !head.ends_with('$') => list
            .split(',')
            .map(|item| format!("{head}{item}{tail}"))
            .collect(),
        _ => vec![word.to_owned()],
    }
}

/// The name under which makepkg stores a remote source (PKGBUILD(5), source); `None` for a local file.
fn remote_name(word: &str) -> Option<String> {
    if !word.contains("://") {
        return None;
    }
    if let Some((name, _)) = word.split_once("::") {
        return Some(name.to_owned());
    }
    let path = word.split('#').next().unwrap_or_default();
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_clone = word.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with("git")
            || ["svn", "hg", "bzr", "fossil"]
                .iter()
                .any(|vcs| scheme.starts_with(vcs))
    });
    let name = if is_clone {
        name.trim_end_matches(".git")
    } else {
        name
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pkgbuild: &str) -> Vec<String> {
        fetched_names(pkgbuild).into_iter().collect()
    }

    #[test]
    fn downloads_are_told_from_local_files_without_running_anything() {
        let pkgbuild = r#"
pkgname=foo
pkgver=1.2
_tag=v$pkgver
url=https://example.org/fix.patch
source=("https://example.org/$pkgname-${pkgver}.tar.gz"{,.sig}
        "renamed::https://example.org/x"   # https://example.org/comment
        fix.patch git+https://example.org/lib.git#tag=$_tag)
source_x86_64=(https://example.org/blob.bin)
"#;
        assert_eq!(
            names(pkgbuild),
            [
                "blob.bin",
                "foo-1.2.tar.gz",
                "foo-1.2.tar.gz.sig",
                "lib",
                "renamed"
            ]
        );
    }

    #[test]
    fn a_local_file_that_a_url_elsewhere_names_is_kept() {
        assert!(names("url=https://example.org/tool\nsource=(tool)\n").is_empty());
    }

    #[test]
    fn what_cannot_be_told_from_the_text_is_packed() {
        assert!(names("source=(https://example.org/$(date).gz https://example.org/${x/a/b})\n").is_empty());
    }
}
