//! Seeds of the corpora: what the real encoders write, small.

mod segments;

use archipelago_format::backup::{BackupHeader, BackupWriter, Value};
use archipelago_format::batch::{Header as BatchHeader, Kind, Record};
use archipelago_format::cache_file::{CacheHeader, PageRecord, encode_token};
use archipelago_format::forwarding::{Forward, encode_forwarding};
use archipelago_format::node::{Child, Node, Run};
use archipelago_format::pool_file::PoolFile;
use archipelago_format::segment::{
    Codec, Directory, Fingerprint, FooterParts, SegmentHeader, SegmentKind, Slot, SlotPage,
    Trailer, encode_footer, encode_footer_record,
};
use archipelago_format::store_file::StoreFile;
use archipelago_format::stream::{Header as StreamHeader, Writer};
use archipelago_model::{Epoch, Extent, Location, SegmentId, VolumeId};

use crate::targets::block::{OPENINGS, info, option};
use crate::targets::format::SALT;

/// An input to begin with.
pub struct Seed {
    /// The target it is for.
    pub target: &'static str,
    /// The name of its file.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// Every seed.
///
/// # Panics
/// An encoder refuses, which is a defect of this module.
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target, inputs: Vec<Vec<u8>>| {
        for (index, bytes) in inputs.into_iter().enumerate() {
            seeds.push(Seed { target, name: format!("seed-{index}"), bytes });
        }
    };
    let (footer, directory) = footer();
    let page = footer[..archipelago_format::segment::SLOT_PAGE_BYTES].to_vec();
    add(
        "segment_header",
        vec![
            header(SegmentKind::Hot).encode().to_vec(),
            header(SegmentKind::Cold).encode().to_vec(),
        ],
    );
    add("slot_page", vec![page, SlotPage::encode(&slots()[..1], 8, 3)]);
    add("directory", vec![directory.encode()]);
    add(
        "trailer",
        vec![
            Trailer { directory_offset: 4096, directory_len: 700, directory_crc: 7 }
                .encode()
                .to_vec(),
        ],
    );
    add("footer_records", vec![records_section()]);
    add("fingerprints", vec![fingerprints_section()]);
    add("forwarding", vec![forwarding(2), forwarding(300)]);
    add("backup", vec![backup().expect("memory takes all")]);
    add("map_node", nodes().iter().map(Node::encode).collect());
    add("batch_header", vec![batch(&records()), batch(&records()[1..2])]);
    add("store_file", store_files());
    add("transfer_stream", streams());
    add(
        "names",
        texts(&[
            "web",
            "image:debian-12",
            "volume:web",
            "snapshot:web@before",
            "file:images/debian/12.qcow2",
            "web@before",
            "a/b c",
            "ubuntu-24.04-noble.img",
        ]),
    );
    add("sizes", texts(&["512", "64K", "10GiB", "1.5T", "16383.999999999P", "0"]));
    add("nbd_options", options());
    add("nbd_requests", vec![requests(false), requests(true)]);
    add("nbd_session", sessions());
    add("api_json", texts(JSON));
    add("http_request", [texts(HTTP), uploads()].concat());
    add("image_headers", images());
    add("image_qcow2", qcow2s());
    add("image_layout", [images(), qcow2s()].concat());
    add("segment_recovery", segments::all());
    seeds
}

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The files at the top of a data folder, and the index of a cache.
fn store_files() -> Vec<Vec<u8>> {
    let pool = PoolFile::new("s3://bucket/prefix").expect("it is short");
    let store = StoreFile { uuid: [7; 16], dedup_key: [9; 32] };
    let cache = CacheHeader { store: [7; 16], token: [1; 16] };
    let page = PageRecord::of(SegmentId::MIN, 70_000, 1, &[0; 4464]);
    vec![
        store.encode().to_vec(),
        pool.encode(),
        cache.encode().to_vec(),
        encode_token(&cache.token).to_vec(),
        page.encode().to_vec(),
    ]
}

const ID: SegmentId = SegmentId::MIN;

fn at(position: u32) -> Location {
    Location::new(ID, position).expect("seeds are small")
}

fn header(kind: SegmentKind) -> SegmentHeader {
    SegmentHeader { id: ID, kind, store: [1; 16], created_ms: 1_700_000_000_000, salt: SALT }
}

fn slots() -> Vec<Slot> {
    let slot =
        |position, stored, codec| Slot { position, offset: 512 * position, stored, codec, crc: 5 };
    vec![
        slot(0, 4096, Codec::Raw),
        slot(8, 300, Codec::Zstd),
        slot(136, 0, Codec::Zero),
        slot(137, 90, Codec::Lz4),
    ]
}

fn footer() -> (Vec<u8>, Directory) {
    encode_footer(&FooterParts {
        header: header(SegmentKind::Hot),
        body_bytes: 512 * 140,
        slots: &slots(),
        end: 140,
        records: &records_section(),
        fingerprints: &fingerprints(),
        forwarding: &[],
    })
}

fn records() -> [Record; 4] {
    let record = |volume, start, len, kind| Record {
        volume: VolumeId::new(volume),
        start,
        len,
        epoch: Epoch::new(1),
        kind,
    };
    [
        record(1, 0, 16, Kind::Data),
        record(1, 64, 1 << 20, Kind::Zero),
        record(0, 0, 700, Kind::Node(Codec::Lz4)),
        record(2, (1 << 37) - 1, 1, Kind::Data),
    ]
}

fn records_section() -> Vec<u8> {
    let mut out = Vec::new();
    for (position, record) in [0, 16, 17, 19].into_iter().zip(&records()) {
        encode_footer_record(&mut out, position, record);
    }
    out
}

fn fingerprints() -> Vec<Fingerprint> {
    (0..4).map(|n| Fingerprint { hash: n << 5, position: 8 * n as u32 }).collect()
}

fn fingerprints_section() -> Vec<u8> {
    let mut out = Vec::new();
    fingerprints().iter().for_each(|print| print.encode(&mut out));
    out
}

fn nodes() -> [Node; 3] {
    let extent = |start, len, at| Extent::new(start, len, at).expect("seeds are small");
    let run = |top, height| Run { top: at(top), height, extents: 3, first: 0, end: 4096 };
    [
        Node::Leaf(vec![
            extent(0, 16, at(0)),
            extent(16, 4, Location::HOLE),
            extent(4000, 96, at(40)),
        ]),
        Node::Index(vec![Child { first: 0, node: at(1) }, Child { first: 4000, node: at(2) }]),
        Node::Root(vec![run(3, 0), run(4, 1)]),
    ]
}

fn forwarding(entries: u32) -> Vec<u8> {
    let entry = |n| Forward { from: at(16 * n), to: at(8 * n + 1), sectors: 8 };
    encode_forwarding(&(0..entries).map(entry).collect::<Vec<_>>()).0
}

fn backup() -> std::io::Result<Vec<u8>> {
    let header = BackupHeader { schema: 2, store: [1; 16], made_ms: 1_700_000_000_000 };
    let mut writer = BackupWriter::new(Vec::new(), &header)?;
    writer.table("volume", &["id", "name", "parent"].map(str::to_owned))?;
    writer.row(&[Value::Number(1), Value::Text("web".to_owned()), Value::Null])?;
    writer.row(&[Value::Number(-1), Value::Text(String::new()), Value::Number(7)])?;
    writer.table("empty", &["id".to_owned()])?;
    writer.finish()
}

fn batch(records: &[Record]) -> Vec<u8> {
    let pieces: u64 = records.iter().map(Record::pieces).sum();
    let mut out = Vec::new();
    let crcs: Vec<u32> = (0..pieces as u32).collect();
    BatchHeader::encode_into(&mut out, at(24), SALT, 9, records, &crcs);
    out
}

fn streams() -> Vec<Vec<u8>> {
    let stream = |header: StreamHeader| -> std::io::Result<Vec<u8>> {
        let mut writer = Writer::new(Vec::new(), &header)?;
        writer.data(0, &[1; 4096])?;
        writer.zero(8192, 1 << 20)?;
        writer.data((1 << 20) + 8192, &[2; 100])?;
        writer.finish()
    };
    let size = (1 << 20) + 8192 + 100;
    let full = StreamHeader { size, base: None, identity: None };
    let difference = StreamHeader { base: Some([3; 16]), identity: Some([4; 16]), ..full };
    [full, difference].map(|header| stream(header).expect("memory takes all")).into()
}

fn options() -> Vec<Vec<u8>> {
    let mut meta = [&1u32.to_be_bytes()[..], b"v", &1u32.to_be_bytes()].concat();
    meta.extend_from_slice(&[&15u32.to_be_bytes()[..], b"base:allocation"].concat());
    vec![option(7, &info("v")), info("v"), meta, b"v".to_vec()]
}

/// One request of each command; writes have their payload.
fn requests(extended: bool) -> Vec<u8> {
    // Command, flags, offset, length, payload: all 8 commands of the protocol.
    const ALL: [(u16, u16, u64, u64); 9] = [
        (1, 1, 512, 64),
        (0, 0, 0, 4096),
        (6, 0, 4096, 8192),
        (4, 0, 0, 65536),
        (5, 0, 0, 4096),
        (7, 8, 0, 65536),
        (3, 0, 0, 0),
        (0, 0, 0, 300 << 10),
        (2, 0, 0, 0),
    ];
    let mut out = Vec::new();
    for (cookie, (command, flags, offset, len)) in ALL.into_iter().enumerate() {
        let magic: u32 = if extended { 0x21e4_1c71 } else { 0x2560_9513 };
        let payload = extended && command == 1;
        out.extend_from_slice(&magic.to_be_bytes());
        out.extend_from_slice(&(flags | if payload { 1 << 5 } else { 0 }).to_be_bytes());
        out.extend_from_slice(&command.to_be_bytes());
        out.extend_from_slice(&(cookie as u64).to_be_bytes());
        out.extend_from_slice(&offset.to_be_bytes());
        let len_bytes = len.to_be_bytes();
        out.extend_from_slice(if extended { &len_bytes } else { &len_bytes[4..] });
        if command == 1 {
            out.resize(out.len() + len as usize, 0xa5);
        }
    }
    out
}

fn sessions() -> Vec<Vec<u8>> {
    let greeted = |rest: &[u8]| [&[1], rest].concat();
    let mut all = vec![
        [&[0], &OPENINGS[3][..], &requests(false)].concat(),
        greeted(&option(3, &[])),
        greeted(
            &[option(6, &info("r")), option(5, &[]), option(1, b"r"), requests(false)].concat(),
        ),
    ];
    for style in 2..OPENINGS.len() as u8 {
        all.push([&[style][..], &requests(style == 4)].concat());
    }
    all
}

const JSON: &[&str] = &[
    r#"{"names":["a","b"],"from":"image:debian-12","size":1048576}"#,
    r#"{"to":"z"}"#,
    r#"{"size":4096}"#,
    r#"{"members":["a@1","b@1"]}"#,
    r#"{"kind":"not_found","message":"it is not there"}"#,
    r#"{"ranges":[{"offset":0,"len":4096,"zero":false}],"changed":4096}"#,
    r#"{"volumes":[{"id":1,"name":"a","size":512,"created_ms":0,"parent":null,"attached":0,"epoch":1,"snapshots":0}]}"#,
];

/// Logins stop short of the hash of a password, which takes its time on purpose.
const HTTP: &[&str] = &[
    "GET /v1/volumes/v\n\n",
    "POST /v1/users\ncontent-type: application/json\n\n{\"name\":\"bob\",\"password\":\"short\"}",
    "POST /v1/accounts\ncontent-type: application/json\n\n{\"name\":\"lab\",\"quota_bytes\":1}",
    "POST /v1/accounts/lab/members\ncontent-type: application/json\n\n{\"user\":\"bob\",\"role\":\"reader\"}",
    "POST /v1/users/bob/keys\ncontent-type: application/json\n\n{}",
    "GET /identity/v3\n\n",
    "POST /identity/v3/auth/tokens\ncontent-type: application/json\n\n{\"auth\":{\"identity\":{\"methods\":[\"password\"],\"password\":{\"user\":{\"name\":\"bob\",\"domain\":{\"id\":\"other\"},\"password\":\"correct horse\"}}},\"scope\":{\"project\":{\"name\":\"bob\",\"domain\":{\"id\":\"default\"}}}}}",
    "POST /identity/v3/auth/tokens\ncontent-type: application/json\n\n{\"auth\":{\"identity\":{\"methods\":[\"application_credential\"],\"application_credential\":{\"user\":{\"id\":\"0\"},\"secret\":\"1\"}}}}",
    "GET /identity/v3/auth/tokens\nx-auth-token:x\nx-subject-token:x\n\n",
    "GET /identity/v3/users?name=bob\nx-auth-token:x\n\n",
    "POST /identity/v2.0/tokens\ncontent-type: application/json\n\n{\"auth\":{\"token\":{\"id\":\"x\"},\"tenantName\":\"lab\"}}",
    "GET /auth/v1.0\nx-auth-user:bob:bob\n\n",
    "POST /v1/volumes\ncontent-type: application/json\n\n{\"names\":[\"a\",\"b\"],\"size\":1048576}",
    "POST /v1/volumes\ncontent-type: application/json\n\n{\"names\":[\"c\"],\"from\":\"snapshot:v@s\",\"size\":2097152}",
    "POST /v1/volumes/v/resize\ncontent-type: application/json\n\n{\"size\":4096}",
    "POST /v1/volumes/v/rename\ncontent-type: application/json\n\n{\"to\":\"w\"}",
    "DELETE /v1/volumes/v?force=true\n\n",
    "POST /v1/snapshots\ncontent-type: application/json\n\n{\"members\":[\"v@t\"]}",
    "POST /v1/snapshots/v/s/rollback\n\n",
    "GET /v1/snapshots/v/s/send?since=s\n\n",
    "GET /v1/diff?from=snapshot:v@s&to=volume%3Av\n\n",
    "GET /v1/export?source=volume:v\n\n",
    "GET /v1/files?container=c&prefix=a%2Fb\n\n",
    "PUT /v1/files/c/a/b%20c?sha256=00\nexpect: 100-continue\n\nARCHSTRM",
    "POST /v1/images/i?format=raw&source_bytes=7\norigin: http://evil.example\n\nARCHSTRM",
    "POST /v1/receive?target=w@s\nhost: 127.0.0.1:7480\n\nARCHSTRM",
    "GET /v1/df\nsec-fetch-site: cross-site\n\n",
    "GET /openapi.json\n\n",
];

/// Requests whose body is a transfer stream.
fn uploads() -> Vec<Vec<u8>> {
    let heads = [
        "PUT /v1/files/c/a/b%20c\nexpect: 100-continue\n\n",
        "POST /v1/images/i?format=raw&source_bytes=7&os=debian\n\n",
        "POST /v1/receive?target=w@s\nhost: 127.0.0.1:7480\n\n",
    ];
    let [full, _] = &streams()[..] else { unreachable!("two are made") };
    heads.iter().map(|head| [head.as_bytes(), full].concat()).collect()
}

fn images() -> Vec<Vec<u8>> {
    let mut sparse = b"KDMV\x01\0\0\0\x03\0\0\0".to_vec();
    sparse.extend_from_slice(
        &[&2048u64.to_le_bytes()[..], &128u64.to_le_bytes(), &1u64.to_le_bytes()].concat(),
    );
    sparse.resize(512, 0);
    sparse.extend_from_slice(b"# Disk DescriptorFile\nparentFileNameHint=\"/etc/passwd\"\n");
    let text = "# Disk DescriptorFile\nversion=1\nRW 2048 SPARSE \"x-s001.vmdk\"\nRW 63 ZERO\n";
    let mut vdi = vec![0; 0x188];
    vdi[0x40..0x44].copy_from_slice(&[0x7f, 0x10, 0xda, 0xbe]);
    vdi[0x158..0x15c].copy_from_slice(&4096u32.to_le_bytes());
    let mut backed = qcow2(9, &[]);
    backed[8..16].copy_from_slice(&104u64.to_be_bytes());
    let mut extended = qcow2(9, &[]);
    extended[72..80].copy_from_slice(&4u64.to_be_bytes());
    vec![
        qcow2(9, &[]),
        backed,
        extended,
        sparse,
        text.as_bytes().to_vec(),
        vdi,
        b"vhdxfile".to_vec(),
        b"\x1f\x8b".to_vec(),
    ]
}

/// A qcow2 of version 3: header, first table in the second cluster, second table in
/// the third with these entries, data from the fourth on.
fn qcow2(cluster_bits: u32, entries: &[u64]) -> Vec<u8> {
    let cluster = 1usize << cluster_bits;
    let mut out = vec![0; 4 * cluster.min(512) + 3 * (cluster - cluster.min(512))];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &3u32.to_be_bytes());
    put(20, &cluster_bits.to_be_bytes());
    put(24, &(8 * cluster as u64).to_be_bytes());
    put(36, &1u32.to_be_bytes());
    put(40, &(cluster as u64).to_be_bytes());
    // Where the counts of references would be; nothing reads them.
    put(48, &(cluster as u64).to_be_bytes());
    put(56, &1u32.to_be_bytes());
    put(96, &4u32.to_be_bytes());
    put(100, &104u32.to_be_bytes());
    let table = if entries.is_empty() { 0 } else { (1 << 63) | (2 * cluster as u64) };
    put(cluster, &u64::to_be_bytes(table));
    for (index, entry) in entries.iter().enumerate() {
        put(2 * cluster + 8 * index, &entry.to_be_bytes());
    }
    out
}

fn qcow2s() -> Vec<Vec<u8>> {
    const COPIED: u64 = 1 << 63;
    const ZERO: u64 = 1;
    const COMPRESSED: u64 = 1 << 62;
    let data = |cluster: u64| COPIED | (3 * cluster);
    let mut plain = qcow2(9, &[data(512), 0, ZERO, data(512) | ZERO]);
    let end = plain.len();
    plain[end - 512..].fill(0xab);
    // A stored block of deflate, which a compressed cluster may be.
    let mut packed = qcow2(12, &[COMPRESSED | (3 * 4096), data(4096)]);
    packed.resize(3 * 4096, 0);
    packed.extend_from_slice(&[1, 0x00, 0x10, 0xff, 0xef]);
    packed.resize(3 * 4096 + 5 + 4096, 0xcd);
    packed.resize(5 * 4096, 0);
    vec![plain, packed]
}
