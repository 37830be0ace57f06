//! Generates the stubs from `proto/ottla/v1/*.proto` and `proto/ottla/control/v1/*.proto`, without `protoc`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let public = compile(&root, "ottla/v1")?;
    // For reflection: clients that have no `.proto` ask the broker. What nodes say to each other is none of their business.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), public.encode_to_vec())?;
    let control = compile(&root, "ottla/control/v1")?;
    for descriptors in [public, control] {
        tonic_prost_build::configure()
            // Keys, values and batches are slices of what came from the socket, never copies.
            .bytes(".")
            .btree_map(".")
            .compile_fds(descriptors)?;
    }
    Ok(())
}

/// All files of one package.
fn compile(root: &Path, package: &str) -> Result<FileDescriptorSet, Box<dyn Error>> {
    let mut files: Vec<PathBuf> = fs::read_dir(root.join(package))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    Ok(protox::compile(&files, [root])?)
}
