use super::*;

#[test]
fn blocks_are_counted_once_and_zeros_never() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("1"), folder.path().join("2"));
    let (a, b, zero) = ([1; 4096], [2; 4096], [0; 4096]);
    fs::write(&one, [a, zero, a, b].concat()).unwrap();
    fs::write(&two, [&b[..], &zero, &[3; 10]].concat()).unwrap();
    let mut seen = HashSet::new();
    assert_eq!(count(&one, &mut seen).unwrap(), Blocks { data: 3 * 4096, new: 2 * 4096 });
    assert_eq!(count(&two, &mut seen).unwrap(), Blocks { data: 4106, new: 10 });
}

#[test]
fn files_of_one_package_stay_together() {
    let of = |path: &str| class(Path::new(path));
    assert_eq!(of("/usr/share/doc/a/x"), of("/usr/share/doc/b"));
}
