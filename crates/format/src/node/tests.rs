use archipelago_model::SegmentId;
use proptest::prelude::*;

use super::*;

fn at(position: u32) -> Location {
    Location::new(SegmentId::new(3).unwrap(), position).unwrap()
}

fn samples() -> Vec<Node> {
    vec![
        Node::Leaf(vec![
            Extent::new(0, 8, at(1)).unwrap(),
            Extent::new(8, 100, Location::HOLE).unwrap(),
        ]),
        Node::Index(vec![Child { first: 0, node: at(9) }, Child { first: 77, node: at(10) }]),
        Node::Root(vec![Run { top: at(1), height: 2, extents: 5, first: 0, end: 108 }]),
        Node::Root(vec![]),
    ]
}

#[test]
fn every_node_comes_back_also_from_a_padded_slot() {
    for node in samples() {
        let mut bytes = node.encode();
        assert_eq!(Node::decode(&bytes), Ok(node.clone()));
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        assert_eq!(Node::decode(&bytes), Ok(node));
    }
}

#[test]
fn a_leaf_out_of_order_is_refused() {
    let leaf =
        Node::Leaf(vec![Extent::new(8, 8, at(1)).unwrap(), Extent::new(0, 8, at(9)).unwrap()]);
    assert!(Node::decode(&leaf.encode()).is_err());
}

#[test]
fn locations_that_leave_their_segment_are_refused() {
    let last = Location::new(SegmentId::MAX, Location::POSITION_END - 1).unwrap();
    for (location, len) in [
        (Location::from_raw(u64::MAX - 7), 16),
        (at(Location::POSITION_END - 8), 9),
        // The end of the last segment of all is 2^64.
        (last, 1),
        (Location::from_raw(5), 1),
    ] {
        let leaf = Node::Leaf(vec![Extent::new(0, len, location).unwrap()]);
        assert!(Node::decode(&leaf.encode()).is_err(), "{location}");
    }
    for node in [last, Location::from_raw(5), Location::HOLE] {
        let run = Run { top: node, height: 0, extents: 1, first: 0, end: 1 };
        assert!(Node::decode(&Node::Root(vec![run]).encode()).is_err(), "{node}");
        let child = Child { first: 0, node };
        assert!(Node::decode(&Node::Index(vec![child]).encode()).is_err(), "{node}");
    }
    let whole = Extent::new(0, 8, at(Location::POSITION_END - 8)).unwrap();
    assert!(Node::decode(&Node::Leaf(vec![whole]).encode()).is_ok());
}

/// Found by fuzzing: sums over the runs of a root overflowed.
#[test]
fn a_run_of_more_extents_than_sectors_is_refused() {
    let decode = |extents, first, end| {
        let run = Run { top: at(1), height: 0, extents, first, end };
        Node::decode(&Node::Root(vec![run, run]).encode())
    };
    assert!(decode(u64::MAX, 0, 8).is_err());
    assert!(decode(9, 0, 8).is_err());
    assert!(decode(1, 0, u64::MAX).is_err());
    assert!(decode(8, 0, 8).is_ok());
}

#[test]
fn overlapping_extents_are_refused() {
    let leaf =
        Node::Leaf(vec![Extent::new(0, 9, at(1)).unwrap(), Extent::new(8, 8, at(10)).unwrap()]);
    assert!(Node::decode(&leaf.encode()).is_err());
}

#[test]
fn a_newer_version_says_so() {
    let mut bytes = samples()[0].encode();
    bytes[3] = 9;
    assert!(matches!(Node::decode(&bytes), Err(FormatError::Version { got: 9, .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 8..3000), kind in 0u8..5, count in 0u32..600,
    ) {
        let _ = Node::decode(&bytes);
        bytes[..2].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[2] = kind;
        bytes[3] = VERSION;
        bytes[4..8].copy_from_slice(&count.to_le_bytes());
        let _ = Node::decode(&bytes);
    }
}
