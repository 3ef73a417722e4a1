//! Facts about the real filesystem.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// A directory of its own for each test, removed at its end.
fn disk() -> (TempDir, SystemDisk) {
    (tempfile::tempdir().unwrap(), SystemDisk)
}

fn created(dir: &TempDir, name: &str) -> (PathBuf, Arc<dyn File>) {
    let path = dir.path().join(name);
    let file = SystemDisk.open(&path, Mode::CreateNew).unwrap();
    (path, file)
}

fn error_kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().unwrap().kind()
}

#[test]
fn what_was_written_in_parts_is_read_in_one() {
    let (dir, _) = disk();
    let (_, file) = created(&dir, "f");
    let parts = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")];
    file.write_all_at(2, &parts).unwrap();
    let mut read = [1; 8];
    assert_eq!(file.read_at(0, &mut read).unwrap(), 8);
    assert_eq!(&read, b"\0\0onetwo");
}

#[test]
fn more_parts_than_the_kernel_takes_are_all_written() {
    let (dir, _) = disk();
    let (_, file) = created(&dir, "f");
    let bytes: Vec<[u8; 2]> = (0..3000u16).map(u16::to_be_bytes).collect();
    let parts: Vec<IoSlice<'_>> = bytes.iter().map(|pair| IoSlice::new(pair)).collect();
    file.write_all_at(0, &parts).unwrap();
    let mut read = vec![0; 6000];
    assert_eq!(file.read_at(0, &mut read).unwrap(), 6000);
    assert_eq!(read, bytes.concat());
}

#[test]
fn writing_nothing_is_fine() {
    let (dir, _) = disk();
    let (_, file) = created(&dir, "f");
    file.write_all_at(7, &[]).unwrap();
    file.write_all_at(7, &[IoSlice::new(b"")]).unwrap();
    assert_eq!(file.len().unwrap(), 0);
}

#[test]
fn a_read_is_short_only_where_the_file_ends() {
    let (dir, _) = disk();
    let (_, file) = created(&dir, "f");
    file.write_all_at(0, &[IoSlice::new(b"abc")]).unwrap();
    let mut read = [0; 8];
    assert_eq!(file.read_at(1, &mut read).unwrap(), 2);
    assert_eq!(file.read_at(3, &mut read).unwrap(), 0);
    assert_eq!(file.read_at(300, &mut read).unwrap(), 0);
}

#[test]
fn create_new_refuses_a_name_that_is_taken() {
    let (dir, disk) = disk();
    let (path, _) = created(&dir, "f");
    assert_eq!(error_kind(disk.open(&path, Mode::CreateNew)), io::ErrorKind::AlreadyExists);
}

#[test]
fn read_and_write_do_not_create() {
    let (dir, disk) = disk();
    for mode in [Mode::Read, Mode::Write] {
        let result = disk.open(&dir.path().join("absent"), mode);
        assert_eq!(error_kind(result), io::ErrorKind::NotFound);
    }
}

#[test]
fn only_the_owner_may_read_a_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, _) = disk();
    let (path, _) = created(&dir, "f");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn allocate_grows_a_file_with_zeros() {
    let (dir, _) = disk();
    let (_, file) = created(&dir, "f");
    file.allocate(0, 8192).unwrap();
    file.allocate(0, 100).unwrap();
    assert_eq!(file.len().unwrap(), 8192);
    let mut read = [1; 16];
    assert_eq!(file.read_at(8176, &mut read).unwrap(), 16);
    assert_eq!(read, [0; 16]);
}

#[test]
fn set_len_cuts_a_file() {
    let (dir, _) = disk();
    let (_, file) = created(&dir, "f");
    file.allocate(0, 8192).unwrap();
    file.set_len(10).unwrap();
    file.sync_data().unwrap();
    assert_eq!(file.len().unwrap(), 10);
}

#[test]
fn missing_directories_are_made_on_the_way() {
    let (dir, disk) = disk();
    let deep = dir.path().join("a/b/c");
    disk.create_dir_all(&deep).unwrap();
    disk.create_dir_all(&deep).unwrap();
    let entry = |name: &str| Entry { name: name.into(), dir: true };
    assert_eq!(disk.list(dir.path()).unwrap(), [entry("a")]);
    assert_eq!(disk.list(&dir.path().join("a/b")).unwrap(), [entry("c")]);
}

#[test]
fn a_directory_cannot_take_the_place_of_a_file() {
    let (dir, disk) = disk();
    let (path, _) = created(&dir, "f");
    assert_eq!(error_kind(disk.create_dir_all(&path)), io::ErrorKind::NotADirectory);
    assert_eq!(error_kind(disk.create_dir_all(&path.join("x"))), io::ErrorKind::NotADirectory);
}

#[test]
fn a_list_is_sorted_and_tells_directories_from_files() {
    let (dir, disk) = disk();
    created(&dir, "b");
    created(&dir, "a");
    disk.create_dir_all(&dir.path().join("c")).unwrap();
    let names: Vec<(String, bool)> =
        disk.list(dir.path()).unwrap().into_iter().map(|entry| (entry.name, entry.dir)).collect();
    assert_eq!(names, [("a".into(), false), ("b".into(), false), ("c".into(), true)]);
}

#[test]
fn a_removed_file_is_readable_through_an_open_handle() {
    let (dir, disk) = disk();
    let (path, file) = created(&dir, "f");
    file.write_all_at(0, &[IoSlice::new(b"abc")]).unwrap();
    disk.remove_file(&path).unwrap();
    disk.sync_dir(dir.path()).unwrap();
    assert_eq!(error_kind(disk.remove_file(&path)), io::ErrorKind::NotFound);
    assert_eq!(file.read_at(0, &mut [0; 3]).unwrap(), 3);
}

#[test]
fn a_rename_replaces_what_had_the_name() {
    let (dir, disk) = disk();
    let (from, file) = created(&dir, "from");
    let (to, _) = created(&dir, "to");
    file.write_all_at(0, &[IoSlice::new(b"new")]).unwrap();
    disk.rename(&from, &to).unwrap();
    assert_eq!(disk.open(&to, Mode::Read).unwrap().len().unwrap(), 3);
    assert_eq!(error_kind(disk.open(&from, Mode::Read)), io::ErrorKind::NotFound);
}

#[test]
fn a_lock_is_held_until_it_is_dropped() {
    let (dir, disk) = disk();
    let path = dir.path().join("LOCK");
    let held = disk.lock(&path).unwrap();
    assert_eq!(error_kind(disk.lock(&path)), io::ErrorKind::WouldBlock);
    drop(held);
    disk.lock(&path).unwrap();
}

#[test]
fn free_space_is_no_more_than_all_of_it() {
    let (dir, disk) = disk();
    let space = disk.space(dir.path()).unwrap();
    assert!(space.total > 0 && space.free <= space.total);
}
