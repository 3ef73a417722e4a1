use archipelago_format::node::ENTRIES_MAX;
use archipelago_model::SegmentId;
use proptest::prelude::*;

use super::*;
use crate::testing::Bench;

fn at(position: u64) -> Location {
    Location::new(SegmentId::new(1).unwrap(), position as u32).unwrap()
}

fn extent(start: u64, len: u64, place: Option<u64>) -> Extent {
    Extent::new(start, len, place.map_or(Location::HOLE, at)).unwrap()
}

fn run_of(bench: &mut Bench, extents: &[Extent]) -> Run {
    let mut builder = RunBuilder::new(bench);
    for extent in extents {
        builder.push(*extent).unwrap();
    }
    builder.finish().unwrap().unwrap()
}

fn flat(bench: &Bench, layers: &[Layer], sectors: u64) -> Vec<Location> {
    let mut out = Vec::new();
    let flow = visit(&bench.nodes, layers, 0..sectors, true, &mut |extent| {
        assert_eq!(extent.start(), out.len() as u64, "extents cover the range in order");
        out.extend((0..extent.len()).map(|i| extent.location().advance(i)));
        Ok(ControlFlow::Continue(()))
    });
    assert!(flow.unwrap().is_continue());
    assert_eq!(out.len() as u64, sectors);
    out
}

#[test]
fn a_run_of_many_nodes_gives_every_extent_back() {
    let mut bench = Bench::new();
    let n = (ENTRIES_MAX * ENTRIES_MAX + 3) as u64;
    let extents: Vec<_> = (0..n).map(|i| extent(i * 4 + 1, 2, Some(i * 8 % 9999))).collect();
    let run = run_of(&mut bench, &extents);
    assert_eq!((run.height, run.extents), (2, n));
    for i in [0, 1, 510, 511, 512, 5000, n - 1] {
        let mut got = Vec::new();
        let range = i * 4..i * 4 + 4;
        visit(&bench.nodes, &[Layer::Run(run)], range, false, &mut |e| {
            got.push(e);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap()
        .is_continue()
        .then_some(())
        .unwrap();
        assert_eq!(got, [extents[i as usize]]);
    }
}

/// A hostile index: its second leaf speaks of sectors that are the first one's.
#[test]
fn what_is_found_ascends_whatever_the_nodes_say() {
    let mut bench = Bench::new();
    let mut leaf = |start| {
        let node = Node::Leaf(vec![extent(start, 60, Some(start))]);
        bench.append_node(&node.encode()).unwrap()
    };
    let children = vec![Child { first: 0, node: leaf(20) }, Child { first: 50, node: leaf(10) }];
    let top = bench.append_node(&Node::Index(children).encode()).unwrap();
    let run = Layer::Run(Run { top, height: 1, extents: 2, first: 0, end: 100 });
    let places = flat(&bench, std::slice::from_ref(&run), 100);
    assert_eq!(places[20], at(20));
    assert_eq!(places[69], at(69), "of the second leaf, from where it may speak on");
    assert!(places[70].is_hole());
    let mut last = 0;
    diff(&bench.nodes, &[], &[run], 0..100, &mut |change| {
        assert!(last <= change.range.start && change.range.start < change.range.end);
        last = change.range.end;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(last, 70);
}

#[test]
fn a_look_up_of_one_block_reads_one_node_a_level() {
    let mut bench = Bench::new();
    let extents: Vec<_> = (0..100_000).map(|i| extent(i * 16, 8, Some(i * 8 % 9999))).collect();
    let run = run_of(&mut bench, &extents);
    bench.forget_nodes();
    let before = bench.nodes.cached_bytes();
    assert_eq!(before, 0);
    flat(&bench, &[Layer::Run(run)], 8);
    let node = (ENTRIES_MAX * 16 + 96) as u64;
    assert!(bench.nodes.cached_bytes() <= 2 * node, "{}", bench.nodes.cached_bytes());
}

#[test]
fn four_runs_of_a_tier_are_due_and_a_large_base_is_left_alone() {
    let run = |extents| Run { top: at(1), height: 0, extents, first: 0, end: 1 };
    let due = |sizes: &[u64]| due(&sizes.iter().map(|&n| run(n)).collect::<Vec<_>>());
    assert_eq!(due(&[]), 0);
    assert_eq!(due(&[1, 3, 1]), 0);
    assert_eq!(due(&[1, 3, 1, 3]), 4);
    assert_eq!(due(&[1, 3, 1, 3, 1000]), 4);
    assert_eq!(due(&[1, 1, 1, 1000]), 0);
    assert_eq!(due(&[5, 5, 1, 5, 1000, 7]), 4);
}

#[test]
fn a_stack_stays_short_and_an_extent_is_rewritten_a_few_times() {
    let run = |extents| Run { top: at(1), height: 0, extents, first: 0, end: 1 };
    let mut stack: Vec<Run> = Vec::new();
    let mut written = 0;
    for _ in 0..1024 {
        stack.insert(0, run(1000));
        written += 1000;
        let n = due(&stack);
        if n > 0 {
            let sum = stack.drain(..n).map(|r| r.extents).sum();
            written += sum;
            stack.insert(0, run(sum));
        }
        assert!(stack.len() <= 20, "{stack:?}");
    }
    assert!(written < 12 * 1024 * 1000, "{written}");
}

fn any_extents(sectors: u64) -> impl Strategy<Value = Vec<Extent>> {
    prop::collection::vec((0..8u64, 1..9u64, prop::option::of(0..10_000u64)), 0..30).prop_map(
        move |steps| {
            let mut at = 0;
            let mut out = Vec::new();
            for (gap, len, place) in steps {
                if at + gap + len > sectors {
                    break;
                }
                out.push(extent(at + gap, len, place));
                at += gap + len;
            }
            out
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn layers_and_their_merge_say_what_plain_arrays_say(
        lists in prop::collection::vec(any_extents(200), 1..6),
    ) {
        let mut bench = Bench::new();
        let mut model = vec![Location::HOLE; 200];
        for list in lists.iter().rev() {
            for e in list {
                for s in e.range() {
                    model[s as usize] = e.location().advance(s - e.start());
                }
            }
        }
        let (top, below) = lists.split_first().unwrap();
        let runs: Vec<Run> = below
            .iter()
            .filter(|l| !l.is_empty())
            .map(|l| run_of(&mut bench, l))
            .collect();
        let mut layers = vec![Layer::Extents(top.clone())];
        layers.extend(runs.iter().copied().map(Layer::Run));
        prop_assert_eq!(flat(&bench, &layers, 200), model.clone());

        let nodes = bench.nodes.clone();
        let merged = merge(&nodes, &runs, true, Names::Kept, &mut bench).unwrap();
        let mut layers = vec![Layer::Extents(top.clone())];
        layers.extend(merged.map(Layer::Run));
        prop_assert_eq!(flat(&bench, &layers, 200), model);
    }

    #[test]
    fn a_difference_is_where_plain_arrays_differ(
        base in any_extents(200), a in any_extents(200), b in any_extents(200),
    ) {
        let mut bench = Bench::new();
        let shared: Vec<Layer> = (!base.is_empty())
            .then(|| Layer::Run(run_of(&mut bench, &base)))
            .into_iter()
            .collect();
        let with = |top: &[Extent]| [vec![Layer::Extents(top.to_vec())], shared.clone()].concat();
        let (from, to) = (with(&a), with(&b));
        let (x, y) = (flat(&bench, &from, 200), flat(&bench, &to, 200));
        let mut changed = [None; 200];
        diff(&bench.nodes, &from, &to, 0..200, &mut |change| {
            for s in change.range {
                changed[s as usize] = Some(change.zero);
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        for s in 0..200 {
            let expected = (x[s] != y[s]).then_some(y[s].is_hole());
            prop_assert_eq!(changed[s], expected, "sector {}", s);
        }
    }
}
