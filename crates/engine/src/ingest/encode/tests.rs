//! What compresses, what does not, and what is not even tried.

use super::*;

const CHUNK: usize = 64 << 10;

fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

fn text(len: usize) -> Vec<u8> {
    (0..).flat_map(|n: u32| format!("line {n} of a log\n").into_bytes()).take(len).collect()
}

fn decoded(encoded: Encoded<'_>, len: usize) -> Vec<u8> {
    match encoded.codec {
        Codec::Raw => encoded.bytes.to_vec(),
        Codec::Zstd => zstd::bulk::decompress(encoded.bytes, len).unwrap(),
        Codec::Lz4 => lz4_flex::block::decompress(encoded.bytes, len).unwrap(),
        Codec::Zero => panic!("no chunk is stored as nothing"),
    }
}

#[test]
fn every_codec_gives_back_what_went_in() {
    for compression in [Compression::Zstd, Compression::Lz4, Compression::Off] {
        let mut encoder = Encoder::new(compression);
        for raw in [text(CHUNK), random(1, CHUNK), text(512), random(2, 512), vec![7; 4096]] {
            let encoded = encoder.chunk(&raw);
            assert!(encoded.bytes.len() <= raw.len());
            assert_eq!(decoded(encoded, raw.len()), raw);
            assert_eq!(decoded(encoder.node(&raw), raw.len()), raw);
        }
    }
}

#[test]
fn text_is_stored_in_less_than_half() {
    for (compression, codec) in [(Compression::Zstd, Codec::Zstd), (Compression::Lz4, Codec::Lz4)] {
        let mut encoder = Encoder::new(compression);
        let raw = text(CHUNK);
        let encoded = encoder.chunk(&raw);
        assert_eq!(encoded.codec, codec);
        assert!(encoded.bytes.len() < CHUNK / 2);
    }
}

#[test]
fn a_gain_below_six_percent_is_left_alone() {
    let mut raw = random(3, CHUNK);
    raw[..CHUNK / 32].fill(0);
    assert_eq!(Encoder::new(Compression::Zstd).chunk(&raw).codec, Codec::Raw);
    raw[..CHUNK / 8].fill(0);
    assert_eq!(Encoder::new(Compression::Zstd).chunk(&raw).codec, Codec::Zstd);
}

#[test]
fn after_random_data_compressible_data_is_noticed_again_within_a_few_chunks() {
    let mut encoder = Encoder::new(Compression::Zstd);
    for seed in 0..100 {
        assert_eq!(encoder.chunk(&random(seed, CHUNK)).codec, Codec::Raw);
    }
    let raw = text(CHUNK);
    let missed = (0..100).filter(|_| encoder.chunk(&raw).codec == Codec::Raw).count();
    assert!(missed < PROBE_EVERY as usize, "{missed} chunks were stored raw");
}

#[test]
fn a_node_is_compressed_even_amid_random_data() {
    let mut encoder = Encoder::new(Compression::Zstd);
    for seed in 0..20 {
        encoder.chunk(&random(seed, CHUNK));
    }
    assert_eq!(encoder.node(&text(8192)).codec, Codec::Zstd);
}
