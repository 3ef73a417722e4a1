//! Facts about layouts, by images made here byte for byte. What QEMU makes is tried in
//! `conformance`.

use super::{Bytes, Error, Format, Piece, Place, ReadError, open, recognise};

struct File(Vec<u8>);

impl Bytes for File {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let at = offset as usize;
        out.copy_from_slice(self.0.get(at..at + out.len()).ok_or("beyond the end")?);
        Ok(())
    }
}

impl File {
    fn zeros(len: usize) -> Self {
        Self(vec![0; len])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn be32(&mut self, at: usize, value: u32) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    fn be64(&mut self, at: usize, value: u64) -> &mut Self {
        self.put(at, &value.to_be_bytes())
    }

    fn le32(&mut self, at: usize, value: u32) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }

    fn le64(&mut self, at: usize, value: u64) -> &mut Self {
        self.put(at, &value.to_le_bytes())
    }
}

/// The pieces, and what they read as.
fn pieces(format: Format, file: &File) -> Result<(u64, Vec<Piece>), Error> {
    assert_eq!(recognise(&file.0), Some(format));
    let image = open(format, file)?;
    let (mut walk, mut all) = (image.walk(file), Vec::new());
    while let Some(piece) = walk.next_piece()? {
        all.push(piece);
    }
    Ok((image.size(), all))
}

fn refusal(format: Format, file: &File) -> String {
    match pieces(format, file) {
        Err(Error::Refused(what)) => what,
        other => panic!("it is not refused: {other:?}"),
    }
}

const fn stored(at: u64, len: u64, offset: u64) -> Piece {
    Piece { at, len, place: Place::Stored(offset) }
}

/// Clusters of 4 KiB: header, first table, second table, then data. A disk of 600 clusters,
/// for which two tables are needed.
fn qcow2() -> File {
    let mut file = File::zeros(16 * 4096);
    file.put(0, b"QFI\xfb").be32(4, 3).be32(20, 12).be64(24, 600 * 4096).be32(36, 2);
    file.be64(40, 4096).be32(100, 104).be64(4096, 8192 | 1 << 63);
    file
}

#[test]
fn neighbours_are_one_piece_and_tables_that_are_not_there_are_holes() {
    let mut file = qcow2();
    for (entry, cluster) in [(0, 4_u64), (1, 5), (3, 6), (4, 8), (5, 9)] {
        file.be64(8192 + entry * 8, (cluster * 4096) | 1 << 63);
    }
    file.be64(8192 + 7 * 8, 1);
    let (size, found) = pieces(Format::Qcow2, &file).unwrap();
    assert_eq!(size, 600 * 4096);
    let wanted = [
        stored(0, 8192, 4 * 4096),
        stored(3 * 4096, 4096, 6 * 4096),
        stored(4 * 4096, 8192, 8 * 4096),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn a_packed_cluster_unpacks() {
    let mut file = qcow2();
    let bytes: Vec<u8> = (0..4096_u32).map(|n| (n / 7) as u8).collect();
    let packed = miniz_oxide::deflate::compress_to_vec(&bytes, 6);
    let at = 5 * 4096 + 100;
    file.put(at, &packed);
    let sectors = ((at % 512 + packed.len()).div_ceil(512) - 1) as u64;
    file.be64(8192 + 2 * 8, 1 << 62 | sectors << (62 - 4) | at as u64);
    let image = open(Format::Qcow2, &file).unwrap();
    let piece = image.walk(&file).next_piece().unwrap().unwrap();
    assert_eq!((piece.at, piece.len), (2 * 4096, 4096));
    assert_eq!(image.unpack(&file, &piece).unwrap(), bytes);
    file.0[at..at + 40].fill(0xff);
    assert!(matches!(image.unpack(&file, &piece), Err(Error::Refused(_))));
}

#[test]
fn subclusters_are_told_by_their_bits() {
    let mut file = File::zeros(8 << 14);
    file.put(0, b"QFI\xfb").be32(4, 3).be32(20, 14).be64(24, 1 << 20).be32(36, 1);
    file.be64(40, 1 << 14).be32(100, 104).be64(72, 1 << 4).be64(1 << 14, 2 << 14);
    // Entry 0: of its cluster at 3 << 14 the second to fourth of 512 bytes, and a zero one.
    file.be64(2 << 14, 3 << 14).be64((2 << 14) + 8, 0b1110 | 1 << 32);
    let (_, found) = pieces(Format::Qcow2, &file).unwrap();
    assert_eq!(found, [stored(512, 3 * 512, (3 << 14) + 512)]);
}

#[test]
fn a_qcow2_that_leads_elsewhere_or_was_not_closed_is_refused() {
    let cases: [(usize, u64, &str); 5] = [
        (8, 104, "backing file"),
        (72, 1 << 2, "another file"),
        (72, 1, "not closed"),
        (72, 1 << 1, "corrupt"),
        (72, 1 << 60, "not known"),
    ];
    for (at, value, what) in cases {
        let mut file = qcow2();
        file.be64(at, value);
        assert!(refusal(Format::Qcow2, &file).contains(what));
    }
    let mut file = qcow2();
    file.be32(32, 2);
    assert!(refusal(Format::Qcow2, &file).contains("encrypted"));
}

#[test]
fn what_is_beyond_the_end_of_the_file_is_cut_off() {
    let mut file = qcow2();
    file.be64(8192, 16 * 4096);
    assert!(refusal(Format::Qcow2, &file).contains("cut off"));
    let mut file = qcow2();
    file.be64(4096, 16 * 4096);
    assert!(refusal(Format::Qcow2, &file).contains("cut off"));
    assert!(refusal(Format::Qcow2, &File(qcow2().0[..50].to_vec())).contains("cut off"));
}

#[test]
fn tables_that_lie_on_one_another_are_refused() {
    let mut file = qcow2();
    file.be64(4096 + 8, 8192);
    assert!(refusal(Format::Qcow2, &file).contains("lie on one another"));
}

#[test]
fn packed_clusters_that_lie_on_one_another_are_refused() {
    let mut file = qcow2();
    for entry in 0..512 {
        file.be64(8192 + entry * 8, 1 << 62 | 3 << 58 | (4096 * 5));
    }
    assert!(refusal(Format::Qcow2, &file).contains("lie on one another"));
}

#[test]
fn a_disk_without_end_takes_no_memory() {
    let mut file = qcow2();
    file.be64(24, u64::MAX);
    assert!(refusal(Format::Qcow2, &file).contains("at most"));
    let mut file = qcow2();
    file.be64(24, 64 << 40).be32(36, u32::MAX);
    assert!(refusal(Format::Qcow2, &file).contains("first table"));
}

/// Grains of 64 KiB, a directory of one table of 512, at sectors 21 and 22.
fn vmdk() -> File {
    let mut file = File::zeros(64 * 512 + 4 * 65536);
    file.put(0, b"KDMV").le32(4, 1).le32(8, 3).le64(12, 8 * 128).le64(20, 128).le64(28, 1);
    file.le64(36, 20).le32(44, 512).le64(56, 21).le32(21 * 512, 22);
    let text = "# Disk DescriptorFile\nCID=12345678\nparentCID=ffffffff\n\
                createType=\"monolithicSparse\"\nRW 1024 SPARSE \"x.vmdk\"\n";
    file.put(512, text.as_bytes());
    file
}

#[test]
fn grains_of_a_vmdk_are_found() {
    let mut file = vmdk();
    file.le32(22 * 512, 64).le32(22 * 512 + 4, 64 + 128).le32(22 * 512 + 12, 64 + 3 * 128);
    let (size, found) = pieces(Format::Vmdk, &file).unwrap();
    assert_eq!(size, 8 << 16);
    let wanted = [stored(0, 2 << 16, 64 * 512), stored(3 << 16, 1 << 16, 64 * 512 + (3 << 16))];
    assert_eq!(found, wanted);
}

#[test]
fn packed_grains_are_behind_markers() {
    let mut file = vmdk();
    let bytes: Vec<u8> = (0..65536_u32).map(|n| (n / 300) as u8).collect();
    let packed = miniz_oxide::deflate::compress_to_vec_zlib(&bytes, 6);
    file.le32(8, 3 | 1 << 16 | 1 << 17).put(77, &[1, 0]).le32(22 * 512 + 8, 64);
    file.le64(64 * 512, 256).le32(64 * 512 + 8, packed.len() as u32);
    file.put(64 * 512 + 12, &packed);
    let image = open(Format::Vmdk, &file).unwrap();
    let piece = image.walk(&file).next_piece().unwrap().unwrap();
    assert_eq!((piece.at, piece.len), (2 << 16, 1 << 16));
    assert_eq!(image.unpack(&file, &piece).unwrap(), bytes);
    file.le64(64 * 512, 128);
    assert!(refusal(Format::Vmdk, &file).contains("is not sector 256"));
}

#[test]
fn a_vmdk_of_several_files_or_with_a_parent_is_refused() {
    assert!(
        refusal(Format::Vmdk, &File(b"# Disk DescriptorFile\n".repeat(40))).contains("other files")
    );
    let mut file = vmdk();
    file.le64(28, 0);
    assert!(refusal(Format::Vmdk, &file).contains("one of several"));
    let mut file = vmdk();
    file.put(512, b"parentCID=00000001  \n");
    assert!(refusal(Format::Vmdk, &file).contains("parent"));
    let mut file = vmdk();
    file.put(512, b"RW 7 SPARSE \"a\"\nRW ");
    assert!(refusal(Format::Vmdk, &file).contains("other files"));
}

fn vdi() -> File {
    let mut file = File::zeros(4 << 20);
    file.le32(0x40, 0xbeda_107f).le32(0x44, 0x0001_0001).le32(0x4c, 1).le32(0x154, 0x200);
    file.le32(0x158, 1 << 20).le64(0x170, 5 << 20).le32(0x178, 1 << 20).le32(0x180, 5);
    file.put(0x200, &[0xff; 20]);
    file
}

#[test]
fn blocks_of_a_vdi_are_found() {
    let mut file = vdi();
    file.le32(0x204, 2).le32(0x20c, 0).le32(0x210, 1);
    let (size, found) = pieces(Format::Vdi, &file).unwrap();
    assert_eq!(size, 5 << 20);
    assert_eq!(found, [stored(1 << 20, 1 << 20, 3 << 20), stored(3 << 20, 2 << 20, 1 << 20)]);
    file.le32(0x200, 3);
    assert!(refusal(Format::Vdi, &file).contains("cut off"));
    let mut file = vdi();
    file.le32(0x1b8, 7);
    assert!(refusal(Format::Vdi, &file).contains("difference"));
}

/// A guid as it is stored.
fn guid(text: &str) -> Vec<u8> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap();
    [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(byte).to_vec()
}

fn seal(file: &mut File, at: usize, len: usize) {
    file.le32(at + 4, 0);
    let algorithm = crc_fast::CrcAlgorithm::Crc32Iscsi;
    let sum = crc_fast::checksum(algorithm, &file.0[at..at + len]) as u32;
    file.le32(at + 4, sum);
}

/// Blocks of 1 MiB, metadata at 1 MiB, the table at 2 MiB, data from 3 MiB on.
fn vhdx() -> File {
    const METADATA: usize = 1 << 20;
    let mut file = File::zeros(6 << 20);
    file.put(0, b"vhdxfile").put(0x10000, b"head").le64(0x10008, 7).put(0x10042, &[1, 0]);
    seal(&mut file, 0x10000, 4096);
    file.put(0x30000, b"regi").le32(0x30008, 2);
    let regions = [
        ("2DC27766-F623-4200-9D64-115E9BFD4A08", 2 << 20),
        ("8B7CA206-4790-4B9A-B8FE-575F050F886E", METADATA as u64),
    ];
    for (index, (name, at)) in regions.iter().enumerate() {
        let entry = 0x30010 + index * 32;
        file.put(entry, &guid(name)).le64(entry + 16, *at).le32(entry + 24, 1 << 20);
        file.le32(entry + 28, 1);
    }
    seal(&mut file, 0x30000, 65536);
    file.put(METADATA, b"metadata").put(METADATA + 10, &[3, 0]);
    let items = [
        ("CAA16737-FA36-4D43-B3B6-33F0AA44E76B", 1 << 20),
        ("2FA54224-CD1B-4876-B211-5DBED83BF4B8", 5 << 20),
        ("8141BF1D-A96F-4709-BA47-F233A8FAAB5F", 512),
    ];
    for (index, (name, value)) in items.iter().enumerate() {
        let (entry, at) = (METADATA + 32 + index * 32, 65536 + index * 8);
        file.put(entry, &guid(name)).le32(entry + 16, at as u32).le32(entry + 24, 4);
        file.le64(METADATA + at, *value);
    }
    file.le64(2 << 20, 3 << 20 | 6).le64((2 << 20) + 16, 5 << 20 | 6);
    file.le64((2 << 20) + 24, 2);
    file
}

#[test]
fn blocks_of_a_vhdx_are_found() {
    let (size, found) = pieces(Format::Vhdx, &vhdx()).unwrap();
    assert_eq!(size, 5 << 20);
    assert_eq!(found, [stored(0, 1 << 20, 3 << 20), stored(2 << 20, 1 << 20, 5 << 20)]);
}

#[test]
fn a_vhdx_with_a_log_a_parent_or_a_broken_header_is_refused() {
    let mut file = vhdx();
    file.0[0x10030] = 1;
    assert!(refusal(Format::Vhdx, &file).contains("damaged"));
    seal(&mut file, 0x10000, 4096);
    assert!(refusal(Format::Vhdx, &file).contains("log is not empty"));
    let mut file = vhdx();
    file.le32((1 << 20) + 65540, 2);
    assert!(refusal(Format::Vhdx, &file).contains("parent"));
    let mut file = vhdx();
    file.le64((2 << 20) + 8, 4 << 20 | 7);
    assert!(refusal(Format::Vhdx, &file).contains("state 7"));
}

#[test]
fn other_files_are_none() {
    for head in [&b""[..], b"QFI", &[0; 512], b"\x1f\x8b"] {
        assert_eq!(recognise(head), None);
    }
}

#[test]
fn a_file_is_not_shown_over_and_over() {
    let mut file = vdi();
    for entry in 0..5 {
        file.le32(0x200 + entry * 4, entry as u32 % 3);
    }
    // Three blocks in 4 MiB, and room for the header: two more are the most that is believed.
    pieces(Format::Vdi, &file).unwrap();
    file.le64(0x170, 6 << 20).le32(0x180, 6).le32(0x214, 0);
    assert!(refusal(Format::Vdi, &file).contains("lie on one another"));
    let mut file = qcow2();
    for entry in 0..20 {
        file.be64(8192 + entry * 8, (4 * 4096) | 1 << 63);
    }
    assert!(refusal(Format::Qcow2, &file).contains("lie on one another"));
}
