//! Things to build: the samples of `examples/`, and packages that a test writes itself.

use std::path::{Path, PathBuf};

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
