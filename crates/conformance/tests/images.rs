//! Disk images in and out, and files, which are disks too.

use anyhow::Result;
use archipelago_conformance::program::program;
use archipelago_conformance::site::{Site, random, same, sparse_file};
use archipelago_conformance::stamp::Chance;

const SIZE: u64 = 32 << 20;

/// A raw file and the same in another format.
fn image(site: &Site, format: &str, more: &[&str]) -> Result<(String, String)> {
    let (raw, image) = (site.text("raw"), site.text(&format!("image.{format}")));
    sparse_file(raw.as_ref(), SIZE, 5)?;
    let convert = ["convert", "-f", "raw", "-O", format];
    program("qemu-img")?.args(convert).args(more).args([&raw, &image]).run()?;
    Ok((raw, image))
}

fn goes_in_and_out(format: &str, more: &[&str]) -> Result<()> {
    let site = Site::new()?;
    let (raw, image) = image(&site, format, more)?;
    site.cli.run(&["image", "import", &image, "debian"])?;
    let shown = site.cli.json(&["image", "show", "debian"])?;
    assert_eq!(shown["format"], format);
    assert_eq!(shown["size"], SIZE);
    same(("raw", &raw), ("raw", &site.daemon.uri("image:debian")))?;
    for out in ["raw", "qcow2"] {
        let file = site.text(&format!("out.{out}"));
        site.cli.run(&["image", "export", "debian", &file, "--format", out])?;
        same(("raw", &raw), (out, &file))?;
    }
    Ok(())
}

#[test]
fn a_raw_image_goes_in_and_out() -> Result<()> {
    goes_in_and_out("raw", &[])
}

#[test]
fn a_qcow2_image_goes_in_and_out() -> Result<()> {
    goes_in_and_out("qcow2", &[])
}

#[test]
fn a_compressed_qcow2_image_goes_in_and_out() -> Result<()> {
    goes_in_and_out("qcow2", &["-c"])
}

#[test]
fn a_vmdk_image_goes_in_and_out() -> Result<()> {
    goes_in_and_out("vmdk", &[])
}

#[test]
fn a_vdi_image_goes_in_and_out() -> Result<()> {
    goes_in_and_out("vdi", &[])
}

#[test]
fn a_vhdx_image_goes_in_and_out() -> Result<()> {
    goes_in_and_out("vhdx", &[])
}

#[test]
fn an_image_comes_in_from_standard_input() -> Result<()> {
    let site = Site::new()?;
    let (raw, image) = image(&site, "qcow2", &[])?;
    let import = ["image", "import", "-", "piped"];
    site.cli.command(&import).input(std::fs::read(&image)?).run()?;
    same(("raw", &raw), ("raw", &site.daemon.uri("image:piped")))
}

#[test]
fn the_same_image_again_adds_almost_nothing_to_the_store() -> Result<()> {
    let site = Site::new()?;
    let (raw, image) = image(&site, "qcow2", &[])?;
    site.cli.run(&["image", "import", &image, "one"])?;
    let once = site.cli.figure("physical")?;
    site.cli.run(&["image", "import", &image, "two"])?;
    site.cli.run(&["image", "import", &raw, "three", "--format", "raw"])?;
    let grown = site.cli.figure("physical")?.saturating_sub(once);
    assert!(grown < SIZE / 50, "{grown} bytes more");
    same(("raw", &raw), ("raw", &site.daemon.uri("image:three")))
}

#[test]
fn an_exported_file_is_sparse_where_the_disk_is() -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let site = Site::with_volume("big", "100G")?;
    site.write("big", 50 << 30, &random(&mut Chance::new(6), 1 << 20))?;
    let file = site.text("out.img");
    site.cli.run(&["image", "export", "volume:big", &file, "--format", "raw"])?;
    let metadata = std::fs::metadata(&file)?;
    assert_eq!(metadata.len(), 100 << 30);
    assert!(metadata.blocks() * 512 < 4 << 20, "{} blocks", metadata.blocks());
    Ok(())
}

#[test]
fn a_volume_of_an_image_is_made_at_once_and_outlives_the_image() -> Result<()> {
    let site = Site::new()?;
    let (raw, image) = image(&site, "qcow2", &[])?;
    site.cli.run(&["image", "import", &image, "debian"])?;
    site.cli.run(&["volume", "create", "web", "--from", "image:debian"])?;
    site.cli.run(&["image", "rm", "debian"])?;
    let site = site.restart()?;
    same(("raw", &raw), ("raw", &site.daemon.uri("web")))
}

#[test]
fn a_file_is_a_disk_and_comes_back_byte_for_byte() -> Result<()> {
    let site = Site::new()?;
    let (raw, back) = (site.text("raw"), site.text("back"));
    std::fs::write(&raw, random(&mut Chance::new(7), 3 << 20))?;
    site.cli.run(&["file", "put", &raw, "disks/a/b.img"])?;
    site.cli.run(&["file", "get", "disks/a/b.img", &back])?;
    assert!(std::fs::read(&raw)? == std::fs::read(&back)?);
    same(("raw", &raw), ("raw", &site.daemon.uri("file:disks/a/b.img")))?;
    site.cli.run(&["volume", "create", "web", "--from", "file:disks/a/b.img"])?;
    same(("raw", &raw), ("raw", &site.daemon.uri("web")))
}

#[test]
fn a_truncated_image_is_refused_and_leaves_nothing() -> Result<()> {
    let site = Site::new()?;
    let (_, image) = image(&site, "qcow2", &[])?;
    let whole = std::fs::read(&image)?;
    for keep in [10, 100, 70_000, whole.len() / 2, whole.len() - 70_000] {
        std::fs::write(&image, &whole[..keep])?;
        let import = ["image", "import", &image, "cut", "--format", "qcow2"];
        site.cli.fails(&import)?;
        assert!(site.cli.names(&["image", "ls"])?.is_empty(), "{keep} bytes made an image");
    }
    std::fs::write(&image, &whole)?;
    site.cli.run(&["image", "import", &image, "cut"])?;
    Ok(())
}

/// A bit in the data is nobody's to notice; one in the tables must do no harm.
#[test]
fn an_image_with_flipped_bits_is_refused_or_read_and_hurts_nothing() -> Result<()> {
    let site = Site::new()?;
    let (raw, image) = image(&site, "qcow2", &[])?;
    site.cli.run(&["image", "import", &image, "good"])?;
    let whole = std::fs::read(&image)?;
    let mut chance = Chance::new(8);
    let mut refused = 0;
    for at in 0..40 {
        let mut bytes = whole.clone();
        // The header first, then the tables that follow it.
        let end = if at < 20 { 104 } else { 5 << 16 };
        let position = chance.below(end) as usize;
        bytes[position] ^= 1 << chance.below(8);
        std::fs::write(&image, &bytes)?;
        let import = ["image", "import", &image, "bad", "--format", "qcow2"];
        let output = site.cli.command(&import).output()?;
        assert!(!output.stderr.contains("panicked"), "byte {position}: {}", output.stderr);
        match output.status.code() {
            Some(0) => site.cli.run(&["image", "rm", "bad"]).map(drop)?,
            Some(1) => refused += 1,
            _ => panic!("byte {position}: {}: {}", output.status, output.stderr),
        }
        assert_eq!(site.cli.names(&["image", "ls"])?, ["good"]);
    }
    assert!(refused > 0);
    same(("raw", &raw), ("raw", &site.daemon.uri("image:good")))
}

#[test]
fn an_image_larger_than_the_volume_is_refused() -> Result<()> {
    let site = Site::new()?;
    let (_, image) = image(&site, "qcow2", &[])?;
    site.cli.run(&["image", "import", &image, "debian"])?;
    let said =
        site.cli.fails(&["volume", "create", "web", "--from", "image:debian", "--size", "16M"])?;
    assert!(said.contains("debian") || said.contains("web"), "{said}");
    assert!(site.cli.names(&["volume", "ls"])?.is_empty());
    Ok(())
}

#[test]
fn an_image_that_names_a_file_of_the_machine_as_its_backing_is_refused() -> Result<()> {
    let site = Site::new()?;
    let (secret, image) = (site.text("secret"), site.text("evil.qcow2"));
    std::fs::write(&secret, random(&mut Chance::new(9), 1 << 20))?;
    let create = ["create", "-f", "qcow2", "-F", "raw", "-b", &secret, &image];
    program("qemu-img")?.args(create).run()?;
    site.cli.fails(&["image", "import", &image, "evil"])?;
    assert!(site.cli.names(&["image", "ls"])?.is_empty());
    Ok(())
}

/// The disk of a source as the server shows it as a file.
fn shown(site: &Site, source: &str, format: &str) -> Result<String> {
    let file = site.text(&format!("shown.{format}"));
    let url = format!("{}/v1/disk?source={source}&format={format}", site.daemon.http());
    program("curl")?.args(["--fail", "--silent", "--show-error", "--output", &file, &url]).run()?;
    Ok(file)
}

#[test]
fn any_disk_is_a_file_in_two_formats_of_which_nothing_is_stored() -> Result<()> {
    let site = Site::new()?;
    let (raw, image) = image(&site, "qcow2", &["-c"])?;
    site.cli.run(&["image", "import", &image, "debian"])?;
    site.cli.run(&["volume", "create", "web", "--from", "image:debian", "--size", "3G"])?;
    site.cli.run(&["snapshot", "create", "web@one"])?;
    site.cli.run(&["file", "put", &image, "images/debian.qcow2"])?;
    let before = site.cli.figure("physical")?;
    let sources = ["image:debian", "file:images/debian.qcow2", "volume:web", "snapshot:web@one"];
    for source in sources {
        for format in ["raw", "qcow2"] {
            let file = shown(&site, source, format)?;
            if format == "qcow2" {
                program("qemu-img")?.args(["check", &file]).run()?;
            }
            // What a clone has more of is zeros.
            program("qemu-img")?.args(["compare", "-F", format, "-f", "raw", &raw, &file]).run()?;
        }
    }
    assert!(site.cli.figure("physical")? < before + (8 << 20));
    Ok(())
}

#[test]
fn ranges_of_a_shown_file_put_together_are_the_file() -> Result<()> {
    let site = Site::new()?;
    let (raw, image) = image(&site, "qcow2", &[])?;
    site.cli.run(&["image", "import", &image, "debian"])?;
    let url = format!("{}/v1/disk?source=image:debian&format=qcow2", site.daemon.http());
    let mut bytes = Vec::new();
    for range in ["0-103", "104-70000", "70001-"] {
        let file = site.text("range");
        let curl =
            ["--fail", "--silent", "--show-error", "--range", range, "--output", &file, &url];
        program("curl")?.args(curl).run()?;
        bytes.extend(std::fs::read(&file)?);
    }
    std::fs::write(site.path("whole"), bytes)?;
    same(("raw", &raw), ("qcow2", &site.text("whole")))
}
