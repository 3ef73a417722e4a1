//! Objects by the clients of OpenStack Swift, each a round trip that ends in a comparison.

use std::fs;

use anyhow::{Context, Result, ensure};
use archipelago_conformance::program::{Program, program};
use archipelago_conformance::site::{Site, content};

const PASSWORD: &str = "correct horse";

fn site() -> Result<Site> {
    let site = Site::new()?;
    site.cli.command(&["user", "create", "bob"]).input(PASSWORD).run()?;
    site.cli.command(&["user", "create", "eve"]).input(PASSWORD).run()?;
    Ok(site)
}

fn swift(site: &Site, user: &str) -> Result<Program> {
    let url = format!("{}/auth/v1.0", site.daemon.http());
    Ok(program("swift")?.args(["-A", &url, "-U", user, "-K", PASSWORD]))
}

#[test]
fn the_swift_program_puts_a_tree_in_segments_too_and_gets_it_back() -> Result<()> {
    let site = site()?;
    let (from, to) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let big = content(3 << 20);
    fs::create_dir_all(from.path().join("a b/deep"))?;
    fs::write(from.path().join("a b/deep/f+x%20.txt"), "small")?;
    fs::write(from.path().join("empty"), "")?;
    fs::write(from.path().join("big"), &big)?;
    let run = |arguments: &[&str]| -> Result<String> {
        let program = swift(&site, "bob:bob")?.args(arguments).folder(from.path());
        Ok(program.run()?.text())
    };
    run(&["upload", "tree", "."])?;
    run(&["upload", "--use-slo", "--segment-size", "1000000", "static", "big"])?;
    run(&["upload", "--segment-size", "1000000", "dynamic", "big"])?;
    run(&["download", "tree", "-D", &to.path().display().to_string()])?;
    ensure!(fs::read(to.path().join("a b/deep/f+x%20.txt"))? == b"small");
    ensure!(fs::read(to.path().join("empty"))?.is_empty());
    ensure!(fs::read(to.path().join("big"))? == big);
    for container in ["static", "dynamic"] {
        let file = to.path().join(container);
        run(&["download", container, "big", "-o", &file.display().to_string()])?;
        ensure!(fs::read(&file)? == big, "{container}");
    }
    run(&["post", "tree", "-m", "color:red", "-r", ".r:*"])?;
    let shown = run(&["stat", "tree"])?.to_lowercase();
    ensure!(shown.contains("meta color: red") && shown.contains("objects: 3"), "{shown}");
    run(&["copy", "static", "big", "-d", "/tree/copy"])?;
    run(&["download", "tree", "copy", "-o", &to.path().join("copy").display().to_string()])?;
    ensure!(fs::read(to.path().join("copy"))? == big);
    for container in ["tree", "static", "static_segments", "dynamic", "dynamic_segments"] {
        run(&["delete", container])?;
    }
    ensure!(run(&["list"])?.is_empty());
    Ok(())
}

#[test]
fn somebody_else_sees_nothing_until_let_in() -> Result<()> {
    let site = site()?;
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("f"), "secret")?;
    let bob = |arguments: &[&str]| -> Result<String> {
        let program = swift(&site, "bob:bob")?.args(arguments).folder(folder.path());
        Ok(program.run()?.text())
    };
    bob(&["upload", "box", "f"])?;
    let said = bob(&["auth"])?;
    let url = said.lines().find_map(|line| line.strip_prefix("export OS_STORAGE_URL="));
    let url = url.context("no address")?.trim_matches('"').to_owned();
    let eve = || -> Result<Program> {
        let get = ["--os-storage-url", &url, "download", "box", "f", "-o", "-"];
        Ok(swift(&site, "eve:eve")?.args(get).folder(folder.path()))
    };
    let refused = eve()?.output()?;
    ensure!(!refused.status.success() && refused.stderr.contains("403"), "{}", refused.stderr);
    bob(&["post", "box", "-r", "eve:eve"])?;
    ensure!(eve()?.run()?.text() == "secret");
    Ok(())
}

#[test]
fn the_openstack_program_stores_objects_with_a_token_of_keystone() -> Result<()> {
    let site = site()?;
    let folder = tempfile::tempdir()?;
    let big = content(1 << 20);
    fs::write(folder.path().join("big"), &big)?;
    let run = |arguments: &[&str]| -> Result<String> {
        let program = program("openstack")?
            .env("OS_AUTH_URL", format!("{}/identity/v3", site.daemon.http()))
            .env("OS_IDENTITY_API_VERSION", "3")
            .env("OS_USERNAME", "bob")
            .env("OS_PASSWORD", PASSWORD)
            .env("OS_PROJECT_NAME", "bob")
            .env("OS_USER_DOMAIN_NAME", "Default")
            .env("OS_PROJECT_DOMAIN_NAME", "Default")
            .args(arguments)
            .folder(folder.path());
        Ok(program.run()?.text())
    };
    run(&["container", "create", "box"])?;
    run(&["object", "create", "box", "big"])?;
    run(&["object", "save", "box", "big", "--file", "back"])?;
    ensure!(fs::read(folder.path().join("back"))? == big);
    let names = run(&["object", "list", "box", "-f", "value"])?;
    ensure!(names.trim() == "big", "{names}");
    run(&["container", "delete", "-r", "box"])?;
    ensure!(run(&["container", "list", "-f", "value"])?.trim().is_empty());
    Ok(())
}
