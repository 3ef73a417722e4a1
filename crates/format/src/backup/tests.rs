//! Facts about dumps of the catalog.

use super::*;

fn header() -> BackupHeader {
    BackupHeader { schema: 2, store: [7; 16], made_ms: 99 }
}

fn parts() -> Vec<Part> {
    let columns = vec!["id".to_owned(), "name".to_owned()];
    vec![
        Part::Table { name: "volume".to_owned(), columns },
        Part::Row(vec![Value::Number(-5), Value::Text("w\u{e9}b".to_owned())]),
        Part::Row(vec![Value::Number(i64::MAX), Value::Null]),
        Part::Table { name: "empty".to_owned(), columns: Vec::new() },
    ]
}

fn dump() -> Vec<u8> {
    let mut writer = BackupWriter::new(Vec::new(), &header()).unwrap();
    for part in parts() {
        match part {
            Part::Table { name, columns } => writer.table(&name, &columns).unwrap(),
            Part::Row(values) => writer.row(&values).unwrap(),
        }
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<(BackupHeader, Vec<Part>), BackupError> {
    let mut reader = BackupReader::new(bytes)?;
    let mut parts = Vec::new();
    while let Some(part) = reader.next()? {
        parts.push(part);
    }
    Ok((*reader.header(), parts))
}

#[test]
fn what_is_dumped_is_read() {
    let mut bytes = dump();
    assert_eq!(read(&bytes).unwrap(), (header(), parts()));
    bytes.resize(bytes.len() + 500, 0);
    assert_eq!(read(&bytes).unwrap().1, parts(), "padding is passed over");
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let bytes = dump();
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        read(&bytes).map(drop).unwrap_err();
    }
}

#[test]
fn a_dump_that_was_cut_off_is_refused() {
    let bytes = dump();
    for len in 0..bytes.len() {
        read(&bytes[..len]).map(drop).unwrap_err();
    }
}

#[test]
fn a_text_that_claims_to_be_huge_is_refused_without_room_for_it() {
    let mut bytes = dump();
    let at = 8 + 4 + 4 + 16 + 8 + 1;
    bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    read(&bytes).map(drop).unwrap_err();
}
