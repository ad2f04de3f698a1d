//! Files of a test.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// A temporary folder that nobody else uses; it ends with this value.
pub struct Folder(PathBuf);

impl Folder {
    /// With this in its name.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let path = crate::own_temporary_path(name);
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it, and returns where that is.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::write(&path, contents).with_context(|| path.display().to_string())?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
