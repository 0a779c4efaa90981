//! Every target on its corpus, and on a fixed number of seeded changes of it. `DYNVM_FUZZ_SEED` repeats a run or begins another one.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of a test fail by panicking, and the seed is printed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use futures::FutureExt as _;
use inputs::mutation::Mutator;
use inputs::{TARGETS, Target};
use xenapi::{Vm, Wire, decode_events, decode_listing};

/// Changed inputs for each target.
const CHANGED: usize = 2_000;
/// The seed when none is given: the same for everybody, so that a test that passed here passes elsewhere.
const SEED: u64 = 20_261_128;
/// What is kept of a corpus in the repository.
const MOST_FILES: usize = 40;
const LARGEST_FILE: usize = 4 << 10;
const LARGEST_CORPUS: usize = 40 << 10;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The inputs of a target, by name of their file.
fn corpus(target: &Target) -> BTreeMap<String, Vec<u8>> {
    let folder = fuzz().join("corpus").join(target.name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files
        .map(|file| {
            let file = file.expect("a file");
            let name = file.file_name().to_string_lossy().into_owned();
            (name, fs::read(file.path()).expect("an input"))
        })
        .collect()
}

/// Reads the bytes; if that fails, says what they were.
#[track_caller]
fn read(target: &Target, what: &str, bytes: &[u8]) {
    let read = catch_unwind(AssertUnwindSafe(|| (target.read)(bytes)));
    assert!(
        read.is_ok(),
        "{} fails on {what}: \"{}\"",
        target.name,
        bytes.escape_ascii()
    );
}

/// Replays the corpus, then reads changes of it.
fn bounded(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    for (file, bytes) in &corpus {
        read(target, file, bytes);
    }
    let seed = std::env::var("DYNVM_FUZZ_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    println!("{name}: seed {seed}");
    let mut mutator = Mutator::new(seed);
    let inputs: Vec<&Vec<u8>> = corpus.values().collect();
    for number in 0..CHANGED {
        let (one, other) = (mutator.one_of(&inputs), mutator.one_of(&inputs));
        let bytes = match (number % 16, one, other) {
            (0, _, _) => mutator.noise(64),
            (_, Some(one), Some(other)) => mutator.changed(one, other),
            (_, _, _) => Vec::new(),
        };
        read(target, &format!("input {number} of seed {seed}"), &bytes);
    }
}

macro_rules! bounded {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            bounded(stringify!($name));
        })+

        const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

bounded!(
    durations,
    events_json,
    events_xml,
    hcl,
    ini,
    listing_json,
    listing_xml,
    marks,
    msgpack,
    provider,
    state,
);

#[test]
fn every_target_is_replayed_and_fuzzed() {
    let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(targets, NAMES);
    let list = fs::read_to_string(fuzz().join("Cargo.toml")).expect("the list of fuzz targets");
    let listed: BTreeSet<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    assert_eq!(listed, targets.iter().copied().collect());
    for name in targets {
        let source = fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).expect("a fuzz target");
        assert!(source.contains(&format!("inputs::read(\"{name}\", bytes)")), "{source}");
    }
}

/// A corpus from which everything is refused would only test refusals.
#[test]
fn both_wires_hold_the_same_machine() {
    let listed = |target: &str, wire| {
        let bytes = fs::read(fuzz().join("corpus").join(target).join("vm")).expect("an answer");
        let mut records = Vec::new();
        let each = |vm: xenapi::Ref<Vm>, record| records.push((vm, record));
        let read = decode_listing::<Vm>(wire, bytes.as_slice(), each)
            .now_or_never()
            .expect("at once");
        read.expect("an answer that is understood");
        records
    };
    let json = listed("listing_json", Wire::Json);
    assert_eq!(json.len(), 1);
    assert_eq!(json, listed("listing_xml", Wire::Xml));

    let told = |target: &str, wire| {
        let corpus = corpus(TARGETS.iter().find(|one| one.name == target).expect("a target"));
        let read = |bytes: &Vec<u8>| decode_events(wire, bytes.as_slice()).now_or_never().expect("at once");
        let changes = corpus.values().filter_map(|bytes| read(bytes).ok()).flatten();
        changes
            .filter(|change| change.record.is_some())
            .map(|change| change.class)
            .collect::<BTreeSet<_>>()
    };
    let json = told("events_json", Wire::Json);
    assert_eq!(json.len(), 14, "an event of each class");
    assert_eq!(json, told("events_xml", Wire::Xml));
}

#[test]
fn corpora_stay_small() {
    for target in TARGETS {
        let corpus = corpus(target);
        let sizes: Vec<usize> = corpus.values().map(Vec::len).collect();
        assert!(sizes.len() <= MOST_FILES, "{}: {} files", target.name, sizes.len());
        assert!(sizes.iter().all(|size| *size <= LARGEST_FILE), "{}", target.name);
        assert!(sizes.iter().sum::<usize>() <= LARGEST_CORPUS, "{}", target.name);
    }
}

#[test]
fn the_same_seed_makes_the_same_inputs_and_another_one_others() {
    let run = |seed| {
        let mut mutator = Mutator::new(seed);
        (0..100)
            .map(|_| mutator.changed(b"one input", b"another"))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert!(run(1).iter().collect::<BTreeSet<_>>().len() > 90, "{:?}", run(1));
}
