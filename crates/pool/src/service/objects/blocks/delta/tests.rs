//! Facts about files that come and go by what differs.

use archipelago_format::stream::{Reader, Record, Writer};
use archipelago_model::AccountId;

use super::*;
use crate::testing::{Bench, noise};
use crate::{Collection, Versioning};

const BLOCK: usize = HASHED_BLOCK_BYTES as usize;

struct Files {
    bench: Bench,
    container: ContainerName,
    object: ObjectName,
}

impl Files {
    fn new() -> Self {
        let (container, object) = ("c".parse().unwrap(), "o".parse().unwrap());
        Self { bench: Bench::new(), container, object }
    }

    fn service(&self) -> &Service {
        &self.bench.service
    }

    /// Puts a file whole.
    fn put(&self, bytes: &[u8]) -> File {
        let mut stream = Vec::new();
        let header = Header { size: bytes.len() as u64, base: None, identity: None };
        let mut writer = Writer::new(&mut stream, &header).unwrap();
        writer.data(0, bytes).unwrap();
        writer.finish().unwrap();
        self.service()
            .file_put(&self.container, &self.object, None, &mut stream.as_slice())
            .unwrap()
    }

    fn which(&self, id: Option<FileId>) -> FileVersion<'_> {
        FileVersion { container: &self.container, object: &self.object, id }
    }

    fn read(&self) -> Vec<u8> {
        let content = self.service().file_open(self.which(None)).unwrap();
        let mut out = Vec::new();
        content.range(0, u64::MAX).read_to_end(&mut out).unwrap();
        out
    }

    /// Puts `bytes` as a difference of `told`, ranges of it, to `base`.
    fn try_delta(
        &self,
        base: FileId,
        bytes: &[u8],
        told: &[Range<usize>],
        hash: BlockHash,
    ) -> Result<File, Error> {
        let mut stream = Vec::new();
        let size = bytes.len() as u64;
        let header = Header { size, base: Some(base_of(base)), identity: None };
        let mut writer = Writer::new(&mut stream, &header).unwrap();
        for range in told {
            match bytes[range.clone()].iter().all(|byte| *byte == 0) {
                true => writer.zero(range.start as u64, range.len() as u64).unwrap(),
                false => writer.data(range.start as u64, &bytes[range.clone()]).unwrap(),
            }
        }
        writer.finish().unwrap();
        let (container, object) = (&self.container, &self.object);
        let put = DeltaPut { container, object, base, hash, sha256: None };
        self.service().file_put_delta(&put, &mut stream.as_slice())
    }

    #[track_caller]
    fn delta(&self, base: FileId, bytes: &[u8], told: &[Range<usize>]) -> File {
        let file = self.try_delta(base, bytes, told, hash_of(bytes)).unwrap();
        assert!(self.read() == bytes);
        let known = self.service().object_hashes(&[file.id]).unwrap();
        assert_eq!(known.get(&file.id), Some(&hash_of(bytes)), "its hashes are kept");
        file
    }
}

fn hash_of(bytes: &[u8]) -> BlockHash {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    BlockHash::of_file(&hasher.finish().unwrap())
}

#[test]
fn a_difference_makes_the_whole_file_and_stores_what_it_tells() {
    let files = Files::new();
    let mut bytes = noise(1, 3 * BLOCK + 777);
    let base = files.put(&bytes);
    let before = files.service().core.engine.counters().ingest_bytes;
    bytes[BLOCK + 4096..BLOCK + 12_288].copy_from_slice(&noise(2, 8192));
    let told = std::slice::from_ref(&(BLOCK + 4096..BLOCK + 12_288));
    let file = files.delta(base.id, &bytes, told);
    assert_eq!(file.size, bytes.len() as u64);
    let stored = files.service().core.engine.counters().ingest_bytes - before;
    assert!(stored <= 8192, "{stored}");
    assert_eq!(files.service().core.catalog.verify().unwrap(), Vec::<String>::new());
}

#[test]
fn a_difference_may_be_longer_or_shorter_than_its_base() {
    let files = Files::new();
    let long = noise(3, BLOCK + 10_000);
    let mut base = files.put(&long);
    // Shorter, in the middle of a block of 4 KiB, and of a sector.
    let short = &long[..5000];
    base = files.delta(base.id, short, std::slice::from_ref(&(4096..5000)));
    // Longer: what was cut off is not back.
    let mut zeros = short.to_vec();
    zeros.resize(BLOCK + 9000, 0);
    base = files.delta(base.id, &zeros, &[]);
    let mut grown = zeros;
    grown.extend(noise(4, 5000));
    let told = BLOCK + 8192..grown.len();
    base = files.delta(base.id, &grown, std::slice::from_ref(&told));
    base = files.delta(base.id, &[], &[]);
    files.delta(base.id, b"a", std::slice::from_ref(&(0..1)));
}

#[test]
fn a_shorter_difference_leaves_nothing_behind_its_end() {
    let files = Files::new();
    let long = noise(5, 10_000);
    let base = files.put(&long);
    // In another block and in the same as the end of the base.
    for len in [5000, 9000] {
        let short = &long[..len];
        let error = files.try_delta(base.id, short, &[], hash_of(short)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn zeros_at_a_shorter_end_leave_nothing_of_the_base_behind_it() {
    for tail in [1, 512, 4095] {
        let files = Files::new();
        let long = noise(8, 3 * 4096);
        let base = files.put(&long);
        let mut short = long[..4096].to_vec();
        short.resize(4096 + tail, 0);
        let told = std::slice::from_ref(&(4096..4096 + tail)).to_vec();
        files.try_delta(base.id, &short, &told, hash_of(&short)).unwrap();
        assert!(files.read() == short);
        // It is longer again: with zeros.
        let (container, object) = (&files.container, &files.object);
        let (place, size) = (crate::Place::End, Some(long.len() as u64));
        files
            .service()
            .file_update(container, object, place, size, Some(0), &mut &b""[..])
            .unwrap();
        short.resize(long.len(), 0);
        assert!(files.read() == short, "{tail}");
    }
}

#[test]
fn what_does_not_come_to_the_hash_that_was_said_changes_nothing() {
    let files = Files::new();
    let bytes = noise(6, BLOCK + 5);
    let base = files.put(&bytes);
    let mut other = bytes.clone();
    other[0] = !other[0];
    let error = files.try_delta(base.id, &other, &[], hash_of(&other)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(files.read() == bytes);
    assert_eq!(files.service().file(&files.container, &files.object).unwrap().id, base.id);
}

#[test]
fn a_base_that_was_replaced_is_not_found_and_one_of_another_account_never_was() {
    let files = Files::new();
    let bytes = noise(7, 9000);
    let old = files.put(&bytes);
    files.put(b"new");
    let told = std::slice::from_ref(&(0..9000));
    let error = files.try_delta(old.id, &bytes, told, hash_of(&bytes)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = files.service().file_open(files.which(Some(old.id))).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let theirs =
        files.service().container_create(AccountId::new(8), &"theirs".parse().unwrap()).unwrap();
    let finish = &mut |_: &crate::Stored| Ok(Meta::default());
    let name = "secret".parse().unwrap();
    let mut input = bytes.as_slice();
    let secret = files
        .service()
        .object_put(theirs.id, &name, Some(9000), &mut input, finish, &|_| Ok(()))
        .unwrap();
    // Who knows all hashes of it has nothing of it.
    let error = files.try_delta(secret.id, &bytes, &[], hash_of(&bytes)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_version_that_is_kept_is_read_and_is_a_base_when_it_is_not_the_newest() {
    let files = Files::new();
    files.put(b"first, to make the container");
    let home = files.service().container(OPERATOR, &files.container).unwrap();
    let keep = &mut |home: &mut crate::Container| {
        home.versioning = Versioning::Enabled;
        Ok(())
    };
    files.service().container_change(home.id, keep).unwrap();
    let mut bytes = noise(8, 20_000);
    let old = files.put(&bytes);
    files.put(b"another");
    let mut out = Vec::new();
    files.service().export_ranges(files.which(Some(old.id)), &[], &mut out).unwrap();
    assert!(out.len() > 20_000);
    bytes[0] = !bytes[0];
    files.delta(old.id, &bytes, std::slice::from_ref(&(0..4096)));
}

#[test]
fn ranges_are_sent_and_nothing_else() {
    let files = Files::new();
    let mut bytes = noise(9, 3 << 20);
    bytes[8192..16_384].fill(0);
    bytes.extend(b"end");
    let file = files.put(&bytes);
    let size = bytes.len() as u64;
    let ranges = [4096..20_480, (2 << 20)..(2 << 20) + 4096, 3 << 20..size];
    let mut out = Vec::new();
    files.service().export_ranges(files.which(Some(file.id)), &ranges, &mut out).unwrap();
    let mut reader = Reader::new(out.as_slice()).unwrap();
    assert_eq!(reader.header().size, size);
    let mut told = Vec::new();
    loop {
        match reader.next().unwrap() {
            Record::Data { offset, bytes: data } => {
                let at = offset as usize;
                assert!(data == bytes[at..at + data.len()]);
                told.push((offset, data.len() as u64, false));
            }
            Record::Zero { offset, len } => told.push((offset, len, true)),
            Record::End => break,
        }
    }
    let expected = [
        (4096, 4096, false),
        (8192, 8192, true),
        (16_384, 4096, false),
        (2 << 20, 4096, false),
        (3 << 20, 3, false),
    ];
    assert_eq!(told, expected);
    let wrong: [&[(u64, u64)]; 4] =
        [&[(1, 4096)], &[(4096, 4096)], &[(4096, 8192), (0, 4096)], &[(0, size + 1)]];
    for wrong in wrong {
        let wrong: Vec<Range<u64>> = wrong.iter().map(|(start, end)| *start..*end).collect();
        let out = &mut Vec::new();
        let error = files.service().export_ranges(files.which(None), &wrong, out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong:?}");
    }
}

#[test]
fn grains_are_hashed_as_they_are() {
    let files = Files::new();
    let bytes = noise(10, BLOCK + 70_001);
    files.put(&bytes);
    let content = files.service().file_open(files.which(None)).unwrap();
    let end = bytes.len() as u64;
    let ranges = [0..131_072, HASHED_BLOCK_BYTES..end];
    let told = files.service().grain_hashes(&content, 65_536, &ranges).unwrap();
    let of = |range: Range<usize>| digest(&SHA256, &bytes[range]).as_ref()[..8].to_vec();
    let expected = [
        of(0..65_536),
        of(65_536..131_072),
        of(BLOCK..BLOCK + 65_536),
        of(BLOCK + 65_536..bytes.len()),
    ];
    assert_eq!(told, expected.concat());
    for grain in [0, 512, 4097, 4 << 20] {
        let one = std::slice::from_ref(&(0..4 << 20));
        assert!(files.service().grain_hashes(&content, grain, one).is_err(), "{grain}");
    }
}

#[test]
fn a_difference_outlives_its_base_a_collection_and_a_restart() {
    let mut files = Files::new();
    let mut bytes = noise(11, BLOCK + 100);
    let base = files.put(&bytes);
    bytes[4096] = !bytes[4096];
    files.delta(base.id, &bytes, std::slice::from_ref(&(4096..8192)));
    files
        .service()
        .collect(Collection { now: true, thorough: true, ..Collection::default() })
        .unwrap();
    files.bench.reopen();
    assert!(files.read() == bytes);
}

#[test]
fn a_file_of_blocks_is_made_with_its_container_and_what_is_missing_is_told_by_its_place() {
    let files = Files::new();
    let bytes = noise(12, 2 * BLOCK + 9);
    let mut hasher = Hasher::new();
    hasher.update(&bytes);
    let mut hashes = hasher.finish().unwrap();
    hashes.insert(1, hashes[0]);
    let size = 3 * HASHED_BLOCK_BYTES + 9;
    let (container, object) = (&files.container, &files.object);
    let sha256 = Some("ab".repeat(32));
    let wanted = FileCompose { container, object, size, hashes: &hashes, sha256: sha256.clone() };
    let stored = files.service().file_blocks_put(None, &mut &bytes[BLOCK..2 * BLOCK]).unwrap();
    assert_eq!(stored, hashes[2..3]);
    let missing = files.service().file_compose(&wanted).unwrap();
    assert_eq!(missing, FileComposed::Missing(vec![0, 3]));
    files.service().file_blocks_put(None, &mut &bytes[..BLOCK]).unwrap();
    files.service().file_blocks_put(Some(9), &mut &bytes[2 * BLOCK..]).unwrap();
    let made = files.service().file_compose(&wanted).unwrap();
    let FileComposed::Made(file) = made else { panic!("{made:?}") };
    assert_eq!((file.size, file.sha256.clone()), (size, sha256.clone()));
    assert_eq!(files.service().file(container, object).unwrap().sha256, sha256);
    assert!(files.read() == [&bytes[..BLOCK], &bytes].concat());
}
