use super::*;

fn volume(name: &str, size: u64, parent: Option<&str>) -> api::Volume {
    api::Volume {
        id: 7,
        name: name.to_owned(),
        size,
        created_ms: 1_795_203_334_000,
        parent: parent.map(str::to_owned),
        attached: Some(1),
        epoch: Some(3),
        snapshots: Some(2),
    }
}

#[test]
fn volumes_are_a_line_each() {
    let volumes = [volume("web", 40 << 30, Some("image:debian-12")), volume("scratch", 512, None)];
    let expected = "\
NAME       SIZE  SNAPSHOTS  ATTACHED  CREATED               PARENT
web      40 GiB          2         1  2026-11-20T19:35:34Z  image:debian-12
scratch   512 B          2         1  2026-11-20T19:35:34Z  -";
    assert_eq!(table(&volumes), expected);
}

#[test]
fn one_volume_is_a_fact_a_line() {
    let expected = "\
name       web
id         7
size       1 GiB (1073741824 bytes)
parent     -
snapshots  2
attached   1
created    2026-11-20T19:35:34Z";
    assert_eq!(view(&volume("web", 1 << 30, None)), expected);
}

#[test]
fn a_clone_names_its_source() {
    let text = created(&volume("web", 1 << 30, Some("snapshot:db@a")));
    assert_eq!(text, "created volume web: 1 GiB, a clone of snapshot:db@a");
}
