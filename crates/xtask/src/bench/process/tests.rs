use super::*;

#[test]
fn fields_are_counted_from_behind_the_name() {
    let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 30 20 0";
    assert_eq!(ticks(stat, [11, 12]).unwrap(), 3.0);
    assert_eq!(ticks(stat, [13, 14]).unwrap(), 0.5);
    assert!(ticks("7 (x) S 1", [11, 12]).is_err());
}

#[test]
fn memory_is_found_by_its_whole_name() {
    let status = "VmHWM:\t  2048 kB\nVmRSS:\t   512 kB\n";
    assert_eq!(kib(status, "VmRSS"), Some(512.0));
    assert_eq!(kib(status, "Vm"), None);
}

#[test]
fn a_folder_holds_what_its_files_hold() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/file"), vec![1; 100_000]).unwrap();
    let bytes = folder_bytes(folder.path()).unwrap();
    assert!((100_000..200_000).contains(&bytes), "{bytes}");
}
