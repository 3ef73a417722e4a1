//! Volumes, clones and names, as `archipelago.md` section 7 derives them from
//! the original's behaviours.

use anyhow::Result;
use archipelago_conformance::nbd::{Failure, Kind, Request};
use archipelago_conformance::site::Site;

const MIB: usize = 1 << 20;

/// Its items 2 and 3: what the original's own end-to-end test did.
#[test]
fn a_thin_volume_keeps_its_bytes_through_a_restart_and_diverges_from_its_clone() -> Result<()> {
    let site = Site::with_volume("vol", "10G")?;
    let mut client = site.open("vol")?;
    assert_eq!(client.size(), 10 << 30);
    let beyond = client.all(&[Request::write(10 << 30, &[1; 512])]);
    assert!(matches!(beyond, Err(Failure::Refused(_))), "{beyond:?}");
    drop(client);
    site.write("vol", 5 << 30, &[1; MIB])?;

    let site = site.restart()?;
    assert_eq!(site.read("vol", 5 << 30, MIB as u32)?, [1; MIB]);
    site.cli.run(&["snapshot", "create", "vol@one"])?;
    site.cli.run(&["volume", "create", "clone", "--from", "snapshot:vol@one"])?;
    site.write("vol", 5 << 30, &[2; 4096])?;
    site.write("clone", (5 << 30) + 4096, &[3; 4096])?;

    let site = site.restart()?;
    let at = |export: &str| site.read(export, 5 << 30, 8192);
    assert_eq!(at("vol")?, [[2; 4096], [1; 4096]].concat());
    assert_eq!(at("clone")?, [[1; 4096], [3; 4096]].concat());
    assert_eq!(at("vol@one")?, [1; 8192]);
    Ok(())
}

#[test]
fn large_volumes_and_their_clones_cost_no_space() -> Result<()> {
    let site = Site::new()?;
    let before = site.cli.figure("physical")?;
    site.cli.run(&["volume", "create", "big", "--size", "64T"])?;
    let names: Vec<String> = (0..200).map(|at| format!("clone{at}")).collect();
    let mut arguments = vec!["volume", "create"];
    arguments.extend(names.iter().map(String::as_str));
    arguments.extend(["--from", "volume:big"]);
    site.cli.run(&arguments)?;
    let grown = site.cli.figure("physical")?.saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes for 201 empty volumes");
    assert_eq!(site.read("clone199", (64 << 40) - 4096, 4096)?, [0; 4096]);
    Ok(())
}

#[test]
fn a_clone_may_be_larger_and_never_smaller() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    site.write("vol", 0, &[7; 4096])?;
    site.cli.fails(&["volume", "create", "less", "--from", "volume:vol", "--size", "8M"])?;
    site.cli.run(&["volume", "create", "more", "--from", "volume:vol", "--size", "1T"])?;
    assert_eq!(site.read("more", 0, 8192)?, [[7; 4096], [0; 4096]].concat());
    assert_eq!(site.read("more", (1 << 40) - 4096, 4096)?, [0; 4096]);
    assert_eq!(site.cli.names(&["volume", "ls"])?, ["more", "vol"]);
    Ok(())
}

/// Its item 4.
#[test]
fn a_volume_made_again_under_an_old_name_shows_no_old_data() -> Result<()> {
    let mut site = Site::with_volume("vol", "16M")?;
    let old = site.volume("vol", "id")?;
    site.write("vol", 0, &[9; MIB])?;
    site.cli.run(&["volume", "rm", "vol"])?;
    site.open("vol").err().expect("a removed volume is not served");
    site.cli.run(&["volume", "create", "vol", "--size", "16M"])?;
    assert_ne!(site.volume("vol", "id")?, old);
    assert_eq!(site.read("vol", 0, MIB as u32)?, vec![0; MIB]);
    site.kill_and_restart()?;
    assert_eq!(site.read("vol", 0, MIB as u32)?, vec![0; MIB]);
    Ok(())
}

#[test]
fn a_renamed_volume_keeps_its_content_and_its_old_name_is_free() -> Result<()> {
    let mut site = Site::with_volume("one", "16M")?;
    let id = site.volume("one", "id")?;
    site.write("one", 0, &[1; 4096])?;
    site.cli.run(&["snapshot", "create", "one@s"])?;
    site.cli.run(&["volume", "rename", "one", "two"])?;
    assert_eq!(site.volume("two", "id")?, id);
    site.cli.fails(&["volume", "show", "one"])?;
    site.cli.run(&["volume", "create", "one", "--size", "16M"])?;
    site.write("two", 4096, &[2; 4096])?;
    site.kill_and_restart()?;
    assert_eq!(site.read("two", 0, 8192)?, [[1; 4096], [2; 4096]].concat());
    assert_eq!(site.read("two@s", 0, 8192)?, [[1; 4096], [0; 4096]].concat());
    assert_eq!(site.read("one", 0, 4096)?, [0; 4096]);
    Ok(())
}

#[test]
fn a_name_that_is_taken_fails_and_leaves_its_holder_untouched() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    site.write("vol", 0, &[5; 4096])?;
    site.cli.run(&["volume", "create", "other", "--size", "32M"])?;
    site.cli.run(&["snapshot", "create", "vol@s"])?;
    site.write("vol", 0, &[6; 4096])?;
    let said = site.cli.fails(&["volume", "create", "vol", "--size", "1G"])?;
    assert!(said.contains("vol"), "{said}");
    site.cli.fails(&["volume", "create", "vol", "--from", "volume:other"])?;
    site.cli.fails(&["volume", "rename", "other", "vol"])?;
    site.cli.fails(&["snapshot", "create", "vol@s"])?;
    assert_eq!(site.volume("vol", "size")?, 16 << 20);
    assert_eq!(site.volume("other", "size")?, 32 << 20);
    assert_eq!(site.read("vol", 0, 4096)?, [6; 4096]);
    assert_eq!(site.read("vol@s", 0, 4096)?, [5; 4096]);
    Ok(())
}

#[test]
fn several_volumes_are_made_all_or_none() -> Result<()> {
    let site = Site::with_volume("b", "16M")?;
    site.cli.fails(&["volume", "create", "a", "b", "c", "--size", "16M"])?;
    assert_eq!(site.cli.names(&["volume", "ls"])?, ["b"]);
    Ok(())
}

/// Its item 9.
#[test]
fn growth_reads_as_zeros_also_after_shrinking() -> Result<()> {
    let mut site = Site::with_volume("vol", "4M")?;
    site.write("vol", 0, &vec![1; 4 * MIB])?;
    site.cli.run(&["volume", "resize", "vol", "8M"])?;
    assert_eq!(site.read("vol", 4 << 20, 4 * MIB as u32)?, vec![0; 4 * MIB]);
    site.write("vol", 4 << 20, &vec![2; 4 * MIB])?;
    site.cli.refuses(&["volume", "resize", "vol", "1M"], 2)?;
    site.cli.run(&["volume", "resize", "vol", "1M", "--shrink"])?;
    assert_eq!(site.open("vol")?.size(), 1 << 20);
    site.detached("vol")?;
    site.cli.run(&["volume", "resize", "vol", "8M"])?;
    let expected = [vec![1; MIB], vec![0; 7 * MIB]].concat();
    assert!(site.read("vol", 0, 8 * MIB as u32)? == expected);
    site.kill_and_restart()?;
    assert!(site.read("vol", 0, 8 * MIB as u32)? == expected, "after the crash");
    Ok(())
}

/// Of its section 1.13: two opens, and writes of one range by many.
#[test]
fn two_clients_may_open_one_volume_and_write_the_same_range() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    let mut clients = Vec::new();
    for _ in 0..7 {
        clients.push(site.open("vol")?);
    }
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(move || {
                for _ in 0..20 {
                    client.all(&[Request::write(4096, &[4; 64 << 10])]).unwrap();
                }
                client.flush().unwrap();
            });
        }
    });
    assert_eq!(clients[0].read(0, 128 << 10)?[4096..4096 + (64 << 10)], [4; 64 << 10]);
    assert_eq!(clients[6].read(0, 4096)?, [0; 4096]);
    Ok(())
}

#[test]
fn a_volume_in_use_is_not_removed_nor_rolled_back() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    site.cli.run(&["snapshot", "create", "vol@s"])?;
    let mut client = site.open("vol")?;
    site.cli.fails(&["volume", "rm", "vol"])?;
    site.cli.fails(&["snapshot", "rollback", "vol@s"])?;
    client.all(&[Request::write(0, &[1; 4096])])?;
    assert_eq!(client.read(0, 4096)?, [1; 4096]);
    Ok(())
}

/// Its item 7, as far as one host shows it: nobody takes a volume from under its writer.
#[test]
fn a_volume_in_use_is_not_removed_by_force_either() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    let mut client = site.open("vol")?;
    site.cli.fails(&["volume", "rm", "vol", "--force"])?;
    client.all(&[Request::write(0, &[2; 4096]).durable()])?;
    assert_eq!(client.read(0, 4096)?, [2; 4096]);
    drop(client);
    site.detached("vol")?;
    site.cli.run(&["volume", "rm", "vol"])?;
    Ok(())
}

#[test]
fn removing_a_volume_with_snapshots_needs_force_and_spares_its_clones() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    site.write("vol", 0, &[8; 4096])?;
    site.cli.run(&["snapshot", "create", "vol@s"])?;
    site.cli.run(&["volume", "create", "clone", "--from", "snapshot:vol@s"])?;
    site.cli.fails(&["volume", "rm", "vol"])?;
    site.cli.run(&["volume", "rm", "vol", "--force"])?;
    assert_eq!(site.cli.names(&["volume", "ls"])?, ["clone"]);
    let site = site.restart()?;
    assert_eq!(site.read("clone", 0, 4096)?, [8; 4096]);
    Ok(())
}

#[test]
fn a_deep_chain_of_clones_reads_as_its_first() -> Result<()> {
    let site = Site::with_volume("v0", "16M")?;
    site.write("v0", 0, &[1; 4096])?;
    for at in 0..100 {
        let (from, to) = (format!("volume:v{at}"), format!("v{}", at + 1));
        site.cli.run(&["volume", "create", &to, "--from", &from])?;
    }
    site.write("v50", 4096, &[2; 4096])?;
    assert_eq!(site.read("v100", 0, 8192)?, [[1; 4096], [0; 4096]].concat());
    Ok(())
}

#[test]
fn zeros_and_trims_give_back_what_the_map_named() -> Result<()> {
    let site = Site::with_volume("vol", "16M")?;
    site.write("vol", 0, &vec![1; 8 * MIB])?;
    let mut client = site.open("vol")?;
    client.all(&[
        Request::plain(Kind::Trim, 0, 4 << 20),
        Request::plain(Kind::Zero, 4 << 20, 4 << 20),
    ])?;
    client.flush()?;
    assert_eq!(client.read(0, 8 << 20)?, vec![0; 8 * MIB]);
    Ok(())
}
