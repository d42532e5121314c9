//! Reads `.PKGINFO` leniently in form and strictly in what becomes a name.
//!
//! Unknown keys, comments and odd spacing pass, as they do in repo-add and libalpm. What identifies the
//! package must be said exactly once and parse as the mesh's names, because it becomes part of paths.

use std::str::FromStr;

use pacmesh_protocol::names::{Architecture, NameError, PackageName, PackageVersion};

/// The keys of `.PKGINFO` that a database entry is made of (`PKGBUILD(5)`, makepkg's `write_pkginfo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PkgInfo {
    pub(super) name: PackageName,
    pub(super) base: PackageName,
    pub(super) version: PackageVersion,
    pub(super) arch: Architecture,
    pub(super) fields: Fields,
}

/// What does not identify the package.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) description: String,
    pub(super) url: String,
    pub(super) packager: String,
    pub(super) build_date: i64,
    pub(super) installed_size: u64,
    pub(super) groups: Vec<String>,
    pub(super) licenses: Vec<String>,
    pub(super) replaces: Vec<String>,
    pub(super) conflicts: Vec<String>,
    pub(super) provides: Vec<String>,
    pub(super) depends: Vec<String>,
    pub(super) optdepends: Vec<String>,
    pub(super) makedepends: Vec<String>,
    pub(super) checkdepends: Vec<String>,
}

/// What is wrong with a `.PKGINFO`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum PkgInfoFault {
    /// The bytes are no text.
    #[error(".PKGINFO is not UTF-8")]
    NotText,
    /// A value carries a character that would corrupt lists and terminals.
    #[error(".PKGINFO has a control character in '{0}'")]
    Control(String),
    /// A key that names the package is there twice.
    #[error(".PKGINFO says '{0}' more than once")]
    Repeated(&'static str),
    /// A key that names the package is missing.
    #[error(".PKGINFO does not say '{0}'")]
    Missing(&'static str),
    /// A key that names the package has a value that is no name.
    #[error("the {0} in .PKGINFO is refused")]
    Name(&'static str, #[source] NameError),
    /// A value should be a number.
    #[error(".PKGINFO has {key} = '{value}', which is no number")]
    Number {
        /// The key.
        key: &'static str,
        /// The value as written.
        value: String,
    },
}

/// The lines as they come, before the names are parsed.
#[derive(Debug, Default)]
struct Draft {
    name: String,
    base: String,
    version: String,
    arch: String,
    fields: Fields,
}

impl PkgInfo {
    /// Parses the content of `.PKGINFO`. A package without `pkgbase` is its own base.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PkgInfoFault> {
        let text = std::str::from_utf8(bytes).map_err(|_| PkgInfoFault::NotText)?;
        let mut draft = Draft::default();
        for line in text.split('\n') {
            let line = line.trim();
            if line.starts_with('#') {
                continue;
            }
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            draft.take(key.trim_end(), value)?;
        }
        let base = if draft.base.is_empty() {
            &draft.name
        } else {
            &draft.base
        };
        Ok(Self {
            name: name("pkgname", &draft.name)?,
            base: name("pkgbase", base)?,
            version: name("pkgver", &draft.version)?,
            arch: name("arch", &draft.arch)?,
            fields: draft.fields,
        })
    }
}

impl Draft {
    fn take(&mut self, key: &str, value: String) -> Result<(), PkgInfoFault> {
        if value.is_empty() {
            return Ok(());
        }
        if value.chars().any(char::is_control) {
            return Err(PkgInfoFault::Control(key.escape_default().to_string()));
        }
        let fields = &mut self.fields;
        match key {
            "pkgname" => once(&mut self.name, value, "pkgname")?,
            "pkgbase" => once(&mut self.base, value, "pkgbase")?,
            "pkgver" => once(&mut self.version, value, "pkgver")?,
            "arch" => once(&mut self.arch, value, "arch")?,
            "pkgdesc" => fields.description = value,
            "url" => fields.url = value,
            "packager" => fields.packager = value,
            "builddate" => fields.build_date = number("builddate", value)?,
            "size" => fields.installed_size = number("size", value)?,
            "group" => fields.groups.push(value),
            "license" => fields.licenses.push(value),
            "replaces" => fields.replaces.push(value),
            "conflict" => fields.conflicts.push(value),
            "provides" => fields.provides.push(value),
            "depend" => fields.depends.push(value),
            "optdepend" => fields.optdepends.push(value),
            "makedepend" => fields.makedepends.push(value),
            "checkdepend" => fields.checkdepends.push(value),
            _ => {}
        }
        Ok(())
    }
}

fn once(slot: &mut String, value: String, key: &'static str) -> Result<(), PkgInfoFault> {
    if !slot.is_empty() {
        return Err(PkgInfoFault::Repeated(key));
    }
    *slot = value;
    Ok(())
}

fn number<T: FromStr>(key: &'static str, value: String) -> Result<T, PkgInfoFault> {
    value.parse().map_err(|_| PkgInfoFault::Number { key, value })
}

fn name<T: FromStr<Err = NameError>>(key: &'static str, value: &str) -> Result<T, PkgInfoFault> {
    if value.is_empty() {
        return Err(PkgInfoFault::Missing(key));
    }
    value.parse().map_err(|error| PkgInfoFault::Name(key, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "# made by hand\npkgname = a-b\npkgver = 1:2.0-3\narch = any\n";

    #[test]
    fn spacing_comments_and_unknown_keys_do_not_matter() {
        let text = format!(
            "{SMALL}pkgdesc =  two\t words \nxdata = pkgtype=pkg\nurl = https://x/?a=b=c\nsize=7\nnonsense\n"
        );
        let info = PkgInfo::parse(text.as_bytes()).unwrap();
        assert_eq!(info.fields.description, "two words");
        assert_eq!(info.fields.url, "https://x/?a=b=c");
        assert_eq!((info.fields.installed_size, info.base.as_str()), (7, "a-b"));
    }

    #[test]
    fn an_empty_value_is_as_good_as_none() {
        let info = PkgInfo::parse(format!("{SMALL}depend = \nurl =\n").as_bytes()).unwrap();
        assert!(info.fields.depends.is_empty() && info.fields.url.is_empty());
    }

    #[test]
    fn what_identifies_the_package_is_said_once_and_well() {
        let cases = [
            ("pkgname = other\n", PkgInfoFault::Repeated("pkgname")),
            ("arch = any\n", PkgInfoFault::Repeated("arch")),
            ("pkgdesc = a\u{1b}[2J\n", PkgInfoFault::Control("pkgdesc".into())),
        ];
        for (more, fault) in cases {
            assert_eq!(PkgInfo::parse(format!("{SMALL}{more}").as_bytes()), Err(fault));
        }
        assert_eq!(
            PkgInfo::parse(b"pkgver = 1-1\narch = any\n"),
            Err(PkgInfoFault::Missing("pkgname"))
        );
        assert_eq!(PkgInfo::parse(b"\xff"), Err(PkgInfoFault::NotText));
    }

    #[test]
    fn inv7_a_name_that_could_be_a_path_is_refused() {
        for (name, version, arch) in [
            ("../x", "1-1", "any"),
            (".x", "1-1", "any"),
            ("a/b", "1-1", "any"),
            ("a", "../1-1", "any"),
            ("a", "1", "any"),
            ("a", "1-1", "x/../y"),
        ] {
            let text = format!("pkgname = {name}\npkgver = {version}\narch = {arch}\n");
            let fault = PkgInfo::parse(text.as_bytes()).unwrap_err();
            assert!(matches!(fault, PkgInfoFault::Name(..)), "{text}: {fault}");
        }
    }
}
