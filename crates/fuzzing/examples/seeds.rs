//! Writes the seeds of all targets to `fuzz/corpus`, beside what fuzzing has found.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for seed in archipelago_fuzzing::seeds::all() {
        let folder = corpus.join(seed.target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(&seed.name), &seed.bytes)?;
        println!("{}/{}: {} bytes", seed.target, seed.name, seed.bytes.len());
    }
    Ok(())
}
