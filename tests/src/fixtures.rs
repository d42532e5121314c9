//! Things to build: the samples of `examples/`, and packages that a test writes itself.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of a sample in `examples/packages`.
pub fn sample(name: &str) -> PathBuf {
    repository_root().join("examples/packages").join(name)
}

/// All samples that build.
pub fn samples() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository_root().join("examples/packages")).expect("the samples");
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// The sample that never builds.
pub fn failing_sample() -> PathBuf {
    repository_root().join("examples/packages-failing/always-fails")
}

/// The root of this repository.
pub fn repository_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is a folder of the repository")
}

/// Writes a package `name` of version 1-1 for any architecture below `dir`; `lines` stand after the common ones and may
/// replace them.
pub fn package(dir: &Path, name: &str, lines: &str) -> PathBuf {
    let folder = dir.join("sources").join(name);
    std::fs::create_dir_all(&folder).expect("a folder for a PKGBUILD");
    let text = format!(
        "pkgname={name}\npkgver=1\npkgrel=1\npkgdesc='Test package'\narch=(any)\nlicense=(MIT)\n\
         package() {{ install -d \"$pkgdir/usr/share/{name}\"; echo one > \"$pkgdir/usr/share/{name}/text\"; }}\n{lines}\n"
    );
    std::fs::write(folder.join("PKGBUILD"), text).expect("a PKGBUILD");
    folder
}

/// Makes the archive of a package by hand, as makepkg would: what somebody may upload. `lines` stand in its `.PKGINFO`.
pub fn archive(dir: &Path, base: &str, name: &str, version: &str, arch: &str, lines: &str) -> PathBuf {
    let folder = dir
        .join("archives")
        .join(format!("{name}-{version}-{arch}.{}", lines.len()));
    let share = folder.join("usr/share").join(name);
    std::fs::create_dir_all(&share).expect("a folder for a package");
    std::fs::write(share.join("version"), format!("{version}\n{lines}\n")).expect("a file for a package");
    let info = format!(
        "pkgname = {name}\npkgbase = {base}\npkgver = {version}\npkgdesc = Test package\nurl = https://example.invalid\n\
         builddate = 1795466205\npackager = bot <bot@example.invalid>\nsize = 14\narch = {arch}\nlicense = MIT\n{lines}\n"
    );
    std::fs::write(folder.join(".PKGINFO"), info).expect("a .PKGINFO");
    let path = dir
        .join("archives")
        .join(format!("{name}-{version}-{arch}.pkg.tar.zst"));
    let mut command = Command::new("bsdtar");
    command
        .args(["--zstd", "--uid", "0", "--gid", "0", "-cf"])
        .arg(&path);
    command.arg("-C").arg(&folder).args([".PKGINFO", "usr"]);
    crate::process::run(command, "", crate::cluster::COMMAND).ok();
    path
}
