//! What the build root contains besides the host: archives of the mesh, and what pacman is told of them.
//!
//! The database lists exactly the inputs, so that .BUILDINFO names what was mounted and nothing that the host happens to
//! have. It is written from parsed file names, never from the archives' content.

use std::{fmt::Write, fs, io};

use super::{
    attempt::InputArchive,
    layout::{Layout, create_folder},
};

/// A local database (`/var/lib/pacman/local`) of the form that libalpm 13 to 16 reads (version 9).
pub(super) fn write_database(layout: &Layout, inputs: &[InputArchive]) -> io::Result<()> {
    let local = layout.db().join("local");
    create_folder(&layout.db())?;
    create_folder(&local)?;
    fs::write(local.join("ALPM_DB_VERSION"), "9\n")?;
    for input in inputs {
        let folder = local.join(format!("{}-{}", input.file.name(), input.file.version()));
        create_folder(&folder)?;
        fs::write(folder.join("desc"), description(input))?;
        fs::write(folder.join("files"), "%FILES%\n")?;
    }
    Ok(())
}

fn description(input: &InputArchive) -> String {
    let mut text = String::new();
    let (name, version, arch) = (input.file.name(), input.file.version(), input.file.arch());
    for (key, value) in [
        ("NAME", name.as_str()),
        ("VERSION", version.as_str()),
        ("ARCH", arch.as_str()),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(text, "%{key}%\n{value}\n\n");
    }
    text
}
