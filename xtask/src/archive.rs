//! Writes docker archives (the form of `docker save`), which containerd, Docker, podman and kind all import.
//!
//! One archive may hold several images that share layers. Equal inputs give equal bytes: entries are sorted, times are
//! zero. Owners and permission bits are kept. Only files, folders and symbolic links go in: device nodes and sockets are refused
//! by leaving them out, since a container gets its own.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A layer: a tar file and the digest of its bytes.
#[derive(Clone)]
pub struct Layer {
    file: PathBuf,
    digest: String,
}

/// An image: its names, its runtime configuration (`Entrypoint`, `Cmd`, `User`, ...) and its layers, lowest first.
pub struct Image {
    pub tags: Vec<String>,
    pub config: Value,
    pub layers: Vec<Layer>,
}

impl Layer {
    /// Packs a folder as the root of a layer. `file` is where the layer is kept.
    pub fn pack(folder: &Path, file: &Path) -> Result<Layer> {
        let out = Digesting { inner: BufWriter::new(File::create(file)?), digest: Sha256::new() };
        let mut tar = tar::Builder::new(out);
        add_folder(&mut tar, folder, Path::new("")).with_context(|| format!("packing {}", folder.display()))?;
        let mut out = tar.into_inner()?;
        out.flush()?;
        Ok(Layer { file: file.to_path_buf(), digest: format!("{:x}", out.digest.finalize()) })
    }

    fn path(&self) -> String {
        format!("{}/layer.tar", self.digest)
    }
}

/// Writes an archive of several images to `file`, complete or not at all.
pub fn write(file: &Path, images: &[Image]) -> Result<()> {
    let partial = file.with_extension("partial");
    let mut tar = tar::Builder::new(BufWriter::new(File::create(&partial)?));
    let mut layers = BTreeMap::new();
    let mut manifest = Vec::new();
    for image in images {
        let config = serde_json::to_vec(&image.configuration())?;
        let name = format!("{:x}.json", Sha256::digest(&config));
        add_bytes(&mut tar, &name, &config)?;
        let paths: Vec<String> = image.layers.iter().map(Layer::path).collect();
        manifest.push(json!({"Config": name, "RepoTags": image.tags, "Layers": paths}));
        layers.extend(image.layers.iter().map(|layer| (layer.path(), &layer.file)));
    }
    for (path, file) in layers {
        let mut header = header(0o644, tar::EntryType::Regular);
        header.set_size(file.metadata()?.len());
        tar.append_data(&mut header, path, BufReader::new(File::open(file)?))?;
    }
    add_bytes(&mut tar, "manifest.json", &serde_json::to_vec(&manifest)?)?;
    tar.into_inner()?.flush()?;
    fs::rename(partial, file)?;
    Ok(())
}

impl Image {
    /// The image configuration of the OCI image specification.
    fn configuration(&self) -> Value {
        let mut config = self.config.clone();
        if config["Env"].is_null() {
            config["Env"] = json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
        }
        let created = "1970-01-01T00:00:00Z";
        let digests: Vec<String> = self.layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect();
        let history: Vec<Value> =
            self.layers.iter().map(|_| json!({"created": created, "created_by": "cargo xtask"})).collect();
        json!({
            "architecture": architecture(), "os": "linux", "created": created, "config": config,
            "rootfs": {"type": "layers", "diff_ids": digests}, "history": history,
        })
    }
}

/// This machine's architecture by its OCI name: programs in an image were built here.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn add_folder<W: Write>(tar: &mut tar::Builder<W>, folder: &Path, below: &Path) -> Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), below.join(entry.file_name()));
        let metadata = path.symlink_metadata()?;
        let kind = metadata.file_type();
        let entry_type = if kind.is_dir() {
            tar::EntryType::Directory
        } else if kind.is_symlink() {
            tar::EntryType::Symlink
        } else if kind.is_file() {
            tar::EntryType::Regular
        } else {
            continue;
        };
        let mut header = header(metadata.mode() & 0o7777, entry_type);
        header.set_uid(metadata.uid().into());
        header.set_gid(metadata.gid().into());
        if kind.is_dir() {
            tar.append_data(&mut header, &name, io::empty())?;
            add_folder(tar, &path, &name)?;
        } else if kind.is_symlink() {
            tar.append_link(&mut header, &name, fs::read_link(&path)?)?;
        } else {
            header.set_size(metadata.len());
            tar.append_data(&mut header, &name, BufReader::new(File::open(&path)?))?;
        }
    }
    Ok(())
}

fn add_bytes<W: Write>(tar: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> Result<()> {
    let mut header = header(0o644, tar::EntryType::Regular);
    header.set_size(u64::try_from(bytes.len())?);
    tar.append_data(&mut header, name, bytes)?;
    Ok(())
}

fn header(mode: u32, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// Passes bytes on and takes their digest on the way.
struct Digesting<W> {
    inner: W,
    digest: Sha256,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The names of the images in an archive.
pub fn tags(file: &Path) -> Result<Vec<String>> {
    let mut archive = tar::Archive::new(BufReader::new(File::open(file)?));
    for entry in archive.entries()? {
        let entry = entry?;
        if entry.path()?.as_os_str() == "manifest.json" {
            let manifest: Vec<Value> = serde_json::from_reader(entry)?;
            let tags = manifest.iter().filter_map(|image| image["RepoTags"].as_array()).flatten();
            return Ok(tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect());
        }
    }
    bail!("{} is no docker archive: it has no manifest.json", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn archives_are_reproducible_and_keep_modes_links_and_shared_layers() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("tmp")).unwrap();
        fs::write(root.join("program"), "bytes").unwrap();
        fs::set_permissions(root.join("program"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        std::os::unix::fs::symlink("program", root.join("alias")).unwrap();

        let layer = Layer::pack(&root, &dir.path().join("layer")).unwrap();
        let again = Layer::pack(&root, &dir.path().join("again")).unwrap();
        assert_eq!(layer.digest, again.digest);

        let mut modes = Vec::new();
        for entry in tar::Archive::new(File::open(&layer.file).unwrap()).entries().unwrap() {
            let entry = entry.unwrap();
            modes.push((entry.path().unwrap().display().to_string(), entry.header().mode().unwrap()));
        }
        let expected = [("alias".to_owned(), 0o777), ("program".to_owned(), 0o4755), ("tmp".to_owned(), 0o1777)];
        assert_eq!(modes, expected);

        let image = |tag: &str| Image {
            tags: vec![tag.to_owned()],
            config: json!({"Cmd": [tag]}),
            layers: vec![layer.clone()],
        };
        let file = dir.path().join("images.tar");
        write(&file, &[image("a:1"), image("b:1")]).unwrap();
        assert_eq!(tags(&file).unwrap(), ["a:1", "b:1"]);
        let layers = tar::Archive::new(File::open(&file).unwrap())
            .entries()
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().unwrap().ends_with("layer.tar"))
            .count();
        assert_eq!(layers, 1, "a shared layer is written once");
    }
}
